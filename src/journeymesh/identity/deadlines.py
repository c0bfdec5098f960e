"""Connections that end with the question they serve. Imported only where httpcore is installed.

HTTP clients bound each read by itself: a server that sends a byte a second, in its headers say, is waited for without
end. Here every wait of a thread is cut to what is left of its deadline.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore


class Deadline(threading.local):
    """Until when this thread waits, by the monotonic clock; it does not wait for ever."""

    ends_at_s = float("inf")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """So many seconds from now on."""
        self.ends_at_s = time.monotonic() + seconds
        try:
            yield
        finally:
            self.ends_at_s = float("inf")

    def left_s(self, most_s: float | None) -> float:
        """What may still be waited, at most ``most_s``.

        Raises:
            httpcore.TimeoutException: nothing.
        """
        left_s = self.ends_at_s - time.monotonic()
        if left_s <= 0:
            raise httpcore.ReadTimeout
        return left_s if most_s is None else min(left_s, most_s)


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections whose every wait is cut to the deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """As httpcore's."""
        left_s = self._deadline.left_s(timeout)
        stream = self._sockets.connect_tcp(host, port, left_s, local_address, socket_options)
        return _DeadlineStream(stream, self._deadline)


class _DeadlineStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left_s(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._deadline.left_s(timeout))
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
