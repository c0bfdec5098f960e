"""Parquet: columns that are nearly what the pass wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.journeys.fixes import FIX_SCHEMA, I64, Fixes, renumbered
from journeymesh.sources.column_values import listed
from journeymesh.sources.decoding_memory import decoding_memory
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.files import SourceFile, described, files_of, origins_from
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.paths import column_name, parsed
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.refused_rows import refusals_of
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.tabular import fields_of, paths_of, required_paths, to_fixes, where_of

BATCH_ROWS: Final = 1 << 19
_FEW_VEHICLES: Final = 1_000
"""So many names may be in a batch's dictionary though none of its rows has them."""
ENDINGS: Final = (".parquet", ".pq")


class ParquetSource:
    """A Parquet file, a glob or a folder of them. Without a mapping its columns are named as in ``FIX_SCHEMA``.

    Raises:
        SourceMissing: nothing is there.
        SourceUnreadable: a file is not Parquet.
        MappingInvalid: a file lacks a column that fixes need.
    """

    def __init__(self, location: str, mapping: Mapping | None = None) -> None:
        self.name = location
        self.tally: FieldTally | None = None
        self._location = location
        self._mapping = mapping
        self._fields = fields_of(mapping)
        self._where = where_of(mapping)
        self._files = files_of(location, ENDINGS)
        self._rows = 0
        for file in self._files:
            with _Opened(file) as parquet:
                self._rows += parquet.metadata.num_rows
                self._check(file, parquet.schema_arrow)

    def size(self) -> SourceSize:
        """Bytes and rows of all files."""
        sizes = [file.size for file in self._files if file.size is not None]
        return SourceSize(sum(sizes) if len(sizes) == len(self._files) else None, self._rows)

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a file is read whole
        """Every row once, file by file."""
        for file_number, file in enumerate(self._files):
            yield from self._file_batches(file_number, file)

    def describe(self, origins: I64) -> list[str]:
        """``fixes.parquet:12345``, the first row being 1."""
        return described(self._files, origins)

    def items(self) -> list[SourceItem]:
        """Every file."""
        return [SourceItem(file.name) for file in self._files]

    def policies(self) -> UsablePolicies:
        """Those that the mapping names: a file of that name beside this one."""
        from journeymesh.sources.policies_file import policies_beside

        return policies_beside(self._location, self._mapping)

    def close(self) -> None:
        """Nothing is held between batches."""

    def _check(self, file: SourceFile, schema: pa.Schema) -> None:
        absent = [path for path in required_paths(self._fields, self._where) if type_at(schema, path) is None]
        if absent:
            some = ", ".join(schema.names[:20])
            todo = f"map it to one of {some}" if self._mapping else f"give a --mapping; the columns are {some}"
            raise MappingInvalid(f"{file.name}: there is no column {absent[0]!r}", todo=todo)

    def _file_batches(self, file_number: int, file: SourceFile) -> Iterator[SourceBatch]:
        row, keys = 1, RowKeys(file.place)
        with _Opened(file, [self._fields.vehicle.path]) as parquet:
            schema = parquet.schema_arrow
            columns = [
                _selected(schema.names, path)
                for path in paths_of(self._fields, self._where)
                if type_at(schema, path) is not None
            ]
            straight = self._mapping is None and self.tally is None and _is_ours(schema)
            per_row = (file.size or 0) / max(parquet.metadata.num_rows, 1)
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
                first = int(origins_from(file_number, row, 1)[0])
                row += len(batch)
                read = _straight(batch, first) if straight and len(batch) else None
                if read is not None:
                    yield SourceBatch(read, read_bytes=int(per_row * len(batch)))
                    continue
                yield self._mapped(batch, np.arange(first, first + len(batch)), int(per_row * len(batch)), keys)

    def _mapped(self, batch: pa.RecordBatch, origins: I64, read_bytes: int, keys: RowKeys) -> SourceBatch:
        fixes, faults = to_fixes(lambda path: column_at(batch, path), self._fields, origins, self.tally, self._where)
        names = self.describe(origins) if faults.reasons else []
        refusals = refusals_of(faults, names, lambda row: _row(batch, row), keys)
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)


