"""Text in blocks of whole rows, and where each row of a block begins."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from journeymesh.journeys.fixes import I64
from journeymesh.sources.csv_dialect import BLANKS, CsvDialect
from journeymesh.sources.files import FileDamaged
from journeymesh.sources.text_encoding import Utf8Stream, decoded, repaired

BLOCK_BYTES = 16 << 20
MOST_LINE_BYTES = 64 << 20
MOST_LINES = 1 << 18
"""Of a block: each may become a refusal, which takes far more memory than a line of two bytes."""
MOST_VALUE_BYTES = 64 << 10
"""A quoted value that goes on for longer is one whose quote was never closed."""
_RETURN_ALONE = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Block:
    """Whole rows in UTF-8, the number of the first line from 1, and whether some of it was no UTF-8.

    ``unclosed`` says that its only line opens a quote that is never closed.
    """

    text: bytes
    first_line: int
    was_repaired: bool = False
    unclosed: bool = False


class TextStream(Protocol):
    """Text in pieces."""

    def read(self, size: int) -> bytes:
        """About so many bytes, never none before the end."""


class PlainLines:
    """Text with comment lines emptied, so that lines keep their numbers, and runs of blanks made tabs, as a dialect
    says. A line that begins with the comment's sign is a comment in a quoted value too."""

    def __init__(self, stream: Utf8Stream, dialect: CsvDialect, name: str = "the text") -> None:
        self._name = name
        self._stream = stream
        self._tail = b""
        sign = None if dialect.comment is None else re.escape(dialect.comment.encode())
        self._comment = None if sign is None else re.compile(rb"(?:^|(?<=[\r\n]))[ \t]*" + sign + rb"[^\r\n]*")
        self._blanks: re.Pattern[bytes] | None = None
        if dialect.separator == BLANKS:
            mark = re.escape(dialect.quote.encode())
            quoted = mark + rb"(?:[^" + mark + rb"]|" + mark * 2 + rb")*" + mark if mark else rb"(?!)"
            around = rb"(?:^|(?<=[\r\n]))[ \t]+|[ \t]+(?=[\r\n]|\Z)"
            self._blanks = re.compile(rb"(" + quoted + rb")|(" + around + rb")|[ \t]+")

    def read(self, size: int) -> bytes:
        """About so many bytes of whole lines, never none before the end."""
        while True:
            piece = self._stream.read(size)
            text = self._tail + piece
            end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 if piece else len(text)
            if end and piece and text.endswith(b"\r", 0, end):
                end = text.rfind(b"\n", 0, end) + 1 or end - 1  # its line feed may be in the next piece
            text, self._tail = text[:end], text[end:]
            if text or not piece:
                return self._plain(text)
            if len(self._tail) > MOST_LINE_BYTES:
                todo = "check that the file is text with lines"
                raise FileDamaged(f"{self._name}: a line is longer than 64 MiB", todo=todo)

    def _plain(self, text: bytes) -> bytes:
        if self._comment is not None:
            text = self._comment.sub(b"", text)
        if self._blanks is not None:
            text = self._blanks.sub(lambda run: run[1] or (b"" if run[2] is not None else b"\t"), text)
        return text


def blocks_of(
    stream: TextStream, separator: str, quote: str, block_bytes: int | None = None, name: str = "the text"
) -> Iterator[Block]:
    """The text in blocks of about so many bytes, or ``MOST_LINES`` where lines are short. A row is a line, or several
    where a quoted value has line breaks.

    Raises:
        FileDamaged: a line of the file of this ``name`` is longer than four blocks.
    """
    block_bytes = block_bytes or BLOCK_BYTES
    tail, line, ready = b"", 1, b""
    pieces = _with_line_feeds(stream, block_bytes)
    while True:
        piece, ready = _cut(ready or next(pieces, b""))
        text = tail + piece
        if not piece and not text:
            return
        if not piece and not text.endswith(b"\n"):
            text += b"\n"
        while text:
            end, unclosed = _end_of_rows(text, separator, quote, final=not piece)
            if end == 0:
                break
            whole, was_repaired = repaired(text[:end])
            yield Block(whole, line, was_repaired, unclosed)
            line += whole.count(b"\n")
            text = text[end:]
            if piece:
                break
        tail = text
        if len(tail) > 4 * block_bytes:
            raise FileDamaged(
                f"{name}: line {line} is longer than {(4 * block_bytes) >> 20} MiB",
                todo="check that the file is text with lines, and that its quotes are closed",
            )


