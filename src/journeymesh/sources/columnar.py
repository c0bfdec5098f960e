"""Parquet: columns that are nearly what the pass wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.journeys.fixes import FIX_SCHEMA, Fixes, renumbered
from journeymesh.sources.column_values import listed
from journeymesh.sources.decoding_memory import decoding_memory
from journeymesh.sources.file_source import FileSource
from journeymesh.sources.files import FileDamaged, SourceFile, files_of, origins_from
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.paths import column_name, parsed
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.refused_rows import no_column, refusals_of, refused_file
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.tabular import OWN_FIELDS

BATCH_ROWS: Final = 1 << 19
_FEW_VEHICLES: Final = 1_000
"""So many names may be in a batch's dictionary though none of its rows has them."""
ENDINGS: Final = (".parquet", ".pq")


@dataclass(slots=True)
class ParquetFile:
    """The rows of one Parquet file, each a fix, read column by column."""

    file: SourceFile
    number: int
    reading: RowReading
    is_mapped: bool
    notes: list[str] = field(default_factory=list)

    def rows(self) -> int:
        """How many there are.

        Raises:
            MappingInvalid: a column that fixes need is not there. FileDamaged: it is not Parquet, or not whole.
        """
        with opened_parquet(self.file) as parquet:
            self._check(parquet.schema_arrow)
            return int(parquet.metadata.num_rows)

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once; raises as ``rows``."""
        reading, row, keys = self.reading, 1, RowKeys(self.file.place)
        with opened_parquet(self.file, [reading.fields.vehicle.path]) as parquet:
            schema = parquet.schema_arrow
            self._check(schema)
            columns = [_selected(schema, path) for path in reading.paths if type_at(schema, path) is not None]
            straight = not self.is_mapped and reading.tally is None and _is_ours(schema)
            per_row = (self.file.size or 0) / max(parquet.metadata.num_rows, 1)
            for batch in _batches(parquet, columns):
                read_bytes = int(per_row * len(batch))
                first_origin = int(origins_from(self.number, row, 1)[0])
                read = _straight(batch, first_origin) if straight and len(batch) else None
                if read is not None:
                    yield SourceBatch(read, read_bytes=read_bytes)
                else:
                    yield self._read(batch, row, read_bytes, keys)
                row += len(batch)

    def _check(self, schema: pa.Schema) -> None:
        absent = [path for path in self.reading.required if type_at(schema, path) is None]
        if absent:
            raise no_column(self.file, absent[0], schema.names, is_mapped=self.is_mapped)

    def _read(self, batch: pa.RecordBatch, first: int, read_bytes: int, keys: RowKeys) -> SourceBatch:
        origins = origins_from(self.number, first, len(batch))
        fixes, faults = self.reading.fixes(lambda path: column_at(batch, path), origins)
        names = {row: f"{self.file.name}:{first + row}" for row in faults.reasons}
        refusals = refusals_of(faults, names, lambda row: _row(batch, row), keys)
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)


class ParquetSource(FileSource):
    """A Parquet file, a glob or a folder of them. Without a mapping its columns are named as in ``FIX_SCHEMA``.

    Of several files, one that is not Parquet, is damaged or lacks a column is refused and the others are read.

    Raises:
        SourceMissing: nothing is there.
        SourceUnreadable: no file is Parquet.
        MappingInvalid: no file has the columns that fixes need.
    """

    def __init__(self, location: str, mapping: Mapping | None = None) -> None:
        super().__init__(location, mapping)
        self.files = files_of(location, ENDINGS)
        self._rows = 0
        for number, file in enumerate(self.files):
            self.states[file.path] = SourceItem(file.name)
            try:
                self._rows += self.reader(number, file).rows()
            except (MappingInvalid, FileDamaged) as error:
                self.states[file.path], _ = refused_file(file, error, before=False)
                if number + 1 == len(self.files) and not any(one.state == "read" for one in self.states.values()):
                    raise

    def size(self) -> SourceSize:
        """Bytes and rows of all files."""
        return replace(super().size(), fixes=self._rows)

    def reader(self, number: int, file: SourceFile) -> ParquetFile:
        """What reads this file."""
        return ParquetFile(file, number, self.reading(file, OWN_FIELDS), self.mapping is not None)


ARROW_FAULTS: Final = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What reading a file with Arrow raises: names in its schema are decoded where they are first looked at."""