class _Opened:
    """A Parquet file, open; foreign errors come out as ``SourceUnreadable``."""

    def __init__(self, file: SourceFile, dictionaries: Sequence[str] = ()) -> None:
        self._file = file
        self._dictionaries = dictionaries
        self._handle: Any = None

    def __enter__(self) -> pq.ParquetFile:
        file = self._file
        with _mapped_errors(file):
            if file.is_local:
                self._handle = pa.OSFile(file.path, "rb")
            else:
                self._handle = file.filesystem.open(file.path, "rb")
            metadata = pq.read_metadata(self._handle)
            held = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
            with decoding_memory():
                return pq.ParquetFile(
                    self._handle,
                    metadata=metadata,
                    read_dictionary=[path for path in self._dictionaries if path in held],
                    pre_buffer=False,
                    buffer_size=1 << 18,
                )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._handle is not None:
            self._handle.close()
        if isinstance(error, pa.ArrowException | OSError):
            raise _unreadable(self._file, error) from error


class _mapped_errors:
    def __init__(self, file: SourceFile) -> None:
        self._file = file

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError):
            raise _unreadable(self._file, error) from error


def _unreadable(file: SourceFile, error: BaseException) -> SourceUnreadable:
    what = " ".join(str(error).split())
    return SourceUnreadable(f"{file.name} cannot be read as Parquet: {what}", todo="check that the file is whole")


def _is_ours(schema: pa.Schema) -> bool:
    """Whether every column present is of ``FIX_SCHEMA``'s kind, so that nothing needs converting."""
    for wanted in FIX_SCHEMA:
        if wanted.name not in schema.names:
            if _named(schema.names, wanted.name) is not None:
                return False
            continue
        held = schema.field(wanted.name).type
        match wanted.name:
            case "vehicle":
                text = held.value_type if pa.types.is_dictionary(held) else held
                fits = pa.types.is_string(text) or pa.types.is_large_string(text)
            case "fixed_at" | "received_at":
                fits = pa.types.is_timestamp(held)
            case "ignition":
                fits = pa.types.is_boolean(held)
            case _:
                fits = pa.types.is_floating(held)
        if not fits:
            return False
    return True


def _straight(batch: pa.RecordBatch, first_origin: int) -> Fixes | None:
    """The batch without a copy; None where a vehicle or a clock is missing."""
    vehicle = batch.column("vehicle")
    if vehicle.null_count or batch.column("fixed_at").null_count:
        return None
    if not pa.types.is_dictionary(vehicle.type):
        vehicle = vehicle.dictionary_encode()
    if len(vehicle.dictionary) > _FEW_VEHICLES:
        # A file's dictionary has all its vehicles, a batch's few of them.
        present, codes = renumbered(vehicle.indices.cast(pa.int32()).to_numpy())
        vehicle = pa.DictionaryArray.from_arrays(
            pa.array(codes), vehicle.dictionary.take(pa.array(present)), safe=False
        )
        batch = batch.set_column(batch.schema.get_field_index("vehicle"), "vehicle", vehicle)
    if vehicle.dictionary.null_count or "" in listed(vehicle.dictionary):
        return None
    return Fixes.from_arrow(batch, first_origin, is_ours=True)


def _named(names: Sequence[str], name: str) -> str | None:
    """The column of this name; else the only one whose name differs in nothing but capitals."""
    if name in names:
        return name
    alike = [one for one in names if one.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _selected(names: Sequence[str], path: str) -> str:
    """What a column at a path is asked for by."""
    whole = column_name(path)
    first, *rest = parsed(path).steps
    return _named(names, whole) or ".".join([_named(names, first) or first, *rest])


def type_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type of the column at a path; None where there is none."""
    names = schema.names
    if (name := _named(names, column_name(path))) is not None:
        return schema.field(name).type
    first, *rest = parsed(path).steps
    outer = _named(names, first)
    held = None if outer is None else schema.field(outer).type
    for step in rest:
        index = held.get_field_index(step) if held is not None and pa.types.is_struct(held) else -1
        held = None if index < 0 or held is None else held.field(index).type
    return held


def column_at(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """The column at a path; None where there is none."""
    names = batch.schema.names
    if (name := _named(names, column_name(path))) is not None:
        return batch.column(name)
    first, *rest = parsed(path).steps
    outer = _named(names, first)
    if outer is None:
        return None
    column = batch.column(outer)
    for step in rest:
        if not pa.types.is_struct(column.type) or column.type.get_field_index(step) < 0:
            return None
        column = pc.struct_field(column, step)
    return column


def _row(batch: pa.RecordBatch, row: int) -> dict[str, Any]:
    return {
        name: listed(column.slice(row, 1))[0] for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
