"""Text of any encoding as UTF-8: by its byte order mark, by its NULs, else as the mapping says."""

from __future__ import annotations

import codecs
from typing import IO, Final

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD_BYTES: Final = 4096
_FALLBACK: Final = "journeymesh.windows-1252"


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Bytes that are no UTF-8 as Windows-1252, one character each, so that two different texts stay different."""
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(bytes((byte,)).decode("cp1252", "ignore") or chr(byte) for byte in wrong), error.end


codecs.register_error(_FALLBACK, _as_windows)


def decoded(text: bytes) -> str:
    """The text in UTF-8; what is none is read as Windows-1252, byte by byte."""
    return text.decode("utf-8", _FALLBACK)


def repaired(text: bytes) -> tuple[bytes, bool]:
    """The text as true UTF-8, and whether something in it was none."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return decoded(text).encode(), True
    return text, False


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding that a file's first bytes show, and how many of them are its mark; UTF-8 where nothing shows."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, len(mark)
    pairs = len(head) // 2
    if pairs >= 2 and head[1::2].count(0) > pairs * 0.4 and head[0::2].count(0) == 0:
        return "utf-16-le", 0
    if pairs >= 2 and head[0::2].count(0) > pairs * 0.4 and head[1::2].count(0) == 0:
        return "utf-16-be", 0
    return "utf-8", 0


class Utf8Stream:
    """A file's text as UTF-8 bytes. Text that is UTF-8 already passes as it is, unchecked (``repaired`` checks it).

    ``encoding`` is what the mapping says, if it does; a byte order mark is believed before it.
    """

    def __init__(self, raw: IO[bytes], encoding: str | None = None) -> None:
        head = raw.read(_HEAD_BYTES)
        shown, mark = encoding_of(head)
        self.encoding = shown if mark or encoding is None else codecs.lookup(encoding).name
        self._raw = raw
        self._head = head[mark:]
        self._ready = b""
        # A mark is no part of the text; a BOM-less name such as utf-8-sig knows that as well.
        self._decoder = (
            None if self.encoding == "utf-8" else codecs.getincrementaldecoder(self.encoding)(errors="replace")
        )

    def peek(self, size: int) -> bytes:
        """The first so many bytes of the text, which stay to be read; fewer only where there are no more."""
        while len(self._ready) < size and (piece := self._next(size)):
            self._ready += piece
        return self._ready[:size]

    def read(self, size: int) -> bytes:
        """About so many bytes, never none before the end."""
        ready, self._ready = self._ready, b""
        return ready or self._next(size)

    def _next(self, size: int) -> bytes:
        while True:
            piece = self._head or self._raw.read(size)
            self._head = b""
            if self._decoder is None:
                return piece
            text = self._decoder.decode(piece, final=not piece).encode("utf-8", "replace")
            if text or not piece:
                return text
