"""An application on granian, in this process, until it is told to stop; then its requests go to their end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from journeymesh.errors import ExtraMissing, UsageError
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.connections import ConnectionGuard, ConnectionLimits, connections_that_fit
from journeymesh.services.http.life import Life

logger = logging.getLogger(__name__)

_BACKLOG: Final = 2048
_HEADERS_WITHIN_MS: Final = 15_000
_HEAD_BYTES: Final = 64 << 10
"""Of a request's line and headers, as they come over the network."""
_WINDOW_BYTES: Final = 256 << 10
"""What an HTTP/2 connection may send before somebody reads it."""
_OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000
"""A request leaves about thirty objects until it is answered and hardly a cycle: Python's 700 would look through all
requests under way for every few of them."""


def serve(
    app: Any, host: str, port: int, *, life: Life, config: HttpConfig, on_ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT: ``/readyz`` fails first, requests under way end, then the process may.

    One process uses about one core; several share the load behind a balancer. ``on_ready`` is told the port.

    Raises:
        ExtraMissing: granian is not installed. UsageError: nothing can listen on the address.
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
        from granian.http import HTTP1Settings, HTTP2Settings
        from granian.server.embed import Server
    except ImportError as error:
        raise ExtraMissing("granian", "services") from error
    port = free_port(host, port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    most = connections_that_fit(config.connections)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS, max_buffer_size=_HEAD_BYTES),
        http2_settings=HTTP2Settings(
            initial_connection_window_size=_WINDOW_BYTES,
            initial_stream_window_size=_WINDOW_BYTES,
            max_concurrent_streams=100,
            max_headers_size=_HEAD_BYTES,
        ),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=most,
        log_enabled=False,
    )
    limits = ConnectionLimits(
        first_request_s=config.first_request_s,
        idle_s=config.idle_s,
        stalled_s=config.stalled_s,
        most=most,
        most_per_peer=config.connections_per_peer,
        trusted=config.trusted_proxies,
    )
    with ConnectionGuard(port, limits, life.uses, _say_closed):
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


def _say_closed(closed: Counter[str]) -> None:
    """Whose they were is not said: addresses are personal data."""
    logger.warning("connections closed: %s", ", ".join(f"{count} {why}" for why, count in sorted(closed.items())))


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


def free_port(host: str, port: int) -> int:
    """The port, or for 0 a free one.

    Raises:
        UsageError: nothing can listen there.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = f"cannot listen on {host}:{port}: {error.strerror}"
            raise UsageError(what, todo="name another host or port") from error
        return int(probe.getsockname()[1])
