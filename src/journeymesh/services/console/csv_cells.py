"""CSV that people open in a spreadsheet: a text that would count as a formula there stays a text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins, in full width too (OWASP, CSV injection)."""


def text_columns(schema: pa.Schema) -> frozenset[str]:
    """The columns that hold text; numbers begin with ``-`` by right."""
    return frozenset(
        field.name
        for field in schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type) or pa.types.is_dictionary(field.type)
    )


def without_formulas(path: Path, texts: frozenset[str]) -> None:
    """Rewrite the file so that texts in these columns which would be formulas begin with an apostrophe. One without
    any stays as it is, to the byte."""
    if not any(row[place].startswith(FORMULA_BEGINS) for row, places in _rows(path, texts) for place in places):
        return
    made = path.with_suffix(".made")
    with made.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        for row, places in _rows(path, texts):
            for place in places:
                if row[place].startswith(FORMULA_BEGINS):
                    row[place] = f"'{row[place]}"
            writer.writerow(row)
    made.replace(path)


def _rows(path: Path, texts: frozenset[str]) -> Iterator[tuple[list[str], Sequence[int]]]:
    """The file's rows, the header first, each with the places of its texts."""
    with path.open(encoding="utf-8", newline="") as given:
        rows = csv.reader(given)
        header = next(rows, [])
        yield header, ()
        places = [place for place, name in enumerate(header) if name in texts]
        for row in rows:
            yield row, places