def _with_line_feeds(stream: TextStream, size: int) -> Iterator[bytes]:
    """The text in pieces. A carriage return by itself, which ends a row as well, is a line feed, so that everything
    counts the same lines; in a quoted value it becomes one, too."""
    held = b""
    while piece := held + stream.read(size):
        is_last = piece == held
        held = b"\r" if piece.endswith(b"\r") and not is_last else b""  # its line feed may be in the next piece
        piece = piece[: len(piece) - len(held)]
        returns = piece.count(b"\r")
        if returns > (both := piece.count(b"\r\n")):
            piece = _RETURN_ALONE.sub(b"\n", piece) if both else piece.replace(b"\r", b"\n")
        if piece:
            yield piece


def _cut(piece: bytes) -> tuple[bytes, bytes]:
    """The piece up to the end of its ``MOST_LINES`` first lines, and the rest."""
    if piece.count(b"\n") <= MOST_LINES:
        return piece, b""
    end = int(np.flatnonzero(np.frombuffer(piece, np.uint8) == 10)[MOST_LINES - 1]) + 1
    return piece[:end], piece[end:]


def row_starts(block: Block, separator: str, quote: str, rows: int) -> tuple[I64, I64]:
    """Where each row of the block begins, and on which line; ``rows`` is how many there are as the parser counts."""
    newlines = np.flatnonzero(np.frombuffer(block.text, np.uint8) == 10)
    if len(newlines) == rows:
        return np.concatenate(([0], newlines[:-1] + 1)), np.arange(rows) + block.first_line
    starts, lines, at, line = [], [], 0, 0
    reader = csv.reader(_lines(block.text), delimiter=separator, quotechar=quote)
    offsets = np.concatenate(([0], newlines + 1))
    with _values_of(len(block.text)):
        for _ in reader:
            starts.append(at)
            lines.append(line)
            line = reader.line_num
            at = int(offsets[line])
    return np.array(starts, np.int64), np.array(lines, np.int64) + block.first_line


@contextmanager
def _values_of(most_bytes: int) -> Iterator[None]:
    """Values of up to so many bytes meanwhile: the module's limit is the whole process's."""
    limit = csv.field_size_limit(most_bytes)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _end_of_rows(text: bytes, separator: str, quote: str, final: bool) -> tuple[int, bool]:
    """How many bytes are whole rows, and whether they are one line whose quote is never closed."""
    end = text.rfind(b"\n") + 1
    mark = quote.encode()
    if not mark or text.count(mark, 0, end) % 2 == 0:
        return end, False
    # An odd number of quotes: a quoted value goes on beyond the last line, or a quote stands inside a value.
    at, whole = 0, 0
    reader = csv.reader(_lines(text[:end]), delimiter=separator, quotechar=quote)
    newlines = np.flatnonzero(np.frombuffer(text, np.uint8, end) == 10) + 1
    try:
        with _values_of(MOST_VALUE_BYTES):
            for _ in reader:
                whole, at = at, int(newlines[reader.line_num - 1])
    except csv.Error:
        return (at, False) if at else (text.index(b"\n") + 1, True)
    if at < end or _closes(text[whole:at], separator, quote):
        return at, False
    if whole:
        return whole, False
    return (text.index(b"\n") + 1, True) if final or end > MOST_VALUE_BYTES else (0, False)


def _closes(row: bytes, separator: str, quote: str) -> bool:
    """Whether no quote is open at the end of the row."""
    try:
        list(csv.reader(_lines(row), delimiter=separator, quotechar=quote, strict=True))
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return True


def _lines(text: bytes) -> Iterator[str]:
    return iter(io.StringIO(decoded(text), newline="\n"))
