"""``journeymesh strangler run``: the feeder, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from journeymesh.cli.output import say
from journeymesh.cli.strangler import PlanArgument, opened_plan
from journeymesh.errors import JourneymeshError, UsageError

if TYPE_CHECKING:
    from journeymesh.strangler.installation import Installation

DELIVER_S: Final = 0.5


def run(
    plan: PlanArgument,
    once: Annotated[bool, typer.Option("--once", help="End when every target is filled and up to date.")] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=0, max=65535, help="Serve Prometheus metrics.")
    ] = None,
    metrics_host: Annotated[str, typer.Option("--metrics-host", help="Address of the metrics.")] = "127.0.0.1",
) -> None:
    """Fill targets and keep them up to date.

    Also delivers accepted fixes. One for each target; a second one waits its turn.
    """

    with opened_plan(plan) as installation, stopping() as stop, _metrics(installation, metrics_host, metrics_port):
        feeder = installation.feeder()
        feeder.on_fault = _warn
        if once:
            _deliver_all(installation)
            feeder.run(stop, once=True)
            _say_where(installation)
            return
        say("feeder started; stop it with Ctrl-C or SIGTERM", file=sys.stderr, flush=True)
        deliverer = threading.Thread(target=_deliver, args=(installation, stop), name="deliver", daemon=True)
        deliverer.start()
        feeder.run(stop)
        deliverer.join()


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set: what is under way ends first, and nothing is half-written."""
    stop = threading.Event()

    def on_signal(number: int, _: object) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    held = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


@contextmanager
def _metrics(installation: Installation, host: str, port: int | None) -> Iterator[None]:
    if port is None:
        yield
        return
    from prometheus_client import start_http_server

    from journeymesh.strangler.metrics import registry_of

    try:
        server, thread = start_http_server(port, addr=host, registry=registry_of(installation.metrics()))
    except OSError as error:
        raise UsageError(f"metrics: {host}:{port}: {error.strerror}", todo="choose another --metrics-port") from error
    say(f"metrics: http://{host}:{server.server_port}/metrics", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _warn(target: str, fault: JourneymeshError) -> None:
    say(f"warning: feed of {target}: {fault}", file=sys.stderr)


def _deliver(installation: Installation, stop: threading.Event) -> None:
    from journeymesh.strangler.routes import read_routes

    deliverer = installation.deliverer()
    while not stop.wait(DELIVER_S):
        try:
            while deliverer.deliver(read_routes(installation.control)) and not stop.is_set():
                continue
        except JourneymeshError as error:  # what was accepted waits; the metrics and the status show it
            say(f"warning: accepted fixes are not delivered: {error}", file=sys.stderr)
            stop.wait(10 * DELIVER_S)


def _deliver_all(installation: Installation) -> None:
    from journeymesh.strangler.routes import read_routes

    while installation.deliverer().deliver(read_routes(installation.control)):
        continue


def _say_where(installation: Installation) -> None:
    from journeymesh.strangler.status import status_of

    for each in status_of(installation.plan, installation.control, installation.policies_at_hand()):
        if each.backfill is not None:
            held = each.backfill
            told = f"{held.vehicles_done:,} vehicles, {held.fixes:,} fixes at {held.fixes_per_s:,.0f}/s"
            say(f"{each.slice}: {each.target} is {'complete' if each.complete else 'not complete'}, {told}")
