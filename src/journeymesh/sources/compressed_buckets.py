"""Time-series buckets that the server compressed, put back into the form that they had before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bson
import numpy as np
from bson.raw_bson import RawBSONDocument

from journeymesh.journeys.fixes import I64
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, OPTIONS, decoded
from journeymesh.sources.compressed_columns import Value, column_values
from journeymesh.sources.simple8b import DamagedColumn

COLUMN: Final = 7
"""The subtype of a binary that is a compressed column."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """Buckets put back, one after the other, and where each begins here and began in its buffer, ascending."""

    content: U8
    here: I64
    there: I64

    @classmethod
    def of(cls, buckets: Sequence[tuple[int, bytes]]) -> Expanded:
        """Of (where it began, its documents) for each."""
        sizes = [len(bucket) for _, bucket in buckets]
        content = np.frombuffer(b"".join(bucket for _, bucket in buckets), np.uint8)
        here = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        return cls(content, here, np.array([start for start, _ in buckets], np.int64))

    def origin_of(self, starts: I64) -> I64:
        """Where the documents that begin here at these offsets began."""
        found: I64 = self.there[np.searchsorted(self.here, starts, "right") - 1]
        return found


def expanded(document: bytes, arrays: Iterable[str]) -> bytes | None:
    """The document with the columns at these paths as documents keyed by position; None where none is compressed.

    Raises:
        DamagedColumn: a column cannot be read; the text names it.
    """
    content = decoded(document)
    if content is None:
        return None
    is_packed = False
    for path in arrays:
        *before, last = path.split(".")
        inside: Any = content
        for step in before:
            inside = inside.get(step) if isinstance(inside, dict) else None
        column = inside.get(last) if isinstance(inside, dict) else None
        if not isinstance(column, bson.Binary) or column.subtype != COLUMN:
            continue
        try:
            inside[last] = RawBSONDocument(_keyed(column_values(bytes(column))))
        except DamagedColumn as error:
            raise DamagedColumn(f"{path}: the compressed column is damaged: {error}") from error
        is_packed = True
    if not is_packed:
        return None
    whole: bytes = bson.encode(content, codec_options=OPTIONS)
    if len(whole) > MAX_DOCUMENT_BYTES:
        raise DamagedColumn("its columns are larger than a document may be")
    return whole


def _keyed(values: Sequence[Value | None]) -> bytes:
    """The values as a document keyed by position; a position without a value is left out."""
    parts = [b"%c%d\0%b" % (value[0], position, value[1]) for position, value in enumerate(values) if value is not None]
    body = b"".join(parts)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"
