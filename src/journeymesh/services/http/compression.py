"""gzip and zstd for clients that accept them."""

from __future__ import annotations

import zlib
from typing import Any, Final, Protocol

from journeymesh.errors import ExtraMissing
from journeymesh.services.http.answers import Send
from journeymesh.services.http.negotiation import accepted_encodings

COMPRESSED_TYPES: Final = (
    b"application/json", b"application/problem+json", b"application/x-ndjson", b"application/yaml", b"text/",
    b"application/javascript",
    b"application/vnd.apache.arrow.stream",
)  # fmt: skip
"""Media types, by their beginning, whose content shrinks. Parquet is compressed in itself."""
_GZIP: Final = 31
_ZSTD_LEVEL: Final = 3


class _Stream(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self, how: int, /) -> bytes: ...


class Compression:
    """Compresses answers. Those of a body at once and shorter than ``from_bytes`` go as they are.

    Raises:
        ExtraMissing: zstandard is not installed.
    """

    def __init__(self, from_bytes: int) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise ExtraMissing("zstandard", "services") from error
        self._from_bytes = from_bytes
        self._zstd = zstandard
        self._at_once = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)

    def before(self, send: Send, accept_encoding: str) -> Send:
        """What compresses an answer as the client accepts it, and sends it on."""
        accepted = accepted_encodings(accept_encoding)
        encoding = next((name for name in ("zstd", "gzip") if name in accepted), None)
        return send if encoding is None else _Compressing(self, encoding, send, self._from_bytes).send

    def at_once(self, encoding: str, body: bytes) -> bytes:
        """The whole body, compressed."""
        if encoding == "zstd":
            return bytes(self._at_once.compress(body))
        stream = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        return stream.compress(body) + stream.flush()

    def stream(self, encoding: str) -> tuple[_Stream, int, int]:
        """(a stream, how it flushes what it has, how it ends)."""
        if encoding == "zstd":
            held = self._zstd.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
            return held, self._zstd.COMPRESSOBJ_FLUSH_BLOCK, self._zstd.COMPRESSOBJ_FLUSH_FINISH
        return zlib.compressobj(6, zlib.DEFLATED, _GZIP), zlib.Z_SYNC_FLUSH, zlib.Z_FINISH


class _Compressing:
    """One answer on its way out: held until it is known how its body comes."""

    def __init__(self, how: Compression, encoding: str, send: Send, from_bytes: int) -> None:
        self._how, self._encoding, self._send, self._from_bytes = how, encoding, send, from_bytes
        self._start: Any = None
        self._stream: tuple[_Stream, int, int] | None = None

    async def send(self, message: Any) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            if _shrinks(message["headers"]):
                self._start = message
            else:
                await self._send(message)
        elif self._start is None and self._stream is None:
            await self._send(message)
        else:
            await self._body(message.get("body", b""), message.get("more_body", False))

    async def _body(self, body: bytes, more: bool) -> None:
        if self._stream is None:
            start, self._start = self._start, None
            if not more and len(body) < self._from_bytes:
                await self._send(start)
                await self._send({"type": "http.response.body", "body": body, "more_body": False})
                return
            headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
            headers.append((b"content-encoding", self._encoding.encode()))
            if not more:
                body = self._how.at_once(self._encoding, body)
                headers.append((b"content-length", str(len(body)).encode()))
            await self._send({**start, "headers": headers})
            if not more:
                await self._send({"type": "http.response.body", "body": body, "more_body": False})
                return
            self._stream = self._how.stream(self._encoding)
        stream, flush, finish = self._stream
        piece = stream.compress(body) + stream.flush(flush if more else finish)
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})


def _shrinks(headers: list[tuple[bytes, bytes]]) -> bool:
    kind = b""
    for name, value in headers:
        if name == b"content-encoding":
            return False
        if name == b"content-type":
            kind = value
    return kind.startswith(COMPRESSED_TYPES)
