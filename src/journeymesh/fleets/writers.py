"""A fleet as files: a mongodump folder, Parquet or CSV, with its policies and its truth beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.fleets.bson_documents import blackbox_documents, collection_metadata, policy_documents
from journeymesh.fleets.fleet import Fleet, FleetChunk, generate
from journeymesh.fleets.orders import Order, in_order
from journeymesh.fleets.spec import FleetSpec
from journeymesh.fleets.truth import TRUE_FAULT_SCHEMA, TRUE_HARSH_SCHEMA, TRUE_JOURNEY_SCHEMA
from journeymesh.journeys.fixes import OPTIONAL_FLOATS, Fixes
from journeymesh.journeys.policies import Policy

Format = Literal["mongodump", "parquet", "csv"]

_DATABASE: Final = "telematics"
_ROW_GROUP: Final = 1_048_576
_MAY_BE_MISSING: Final = ("lat_deg", "lon_deg")
"""Everything else a fleet's recorders always report: such columns are required ones, which are read sooner."""
_PARQUET_LAYOUT: Final[dict[str, Any]] = {
    "compression": "lz4",
    # What is reported in few distinct values is a dictionary; instants are differences; a position's bytes compress
    # once they are apart.
    "use_dictionary": ["vehicle", *OPTIONAL_FLOATS],
    "column_encoding": {
        "fixed_at": "DELTA_BINARY_PACKED",
        "received_at": "DELTA_BINARY_PACKED",
        "lat_deg": "BYTE_STREAM_SPLIT",
        "lon_deg": "BYTE_STREAM_SPLIT",
    },
}
_UNREADABLE_CLOCK: Final = "0000-00-00T24:61:61Z"
_TRUTHS: Final = {
    "journeys": TRUE_JOURNEY_SCHEMA,
    "harsh_events": TRUE_HARSH_SCHEMA,
    "faults": TRUE_FAULT_SCHEMA,
}
OnWritten = Callable[[int], None]
"""Called with the number of fixes written so far."""


@dataclass(slots=True)
class WrittenFleet:
    """What was written where.

    ``source`` is what ``preprocess --source`` takes; ``policies`` what ``--policies`` takes, None where the source
    has them itself; ``truth`` the folder of true journeys, harsh events and faults. ``counts``: ``fixes, bytes,
    vehicles, policies, journeys, harsh_events, faults``.
    """

    source: Path
    policies: Path | None
    truth: Path
    paths: list[Path]
    counts: dict[str, int] = field(default_factory=dict)


def write_fleet(
    spec: FleetSpec,
    out: Path,
    *,
    format: Format = "mongodump",
    order: Order = "clustered",
    on_written: OnWritten | None = None,
) -> WrittenFleet:
    """Make the fleet and write it into the folder ``out``, which is made and may have been written before.

    Raises:
        UsageError: for a format or an order that is not known, or an ``out`` that is not a folder.
        StoreUnavailable: when the disk is full or cannot be written.
    """
    for name, given, known in (("format", format, get_args(Format)), ("order", order, get_args(Order))):
        if given not in known:
            raise UsageError(f"fleet: {name} is {given!r}", todo=f"use one of {', '.join(known)}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is not a folder", todo="name a folder to write the fleet into")
    try:
        return _write(generate(spec), out, format, order, on_written)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot write the fleet to {out}: {error.strerror or error}", todo="free space or name another folder"
        ) from error


def _write(fleet: Fleet, out: Path, format: Format, order: Order, on_written: OnWritten | None) -> WrittenFleet:
    truth, folder = out / "truth", out / _DATABASE if format == "mongodump" else out
    for made in (truth, folder):
        made.mkdir(parents=True, exist_ok=True)
    suffix = "csv" if format == "csv" else "parquet"
    counts = dict.fromkeys(("fixes", *_TRUTHS), 0)
    with ExitStack() as stack:
        keep_truth = stack.enter_context(_truth_files(truth, suffix, counts))
        readable = format == "parquet"

        def fixes() -> Iterator[Fixes]:
            for chunk in fleet.chunks():
                held = chunk.readable() if readable else chunk
                keep_truth(held)
                yield held.fixes

        target = folder / ("blackbox.bson" if format == "mongodump" else f"fixes.{suffix}")
        open_file = {"mongodump": _bson_file, "parquet": parquet_file, "csv": _csv_file}[format]
        write = stack.enter_context(open_file(target, fleet.spec))
        for block in in_order(fleet, fixes(), order, out):
            write(block)
            counts["fixes"] += len(block)
            if on_written:
                on_written(counts["fixes"])
    policies = _write_policies(fleet, folder, format)
    counts |= {"bytes": target.stat().st_size, "vehicles": fleet.spec.vehicles, "policies": len(fleet.policies)}
    paths = [target, policies, *(truth / f"{name}.{suffix}" for name in _TRUTHS)]
    beside = None if format == "mongodump" else policies
    return WrittenFleet(out if format == "mongodump" else target, beside, truth, paths, counts)


