"""The files of a lake: immutable Parquet files, each of one kind and, where its rows have an instant, of one month.

| kind | a row is | partition | sorted by |
|---|---|---|---|
| journeys | a journey, ``JOURNEY_SCHEMA`` | month of ``started_at``, UTC | policy, started_at, journey_id |
| fixes | a block of one vehicle's kept fixes of one UTC day | month of the day | vehicle, day |
| history | a former content of a journey | none | journey_id, position |
| refusals | a refusal | none | vehicle, refusal_id |
| policies | a policy term | none | number, tenant, valid_from |
| changes | the position of a vehicle's change | none | position |
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from journeymesh.instants import EPOCH
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA
from journeymesh.stores.records import POLICY_KEY

ROWS_PER_GROUP: Final = 16_384
BLOCKS_PER_GROUP: Final = 256

HISTORY_SCHEMA: Final = pa.schema(
    [
        ("entry_id", pa.string()),
        ("journey_id", pa.string()),
        ("successor_id", pa.string()),
        ("superseded_at_us", pa.int64()),
        ("position", pa.int64()),
        ("latest", pa.int64()),
        ("content", pa.string()),
    ]
)
REFUSAL_SCHEMA: Final = pa.schema(
    [*REFUSAL_DIGEST_SCHEMA, *(pa.field(name, pa.string()) for name in ("origin", "detail", "content"))]
)
BLOCK_SCHEMA: Final = pa.schema(
    [
        ("vehicle", pa.string()),
        ("day", pa.int32()),
        ("first_us", pa.int64()),
        ("last_us", pa.int64()),
        ("fixes", pa.int32()),
        ("content", pa.binary()),
    ]
)
CHANGE_SCHEMA: Final = pa.schema([("vehicle", pa.string()), ("position", pa.int64())])


@dataclass(frozen=True, slots=True)
class FileKind:
    """How the files of one kind look. ``key`` says which row is a version of which."""

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    order: tuple[str, ...]
    rows_per_group: int = ROWS_PER_GROUP


KINDS: Final = {
    kind.name: kind
    for kind in (
        FileKind("journeys", JOURNEY_SCHEMA, ("journey_id",), ("policy", "started_at", "journey_id")),
        FileKind("fixes", BLOCK_SCHEMA, ("vehicle", "day"), ("vehicle", "day"), BLOCKS_PER_GROUP),
        FileKind("history", HISTORY_SCHEMA, ("entry_id",), ("journey_id", "position", "entry_id")),
        FileKind("refusals", REFUSAL_SCHEMA, ("refusal_id",), ("vehicle", "refusal_id")),
        FileKind("policies", POLICY_SCHEMA, POLICY_KEY, POLICY_KEY),
        FileKind("changes", CHANGE_SCHEMA, ("vehicle",), ("position",)),
    )
}


class LakeFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A committed file. ``path`` is relative to the lake; ``part`` the month; ``last`` a feed file's last position."""

    kind: str
    path: str
    rows: int
    part: str = ""
    last: int = 0


def month_of(instant: datetime) -> str:
    """The partition of an instant."""
    return instant.astimezone(UTC).strftime("%Y-%m")


def month_of_day(day: int) -> str:
    """The partition of a UTC day (days since 1970)."""
    return month_of(EPOCH + timedelta(days=day))


def write_table(root: Path, kind: FileKind, table: pa.Table, number: int) -> list[LakeFile]:
    """Write the rows as the files of commit ``number``, one for each month in them; on disk when this returns."""
    written = []
    for part, rows in _by_month(kind, table):
        batches = rows.sort_by([(name, "ascending") for name in kind.order]).to_batches()
        written.append(write_batches(root, kind, part, batches, number))
    sync_folders(root / file.path for file in written)
    return written


def write_batches(root: Path, kind: FileKind, part: str, batches: Iterable[pa.RecordBatch], number: int) -> LakeFile:
    """Write rows that are in order as one file. Its folder has yet to be synchronised."""
    folder = f"{kind.name}/month={part}" if part else kind.name
    path = f"{folder}/{number:08d}-{uuid.uuid4().hex[:12]}.parquet"
    (root / folder).mkdir(parents=True, exist_ok=True)
    rows, last = 0, 0
    with open(root / path, "xb") as file:
        with pq.ParquetWriter(file, kind.schema, compression="zstd") as writer:
            for batch in _grouped(kind, batches):
                writer.write_table(batch, row_group_size=kind.rows_per_group)
                rows += len(batch)
                if kind.name == "changes":
                    last = max(last, batch["position"][-1].as_py())
        file.flush()
        os.fsync(file.fileno())
    return LakeFile(kind.name, path, rows, part, last)


def sync_folders(paths: Iterable[Path]) -> None:
    """Make the names of these files last, and those of the folders above them within the lake."""
    for folder in sorted({above for path in paths for above in (path.parent, path.parent.parent)}):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_files(root: Path, files: Iterable[LakeFile]) -> None:
    """Remove files that no commit names."""
    for file in files:
        with contextlib.suppress(OSError):
            (root / file.path).unlink()


def replace_text(path: Path, text: str | bytes) -> None:
    """Put a whole file in place of the one there."""
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}")
    temporary.write_bytes(text.encode() if isinstance(text, str) else text)
    temporary.replace(path)


def _by_month(kind: FileKind, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    if kind.name == "journeys":
        parts = [month_of(instant) for instant in table["started_at"].to_pylist()]
    elif kind.name == "fixes":
        parts = [month_of_day(day) for day in table["day"].to_pylist()]
    else:
        if len(table):
            yield "", table
        return
    rows: dict[str, list[int]] = {}
    for row, part in enumerate(parts):
        rows.setdefault(part, []).append(row)
    for part in sorted(rows):
        yield part, table.take(rows[part])


def _grouped(kind: FileKind, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The batches as tables of about one row group."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= kind.rows_per_group:
            yield pa.Table.from_batches(held, kind.schema)
            held = []
    if held:
        yield pa.Table.from_batches(held, kind.schema)


def table_of(kind: FileKind, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows in the order of the kind's columns as a table."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kind.schema)
    return pa.table(
        [pa.array(values, field.type) for values, field in zip(columns, kind.schema, strict=True)], schema=kind.schema
    )
