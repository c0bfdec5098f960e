"""An application on granian, in this process, until it is told to stop; then its requests go to their end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from typing import Any, Final

from journeymesh.errors import ExtraMissing, UsageError
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life

_BACKLOG: Final = 2048
_OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000
"""A request leaves about thirty objects until it is answered and hardly a cycle: Python's 700 would look through all
requests under way for every few of them."""


def serve(
    app: Any, host: str, port: int, *, life: Life, config: HttpConfig, on_ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT: ``/readyz`` fails first, requests under way end, then the process may.

    One process uses about one core; several share the load behind a balancer. ``on_ready`` is told the port.

    Raises:
        ExtraMissing: granian is not installed. UsageError: the address cannot be listened at.
    """
    gc.freeze()  # what is loaded stays, and need not be looked through for what does not
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(app, host, port, life, config, on_ready))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, which takes less CPU to hand a request over between threads; None: asyncio's, where there is none."""
    try:
        import uvloop
    except ImportError:  # it does not run everywhere
        return None
    return uvloop.new_event_loop


async def _serve(
    app: Any, host: str, port: int, life: Life, config: HttpConfig, on_ready: Callable[[int], None] | None
) -> None:
    try:
        from granian.constants import HTTPModes, Interfaces
        from granian.http import HTTP1Settings
        from granian.server.embed import Server
    except ImportError as error:
        raise ExtraMissing("granian", "services") from error
    port = _free_port(host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=15_000),
        websockets=False,
        backlog=_BACKLOG,
        log_enabled=False,
    )
    serving = asyncio.ensure_future(server.serve())
    telling = asyncio.ensure_future(_tell(host, port, serving, on_ready))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    life.draining = True
    if not serving.done():
        await asyncio.sleep(config.linger_s)
        await life.drained(config.drain_s)
        server.stop()  # type: ignore[no-untyped-call]
    stopping.cancel()
    telling.cancel()
    await serving


async def _tell(host: str, port: int, serving: asyncio.Future[Any], on_ready: Callable[[int], None] | None) -> None:
    """Say that connections are taken, once they are."""
    while on_ready is not None and not serving.done():
        try:
            _, writer = await asyncio.open_connection(host if host != "0.0.0.0" else "127.0.0.1", port)  # noqa: S104
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        on_ready(port)
        return


def _free_port(host: str, port: int) -> int:
    """The port, or for 0 a free one.

    Raises:
        UsageError: it cannot be listened at.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = f"{host}:{port} cannot be listened at: {error.strerror}"
            raise UsageError(what, todo="name another host or port") from error
        return int(probe.getsockname()[1])
