"""How a file of columns is written: as the mapping says, and where it is silent, as its first lines show."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from journeymesh.sources.paths import column_name
from journeymesh.sources.text_encoding import decoded

BLANKS: Final = "blanks"
SEPARATORS: Final = (",", ";", "\t", "|")
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_HEADER_LINES: Final = 60
"""So far down a header is looked for where the mapping does not say how many lines stand before it."""


class CsvDialect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How text with columns is written. What is left out is found out from the file and told.

    - ``separator``: one character between columns, or ``blanks`` for runs of blanks and tabs; unsaid, the one of
      ``, ; tab |`` that fits
    - ``comment``: what lines that are no rows begin with, such as ``#``
    - ``decimal``: ``.`` or ``,``, unsaid from the first lines
    - ``encoding``: any that Python knows, such as ``latin-1``; a byte order mark is believed before it
    - ``header``: ``true``, ``false`` (columns are named ``0``, ``1``, …) or the columns' names
    - ``skip_lines``: lines before the header, or before the first row where there is none; unsaid, the header is
      looked for in the first lines
    - ``quote``: the character around values that hold a separator; an empty text where there is none
    """

    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    encoding: str | None = None
    header: bool | tuple[str, ...] = True
    skip_lines: int | None = None
    quote: str = '"'
    comment: str | None = None

    @property
    def between(self) -> str | None:
        """The one character between columns, once runs of blanks are tabs; None where it is to be found out."""
        return "\t" if self.separator == BLANKS else self.separator

    @property
    def fault(self) -> str | None:
        """What cannot be followed; None where all can."""
        if self.comment is not None and (not self.comment.strip() or set(self.comment) & {"\n", "\r", self.quote}):
            return f"csv.comment {self.comment!r} cannot begin a line"
        if self.between is not None and len(self.between.encode()) != 1:
            return f"csv.separator {self.separator!r} is not one character"
        if len(self.quote.encode()) > 1:
            return f"csv.quote {self.quote!r} is not one character"
        if self.separator is not None and self.separator in (self.quote, self.decimal, "\n", "\r"):
            return f"csv.separator {self.separator!r} means something else already"
        if self.skip_lines is not None and self.skip_lines < 0:
            return "csv.skip_lines is negative"
        try:
            if self.encoding is not None:
                codecs.lookup(self.encoding)
        except LookupError:
            return f"csv.encoding {self.encoding!r} is unknown"
        return None


@dataclass(frozen=True, slots=True)
class CsvForm:
    """What is read: the columns' names, how they are separated, and how many lines stand before the first row.

    ``notes`` say what the file showed and the mapping did not say.
    """

    names: tuple[str, ...]
    separator: str
    decimal: str
    quote: str
    lines_before: int
    header: bytes = b""
    notes: tuple[str, ...] = ()


def form_of(head: bytes, said: CsvDialect, wanted: Sequence[str], numbers: Sequence[str]) -> CsvForm | None:
    """How a file is written, from its first lines; None where it has no line.

    ``wanted`` are the columns without which nothing can be read, ``numbers`` those among all that hold numbers.
    """
    lines = [line.rstrip(b"\r") for line in head.split(b"\n")]
    at = said.skip_lines or 0
    if not any(line.strip() for line in lines[at:]):
        return None
    if said.header is True:
        row, separator, names = _header(lines, said, wanted)
        first = row + 1
    else:
        first = at
        row = next(number for number in range(at, len(lines)) if lines[number].strip())
        count = len(said.header) if isinstance(said.header, tuple) else 0
        separator = said.between or separator_of(lines[row], said.quote, count)
        found = split(lines[row], separator, said.quote)
        names = said.header if isinstance(said.header, tuple) else tuple(str(i) for i in range(len(found)))
    notes = []
    if said.header is True and said.skip_lines is None and any(line.strip() for line in lines[:row]):
        notes.append(f"the header is line {row + 1}")
    if said.between is None and separator != ",":
        notes.append(f"columns are separated by {_NAMES[separator]}")
    rows = [split(line, separator, said.quote) for line in lines[first : first + 200] if line.strip()]
    if rows and all(len(one) == len(names) + 1 and not one[-1] for one in rows):
        names = (*names, "")  # rows end with a separator that the header does not have
    decimal = said.decimal or "."
    if said.decimal is None and _has_comma(rows, names, numbers, in_quotes=separator == ","):
        decimal = ","
        notes.append("numbers have a decimal comma")
    header = lines[row] if said.header is True else b""
    return CsvForm(names, separator, decimal, said.quote, first, header, tuple(notes))


def split(line: bytes, separator: str, quote: str) -> list[str]:
    """The values of one line."""
    try:
        if not quote:
            return decoded(line).split(separator)
        return next(csv.reader([decoded(line)], delimiter=separator, quotechar=quote), [])
    except csv.Error:
        return decoded(line).split(separator)


def place_of(names: Sequence[str], path: str) -> tuple[int, ...]:
    """Where columns of this name stand, from 0: by the name as it is, else without blanks around it, else in capitals
    or small letters, else, for a path such as ``3``, by its number."""
    path = column_name(path)
    exact = tuple(place for place, name in enumerate(names) if name == path)
    trimmed = exact or tuple(place for place, name in enumerate(names) if name.strip() == path)
    found = trimmed or tuple(place for place, name in enumerate(names) if name.strip().casefold() == path.casefold())
    if found or not path.isdecimal():
        return found
    return (int(path),) if int(path) < len(names) else ()


def _header(lines: list[bytes], said: CsvDialect, wanted: Sequence[str]) -> tuple[int, str, tuple[str, ...]]:
    """The first line that names all that is wanted; else the first that is not blank."""
    separators = (said.between,) if said.between else SEPARATORS
    at = said.skip_lines or 0
    places: Sequence[int] = [at] if said.skip_lines is not None else range(min(len(lines), _HEADER_LINES))
    if not wanted or all(path.isdecimal() for path in wanted):
        places = []  # numbers of columns do not show which line names them
    for row in places:
        for separator in separators:
            names = tuple(split(lines[row], separator, said.quote))
            if all(place_of(names, path) for path in wanted):
                return row, separator, names
    row = next(number for number in range(at, len(lines)) if lines[number].strip())
    separator = said.between or separator_of(lines[row], said.quote)
    return row, separator, tuple(split(lines[row], separator, said.quote))


def separator_of(line: bytes, quote: str = '"', columns: int = 0) -> str:
    counts = {separator: len(split(line, separator, quote)) for separator in SEPARATORS}
    fitting = [separator for separator in SEPARATORS if columns and counts[separator] == columns]
    return fitting[0] if fitting else max(SEPARATORS, key=lambda separator: counts[separator])


def _has_comma(rows: list[list[str]], names: Sequence[str], numbers: Sequence[str], *, in_quotes: bool) -> bool:
    """Whether the numbers of the first rows are written as 52,1, and none as 52.1; ``in_quotes``, as where commas
    separate columns too, one of them without three digits behind it at least, for 1,234 may be thousands."""
    places = [place for path in numbers for place in place_of(names, path)]
    values = [row[place].strip() for row in rows for place in places if place < len(row)]
    commas = [value for value in values if _is_comma_number(value)]
    sure = not in_quotes or any(len(value.partition(",")[2]) != 3 for value in commas)
    return bool(commas) and sure and not any("." in value for value in values)


def _is_comma_number(value: str) -> bool:
    whole, comma, part = value.lstrip("+-").partition(",")
    return bool(comma) and (whole + part).isdecimal()
