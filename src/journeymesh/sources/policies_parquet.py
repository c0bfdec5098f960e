"""Policies, or totals, in Parquet as rows: within bounds that are known before a column is decoded.

A few bytes of Parquet can stand for more values, or for longer texts, than memory holds. Lists, of which neither has
any, are left out: only their own columns' metadata say how long they are, and to look at those of a damaged file ends
the process (pyarrow 26).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journeymesh.errors import PoliciesInvalid, UsageError

MOST_VALUES: Final = 50_000_000
"""Of all rows and columns, nulls with them: some five million policies."""
MOST_DECODED_BYTES: Final = 1 << 30
"""Of all columns, as they say themselves, once they are no longer compressed."""
MOST_TEXT_BYTES: Final = 512 << 20
"""Of all texts, as often as they are used."""
_BATCH_ROWS: Final = 4_096


def parquet_rows(
    path: Path, called: str = "policies", invalid: type[UsageError] = PoliciesInvalid
) -> list[dict[str, Any]]:
    """Every row by its columns' names. ``called`` is what such a file is called.

    Raises:
        invalid: it decodes to more than the bounds. OSError, pa.ArrowException: it cannot be read.
    """
    with pq.ParquetFile(path) as plain:
        columns = _columns(plain.metadata)
        beyond = _size_beyond(plain.metadata, columns)
    if beyond is not None:
        raise _beyond(path, beyond, called, invalid)
    texts = [each.path for each in columns if _is_text(each)]
    rows: list[dict[str, Any]] = []
    left = MOST_TEXT_BYTES
    # As dictionaries a text that many rows have is in memory once.
    with pq.ParquetFile(path, read_dictionary=texts) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=[each.path for each in columns], use_threads=False):
            left -= sum(_text_bytes(column) for column in batch.columns)
            if left < 0:
                raise _beyond(path, f"{MOST_TEXT_BYTES >> 20} MiB of text", called, invalid)
            rows += batch.to_pylist()
    return rows


def _size_beyond(metadata: Any, columns: list[Any]) -> str | None:
    """What there is more of than there may be; None: nothing."""
    decoded = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    decoded += metadata.num_rows * sum(max(each.length, 0) for each in columns)
    if metadata.num_rows * max(len(columns), 1) > MOST_VALUES:
        return f"{MOST_VALUES:,} values"
    if decoded > MOST_DECODED_BYTES:
        return f"{MOST_DECODED_BYTES >> 20} MiB of columns"
    return None


def _columns(metadata: Any) -> list[Any]:
    """The columns that hold one value a row, those inside of others too; ``length`` is of each value, where all have
    one."""
    every = (metadata.schema.column(number) for number in range(metadata.num_columns))
    return [each for each in every if each.max_repetition_level == 0]


def _is_text(column: Any) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL")


def _text_bytes(column: pa.Array) -> int:
    """What the texts come to when each row has its own, those inside of structs too."""
    if pa.types.is_dictionary(column.type):
        if column.type.value_type in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
        return 0
    if pa.types.is_struct(column.type):
        return sum(map(_text_bytes, column.flatten()))
    return int(column.nbytes)


def _beyond(path: Path, what: str, called: str, invalid: type[UsageError]) -> UsageError:
    return invalid(
        f"{called} {path}: it decodes to more than {what}", todo="split it, and import each file in a run of its own"
    )