@contextmanager
def _truth_files(folder: Path, suffix: str, counts: dict[str, int]) -> Iterator[Callable[[FleetChunk], None]]:
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                pq.ParquetWriter(folder / f"{name}.parquet", schema)
                if suffix == "parquet"
                else pacsv.CSVWriter(folder / f"{name}.csv", schema)
            )
            for name, schema in _TRUTHS.items()
        }

        def keep(chunk: FleetChunk) -> None:
            for name, writer in writers.items():
                table: pa.Table = getattr(chunk.truth, name)
                counts[name] += table.num_rows
                if table.num_rows:
                    writer.write_table(table)

        yield keep


@contextmanager
def _bson_file(path: Path, spec: FleetSpec) -> Iterator[Callable[[Fixes], None]]:
    written = 0
    with path.open("wb", buffering=0) as file:

        def write(fixes: Fixes) -> None:
            nonlocal written
            for block in blackbox_documents(fixes, spec.seed * 1_000_003 + written):
                file.write(block)
            written += len(fixes)

        yield write
    path.with_suffix("").with_suffix(".metadata.json").write_text(collection_metadata(_DATABASE, "blackbox", 1))


@contextmanager
def parquet_file(path: Path, _: FleetSpec) -> Iterator[Callable[[Fixes], None]]:
    """Row groups of a million fixes, in the encodings that are small and quick to read for what recorders report."""
    writer: pq.ParquetWriter | None = None
    held: list[pa.Table] = []

    def flush(rows: int) -> None:
        nonlocal writer
        table = pa.concat_tables(held).unify_dictionaries()
        writer = writer or pq.ParquetWriter(path, table.schema, **_PARQUET_LAYOUT)
        writer.write_table(table.slice(0, rows), row_group_size=_ROW_GROUP)
        held[:] = [table.slice(rows)] if rows < len(table) else []

    def write(fixes: Fixes) -> None:
        table = _only_used(fixes).to_arrow()
        held.append(table.cast(pa.schema([f.with_nullable(f.name in _MAY_BE_MISSING) for f in table.schema])))
        if (rows := sum(len(table) for table in held)) >= _ROW_GROUP:
            flush(rows // _ROW_GROUP * _ROW_GROUP)

    yield write
    if held:
        flush(sum(len(table) for table in held))
    if writer:
        writer.close()


@contextmanager
def _csv_file(path: Path, _: FleetSpec) -> Iterator[Callable[[Fixes], None]]:
    writer: pacsv.CSVWriter | None = None

    def write(fixes: Fixes) -> None:
        nonlocal writer
        table = _only_used(fixes).to_arrow()
        columns = {}
        for name in table.column_names:
            column = table[name]
            if pa.types.is_timestamp(column.type):
                text = pc.replace_substring(column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.string()), " ", "T")
                column = text.fill_null(_UNREADABLE_CLOCK) if name == "fixed_at" else text
            elif pa.types.is_dictionary(column.type):
                column = column.cast(pa.string())
            columns[name] = column
        plain = pa.table(columns)
        writer = writer or pacsv.CSVWriter(path, plain.schema, write_options=pacsv.WriteOptions(quoting_style="needed"))
        writer.write_table(plain)

    yield write
    if writer:
        writer.close()


def _only_used(fixes: Fixes) -> Fixes:
    """The same fixes with a dictionary of the vehicles that occur."""
    used = np.unique(fixes.vehicle)
    codes = np.searchsorted(used, fixes.vehicle).astype(np.int32)
    columns = dict(fixes.columns()) | {"vehicle": codes}
    return Fixes(tuple(fixes.vehicles[code] for code in used), **columns)  # type: ignore[arg-type]


def _write_policies(fleet: Fleet, folder: Path, format: Format) -> Path:
    if format == "mongodump":
        path = folder / "policies.bson"
        path.write_bytes(policy_documents(fleet.policies))
        (folder / "policies.metadata.json").write_text(collection_metadata(_DATABASE, "policies", 2))
        return path
    path = folder / "policies.json"
    path.write_text(json.dumps([_policy_object(policy) for policy in fleet.policies], indent=1) + "\n")
    return path


def _policy_object(policy: Policy) -> dict[str, object]:
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in asdict(policy).items()
        if value is not None
    }
