"""Files of a place that are read row by row or document by document: each as what it is, and each named as read,
skipped or refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import numpy as np

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.csv_dialect import CsvDialect
from journeymesh.sources.csv_files import CsvFile
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.file_doubts import FileSpan
from journeymesh.sources.file_kinds import Kind, kind_of
from journeymesh.sources.file_vehicles import partition_of, vehicle_of
from journeymesh.sources.files import SourceFile, described, files_of, origins_from
from journeymesh.sources.json_files import JsonFile
from journeymesh.sources.mapping import FieldMappings, Mapping
from journeymesh.sources.parquet_rows import ParquetRows
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.refused_rows import refused_text
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.signals import SignalRows
from journeymesh.sources.tabular import OWN_FIELDS, where_of


class FileReader(Protocol):
    """One file being read: its batches, and what is worth a word about it once it was read."""

    notes: list[str]

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once."""


class TextSource:
    """The files of a place, in the order of their paths. Without a mapping, ``FIX_SCHEMA``'s names.

    Of several files, one that lacks a column is refused and the others are read.

    Raises:
        SourceMissing: nothing is there that can be read.
        SourceUnreadable: the one file that was named cannot be.
    """

    def __init__(self, location: str, mapping: Mapping | None = None) -> None:
        self.name = location
        self.tally: FieldTally | None = None
        self._location = location
        self._mapping = mapping
        self._files: list[SourceFile] = []
        self._kinds: list[Kind] = []
        self._items: dict[str, SourceItem] = {}
        everything = files_of(location)
        named = (len(everything) == 1 and everything[0].is_named) or any(sign in location for sign in "*?[")
        for file in everything:
            if mapping is not None and mapping.policies is not None and file.stem == mapping.policies.collection:
                self._items[file.path] = SourceItem(file.name, "skipped", "policies")
                continue
            kind, reason = kind_of(file, named=named)
            if kind == "json" and mapping is not None and mapping.csv is not None and mapping.csv.separator is not None:
                kind = "columns"  # whose last one holds JSON
            self._items[file.path] = SourceItem(file.name, "read" if kind else "skipped", reason)
            if kind is not None:
                self._files.append(file)
                self._kinds.append(kind)
        if not self._files and len(everything) == 1 and named:
            (item,) = self._items.values()
            todo = "give a file of columns, JSON, GPX, NMEA or Parquet, or a dump of MongoDB"
            raise SourceUnreadable(f"source {location} cannot be read: {item.reason}", todo=todo)
        if not self._files:
            why = "; ".join(f"{item.name}: {item.reason}" for item in list(self._items.values())[:5])
            raise SourceMissing(
                f"source {location}: none of its {len(everything)} files can be read ({why})",
                todo="give files of columns, JSON, GPX, NMEA or Parquet, or a pattern such as 'folder/*.dat'",
            )

    def size(self) -> SourceSize:
        """The bytes of all files; their rows are not known without reading."""
        sizes = [file.size for file in self._files if file.size is not None]
        return SourceSize(sum(sizes) if len(sizes) == len(self._files) else None)

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a file is read whole
        """Every row or document once, file by file."""
        first: MappingInvalid | None = None
        usable = 0
        for number, file in enumerate(self._files):
            try:
                reader = self._reader(number, file, self._kinds[number])
                yield from reader.batches()
            except MappingInvalid as error:
                if len(self._files) == 1:
                    raise
                first = first or error
                self._items[file.path] = SourceItem(file.name, "refused", error.what.removeprefix(f"{file.name}: "))
                refusal = refused_text(file.name, f"the file is refused: {error.what}", b"", RowKeys(file.place))
                yield SourceBatch(Fixes.empty(), [refusal], read_bytes=file.size or 0)
            else:
                usable += 1
                self._items[file.path] = SourceItem(file.name, reason=", ".join(reader.notes))
        if first is not None and not usable:
            raise first

    def describe(self, origins: I64) -> list[str]:
        """``fixes.csv:42``, by line from 1; of a JSON array or GPX by document or point."""
        return described(self._files, origins)

    def file_spans(self, most: int) -> list[FileSpan]:
        """The first fixes of up to so many files whose rows are all of the vehicle that the mapping names or takes
        from the path; files that cannot be read are left out."""
        spans = []
        for number, file in enumerate(self._files[:most]):
            with suppress(MappingInvalid, SourceUnreadable):
                vehicle = None if self._mapping is None else vehicle_of(file, self._mapping.fields.vehicle)
                reader = self._reader(number, file, self._kinds[number])
                first = next((batch.fixes for batch in reader.batches() if len(batch.fixes)), None)
                if vehicle is not None and first is not None:
                    span = int(first.fixed_at_us.min()), int(first.fixed_at_us.max())
                    spans.append(FileSpan(file.name, vehicle, *span))
        return spans

    def items(self) -> list[SourceItem]:
        """Every file, and how it is written where the mapping does not say."""
        return list(self._items.values())

    def policies(self) -> UsablePolicies:
        """Those that the mapping names: a file of that name beside this one."""
        from journeymesh.sources.policies_file import policies_beside

        return policies_beside(self._location, self._mapping)

    def close(self) -> None:
        """Nothing is held between batches."""

    def _reader(self, number: int, file: SourceFile, kind: Kind) -> FileReader:
        mapping = self._mapping
        dialect = (mapping and mapping.csv) or CsvDialect()
        signals = None
        if mapping is not None and mapping.signals is not None:
            signals = SignalRows(file.name, self._reading(file, OWN_FIELDS), mapping.signals)
        if kind in ("columns", "gpx", "nmea") and mapping is not None and mapping.layout in ("embedded", "bucketed"):
            todo = "use layout: document for rows of a file"
            raise MappingInvalid(f"{file.name}: layout {mapping.layout} is for documents with arrays", todo=todo)
        match kind:
            case "columns":
                return CsvFile(file, number, self._reading(file, OWN_FIELDS), dialect, mapping is not None, signals)
            case "json":
                return JsonFile(file, number, self._reading(file, OWN_FIELDS), dialect.encoding, signals)
            case "gpx":
                from journeymesh.sources.gpx_files import GPX_FIELDS, GpxFile

                return GpxFile(file, number, self._reading(file, GPX_FIELDS))
            case "nmea":
                from journeymesh.sources.nmea_files import NMEA_FIELDS, NmeaFile

                return NmeaFile(file, number, self._reading(file, NMEA_FIELDS))
            case "parquet":
                if mapping is not None and (mapping.layout != "document" or self._is_beside(file, mapping)):
                    return ParquetRows(file, number, self._reading(file, OWN_FIELDS))
                return _ParquetFile(file, number, mapping, self.tally)

    def _is_beside(self, file: SourceFile, mapping: Mapping) -> bool:
        field = mapping.fields.vehicle
        return field.is_beside or partition_of(file, field.path) is not None

    def _reading(self, file: SourceFile, unmapped: FieldMappings) -> RowReading:
        fields = unmapped if self._mapping is None else self._mapping.fields
        return RowReading(fields, where_of(self._mapping), self.tally, vehicle_of(file, fields.vehicle))


class _ParquetFile:
    """A Parquet file among others."""

    def __init__(self, file: SourceFile, number: int, mapping: Mapping | None, tally: FieldTally | None) -> None:
        from journeymesh.sources.columnar import ParquetSource

        self.notes: list[str] = []
        self._source = ParquetSource(file.filesystem.unstrip_protocol(file.path), mapping)
        self._source.tally = tally
        self._first = int(origins_from(number, 0, 1)[0])

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once."""
        for batch in self._source.batches():
            fixes = batch.fixes
            if fixes.origin is not None:
                fixes = replace(fixes, origin=np.asarray(fixes.origin) + self._first)
            yield replace(batch, fixes=fixes)
