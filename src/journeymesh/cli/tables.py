"""Tables for people, as wide as the terminal: no value is cut, and no column is left out without saying so."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO, Any, Final

from journeymesh.safe_text import on_terminal

Row = Mapping[str, Any]

PLAIN_WIDTH: Final = 80
"""Of a table that goes to a file or a pipe, where COLUMNS does not say another."""
_BETWEEN: Final = 2
_NARROWEST: Final = 20
"""Text is not broken into lines shorter than this."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table for people: its heading, how a row shows in it, and the field that it is made of.

    Where not all columns fit, those with the highest ``rank`` are left out first; the first column never is. A column
    that ``wraps`` is text: it is broken into lines between words before a column is left out. One that may stand
    ``below`` is not left out: where it does not fit its text stands below the row, with its heading.
    """

    heading: str
    show: Callable[[Any], str]
    right: bool = False
    field: str = ""
    rank: int = 0
    wraps: bool = False
    below: bool = False


def width_of(file: IO[str]) -> int:
    """The columns that a line has: of the terminal, else those that COLUMNS says, else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(file.fileno()).columns or PLAIN_WIDTH
    except (OSError, ValueError, AttributeError):
        return PLAIN_WIDTH


def write_table(file: IO[str], columns: Sequence[Column], rows: Sequence[Row], *, title: str, else_by: str) -> None:
    """Write the rows as a table. ``else_by`` says how to see the columns that do not fit."""
    cells = [[on_terminal(column.show(row)) for row in rows] for column in columns]
    width = width_of(file)
    kept = _fitting(columns, cells, width)
    if title:
        print(on_terminal(title), end="\n\n", file=file)
    headings = [_in_lines(columns[number].heading, wide) for number, wide in kept.items()]
    high = max(map(len, headings))
    aligned = [(columns[number].right, wide) for number, wide in kept.items()]
    for line in zip(*([""] * (high - len(heading)) + heading for heading in headings), strict=True):
        print(_line(line, aligned), file=file)
    print((" " * _BETWEEN).join(_rule(file) * wide for wide in kept.values()), file=file)
    for row in range(len(rows)):
        texts = [_in_lines(cells[n][row], wide) if columns[n].wraps else [cells[n][row]] for n, wide in kept.items()]
        for line in zip_longest(*texts, fillvalue=""):
            print(_line(line, aligned), file=file)
        for number, column in enumerate(columns):
            if column.below and number not in kept and cells[number][row]:
                print(*_below(f"{column.heading}: {cells[number][row]}", width), sep="\n", file=file)
    left_out = [column.heading for number, column in enumerate(columns) if number not in kept and not column.below]
    if left_out:
        plural = "column" if len(left_out) == 1 else "columns"
        told = f"{len(left_out)} more {plural} ({', '.join(left_out)}): {else_by}"
        print("", *textwrap.wrap(told, width, break_long_words=False), sep="\n", file=file)


def _line(cells: Sequence[str], aligned: Sequence[tuple[bool, int]]) -> str:
    from rich.cells import cell_len

    parts = []
    for cell, (right, width) in zip(cells, aligned, strict=True):
        gap = " " * (width - cell_len(cell))
        parts.append(gap + cell if right else cell + gap)
    return (" " * _BETWEEN).join(parts).rstrip()


def _below(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="    ", subsequent_indent="        ", break_long_words=False, break_on_hyphens=False
    )


def _rule(file: IO[str]) -> str:
    try:
        "\u2500".encode(getattr(file, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "-"
    return "\u2500"


def _in_lines(text: str, width: int) -> list[str]:
    """The text in lines of at most this width, whole words."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]


def _fitting(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """The columns that fit beside each other, in their order, with their widths: those of the lowest rank."""
    from rich.cells import cell_len

    words = [max(map(cell_len, column.heading.split()), default=0) for column in columns]
    widest = [max(map(cell_len, texts), default=0) for texts in cells]
    least = list(widest)
    for number, column in enumerate(columns):
        if column.wraps:
            longest = max((cell_len(word) for text in cells[number] for word in text.split()), default=0)
            least[number] = min(widest[number], max(longest, _NARROWEST))
    least = [max(pair) for pair in zip(least, words, strict=True)]
    kept, left = [0], width - least[0]
    for number in sorted(range(1, len(columns)), key=lambda number: (columns[number].rank, number)):
        if left < least[number] + _BETWEEN:
            break
        left -= least[number] + _BETWEEN
        kept.append(number)
    chosen = {}
    for number in sorted(kept):
        more = min(max(left, 0), max(widest[number] - least[number], 0))
        left -= more
        chosen[number] = least[number] + more
    return chosen