@contextmanager
def opened_parquet(file: SourceFile, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """A Parquet file, open; foreign errors come out as ``SourceUnreadable``."""
    handle: Any = None
    try:
        handle = pa.OSFile(file.path, "rb") if file.is_local else file.filesystem.open(file.path, "rb")
        metadata = pq.read_metadata(handle)
        present = {metadata.schema.column(i).path for i in range(metadata.num_columns)}
        with decoding_memory():
            parquet = pq.ParquetFile(
                handle,
                metadata=metadata,
                read_dictionary=[path for path in dictionaries if path in present],
                pre_buffer=False,
                buffer_size=1 << 18,
            )
        yield parquet
    except ARROW_FAULTS as error:
        raise unreadable(file, error) from error
    finally:
        if handle is not None:
            handle.close()


def unreadable(file: SourceFile, error: BaseException) -> SourceUnreadable:
    """What to raise for one of ``ARROW_FAULTS`` while this file was read as Parquet."""
    what = " ".join(str(error).split())
    # The system's own errors have a number; those without are about what the file holds.
    kind = SourceUnreadable if getattr(error, "errno", None) else FileDamaged
    return kind(f"{file.name} cannot be read as Parquet: {what}", todo="check that the file is whole")


def _batches(parquet: pq.ParquetFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """All rows. Of small row groups, as Spark writes them, several become one batch: a dictionary ends with its row
    group, and with it a batch, and each batch costs, most of all the vehicles that go on in the next."""
    rows = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    if not rows or max(rows) > BATCH_ROWS // 2:
        yield from parquet.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
        return
    first = 0
    while first < len(rows):
        end, held = first + 1, rows[first]
        while end < len(rows) and held + rows[end] <= BATCH_ROWS:
            held, end = held + rows[end], end + 1
        table = parquet.read_row_groups(range(first, end), columns=columns, use_threads=False)
        yield from table.unify_dictionaries().combine_chunks().to_batches()
        first = end


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


def _selected(schema: pa.Schema, path: str) -> str:
    """What a column at a path is asked for by: a list or a map as a whole."""
    names = schema.names
    if (name := _named(names, column_name(path))) is not None:
        return name
    first, *rest = parsed(path).steps
    asked = [_named(names, first) or first]
    held = schema.field(asked[0]).type
    for step in rest:
        if not pa.types.is_struct(held):
            break
        asked.append(step)
        held = held.field(step).type
    return ".".join(asked)


def type_at(schema: pa.Schema, path: str) -> pa.DataType | None:
    """The type of the column at a path; None where there is none."""
    names = schema.names
    if (name := _named(names, column_name(path))) is not None:
        return schema.field(name).type
    first, *rest = parsed(path).steps
    outer = _named(names, first)
    held = None if outer is None else schema.field(outer).type
    for step in rest:
        held = None if held is None else _type_in(held, step)
    return held


def _type_in(outer: pa.DataType, step: str) -> pa.DataType | None:
    """The type of what a step leads to: a field, a place in a list, the value of a key; None where it leads nowhere."""
    if pa.types.is_struct(outer):
        index = outer.get_field_index(step)
        return outer.field(index).type if index >= 0 else None
    if _is_list(outer) and step.isdecimal():
        return outer.value_type
    return outer.item_type if pa.types.is_map(outer) and _is_text(outer.key_type) else None


def _is_list(held: pa.DataType) -> bool:
    return bool(pa.types.is_list(held) or pa.types.is_large_list(held) or pa.types.is_fixed_size_list(held))


def _is_text(held: pa.DataType) -> bool:
    return bool(pa.types.is_string(held) or pa.types.is_large_string(held))


def _step(column: pa.Array, step: str) -> pa.Array:
    """What a step leads to in each row; null where a list is too short or a map has no such key."""
    if pa.types.is_struct(column.type):
        return pc.struct_field(column, step)
    if pa.types.is_map(column.type):
        return pc.map_lookup(column, pa.scalar(step, column.type.key_type), "first")
    reaches = pc.greater(pc.list_value_length(column), int(step)).fill_null(False)
    if not pc.any(reaches).as_py():
        return pa.nulls(len(column), column.type.value_type)
    return pc.list_element(pc.if_else(reaches, column, pa.scalar(None, column.type)), int(step))


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
        if _type_in(column.type, step) is None:
            return None
        column = _step(column, step)
    return column


def _row(batch: pa.RecordBatch, row: int) -> dict[str, Any]:
    return {
        name: listed(column.slice(row, 1))[0] for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
