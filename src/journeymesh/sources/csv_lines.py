"""Text in blocks of whole rows, and where each row of a block begins."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I64
from journeymesh.sources.text_encoding import Utf8Stream, decoded, repaired

BLOCK_BYTES = 16 << 20
MOST_VALUE_BYTES = 64 << 10
"""A quoted value that goes on for longer is one whose quote was never closed."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole rows in UTF-8, the number of the first line from 1, and whether some of it was no UTF-8.

    ``unclosed`` says that its only line opens a quote that is never closed.
    """

    text: bytes
    first_line: int
    was_repaired: bool = False
    unclosed: bool = False


def blocks_of(stream: Utf8Stream, separator: str, quote: str, block_bytes: int | None = None) -> Iterator[Block]:
    """The text in blocks of about so many bytes. A row is a line, or several where a quoted value has line breaks."""
    block_bytes = block_bytes or BLOCK_BYTES
    tail, line, only_returns = b"", 1, None
    while True:
        piece = stream.read(block_bytes)
        if only_returns is None and piece:
            only_returns = b"\n" not in piece and b"\r" in piece
        if only_returns:
            piece = piece.replace(b"\r", b"\n")
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
            raise SourceUnreadable(
                f"line {line} is longer than {len(tail) >> 20} MiB", todo="check that the file is text with lines"
            )


def row_starts(block: Block, separator: str, quote: str, rows: int) -> tuple[I64, I64]:
    """Where each row of the block begins, and on which line; ``rows`` is how many there are as the parser counts."""
    newlines = np.flatnonzero(np.frombuffer(block.text, np.uint8) == 10)
    if len(newlines) == rows:
        return np.concatenate(([0], newlines[:-1] + 1)), np.arange(rows) + block.first_line
    starts, lines, at, line = [], [], 0, 0
    reader = csv.reader(_lines(block.text), delimiter=separator, quotechar=quote)
    offsets = np.concatenate(([0], newlines + 1))
    for _ in reader:
        starts.append(at)
        lines.append(line)
        line = reader.line_num
        at = int(offsets[line])
    return np.array(starts, np.int64), np.array(lines, np.int64) + block.first_line


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
    limit = csv.field_size_limit(MOST_VALUE_BYTES)
    try:
        for _ in reader:
            whole, at = at, int(newlines[reader.line_num - 1])
    except csv.Error:
        return (at, False) if at else (text.index(b"\n") + 1, True)
    finally:
        csv.field_size_limit(limit)
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
