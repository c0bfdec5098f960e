"""Policies in Parquet, as rows: within bounds that are known before a column is decoded.

A few bytes of Parquet can stand for more values, or for longer texts, than memory holds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journeymesh.errors import PoliciesInvalid

MOST_VALUES: Final = 50_000_000
"""Of all rows and columns, nulls and those in lists with them: some five million policies."""
MOST_DECODED_BYTES: Final = 1 << 30
"""Of all columns, as they say themselves, once they are no longer compressed."""
MOST_TEXT_BYTES: Final = 512 << 20
"""Of all texts, as often as they are used."""
_BATCH_ROWS: Final = 4_096


def parquet_rows(path: Path) -> list[dict[str, Any]]:
    """Every row by its columns' names.

    Raises:
        PoliciesInvalid: it stands for more than the bounds. OSError, pa.ArrowException: it cannot be read.
    """
    with pq.ParquetFile(path) as plain:
        _check_size(path, plain.metadata)
        texts = [each.path for each in _columns(plain.metadata) if _is_text(each)]
    rows: list[dict[str, Any]] = []
    left = MOST_TEXT_BYTES
    # As dictionaries a text that many rows have is in memory once.
    with pq.ParquetFile(path, read_dictionary=texts) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS, use_threads=False):
            left -= sum(_text_bytes(column) for column in batch.columns)
            if left < 0:
                raise _beyond(path, f"{MOST_TEXT_BYTES >> 20} MiB of text")
            rows += batch.to_pylist()
    return rows


def _check_size(path: Path, metadata: Any) -> None:
    values = decoded = 0
    for number, kind in enumerate(_columns(metadata)):
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(number)
            held = max(column.num_values, metadata.row_group(group).num_rows)
            values += held
            decoded += max(column.total_uncompressed_size, held * max(kind.length, 0))
    if max(values, metadata.num_rows) > MOST_VALUES:
        raise _beyond(path, f"{MOST_VALUES:,} values")
    if decoded > MOST_DECODED_BYTES:
        raise _beyond(path, f"{MOST_DECODED_BYTES >> 20} MiB of columns")


def _columns(metadata: Any) -> list[Any]:
    """The columns that hold values, those inside of others too; ``length`` is of each value, where all have one."""
    return [metadata.schema.column(number) for number in range(metadata.num_columns)]


def _is_text(column: Any) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL")


def _text_bytes(column: pa.Array) -> int:
    """What the texts come to when each row has its own, those inside of structs and lists too."""
    if pa.types.is_dictionary(column.type):
        if column.type.value_type in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
        return 0
    if pa.types.is_struct(column.type) or pa.types.is_list(column.type) or pa.types.is_map(column.type):
        inner = column.flatten() if pa.types.is_struct(column.type) else [column.flatten()]
        return sum(map(_text_bytes, inner))
    return int(column.nbytes)


def _beyond(path: Path, what: str) -> PoliciesInvalid:
    return PoliciesInvalid(
        f"policies {path}: it stands for more than {what}", todo="split it, and give each file by a run of its own"
    )
