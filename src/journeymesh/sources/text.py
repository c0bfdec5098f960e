"""Files of a place that are read row by row or document by document: each as what it is, and each named as read,
skipped or refused."""

from __future__ import annotations

from contextlib import suppress

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.sources.csv_dialect import CsvDialect
from journeymesh.sources.csv_files import CsvFile
from journeymesh.sources.file_doubts import FileSpan
from journeymesh.sources.file_kinds import Kind, kind_of
from journeymesh.sources.file_source import FileReader, FileSource
from journeymesh.sources.file_vehicles import partition_of, vehicle_of
from journeymesh.sources.files import SourceFile, files_of
from journeymesh.sources.json_files import JsonFile
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.parquet_rows import ParquetRows
from journeymesh.sources.port import SourceItem
from journeymesh.sources.signals import SignalRows
from journeymesh.sources.tabular import OWN_FIELDS


class TextSource(FileSource):
    """The files of a place, in the order of their paths. Without a mapping, ``FIX_SCHEMA``'s names.

    Raises:
        SourceMissing: nothing is there that can be read.
        SourceUnreadable: the one file that was named cannot be.
    """

    def __init__(self, location: str, mapping: Mapping | None = None) -> None:
        super().__init__(location, mapping)
        self._kinds: list[Kind] = []
        everything = files_of(location)
        named = (len(everything) == 1 and everything[0].is_named) or any(sign in location for sign in "*?[")
        for file in everything:
            if mapping is not None and mapping.policies is not None and file.stem == mapping.policies.collection:
                self.states[file.path] = SourceItem(file.name, "skipped", "policies")
                continue
            kind, reason = kind_of(file, named=named)
            if kind == "json" and mapping is not None and mapping.csv is not None and mapping.csv.separator is not None:
                kind = "columns"  # whose last one holds JSON
            self.states[file.path] = SourceItem(file.name, "read" if kind else "skipped", reason)
            if kind is not None:
                self.files.append(file)
                self._kinds.append(kind)
        if not self.files and len(everything) == 1 and named:
            (item,) = self.states.values()
            todo = "give a file of columns, JSON, GPX, NMEA or Parquet, or a dump of MongoDB"
            raise SourceUnreadable(f"source {location} cannot be read: {item.reason}", todo=todo)
        if not self.files:
            why = "; ".join(f"{item.name}: {item.reason}" for item in list(self.states.values())[:5])
            raise SourceMissing(
                f"source {location}: none of its {len(everything)} files can be read ({why})",
                todo="give files of columns, JSON, GPX, NMEA or Parquet, or a pattern such as 'folder/*.dat'",
            )

    def file_spans(self, most: int) -> list[FileSpan]:
        """The first fixes of up to so many files whose rows are all of the vehicle that the mapping names or takes
        from the path; files that cannot be read are left out."""
        spans = []
        for number, file in enumerate(self.files[:most]):
            with suppress(MappingInvalid, SourceUnreadable):
                vehicle = None if self.mapping is None else vehicle_of(file, self.mapping.fields.vehicle)
                reader = self.reader(number, file)
                first = next((batch.fixes for batch in reader.batches() if len(batch.fixes)), None)
                if vehicle is not None and first is not None:
                    span = int(first.fixed_at_us.min()), int(first.fixed_at_us.max())
                    spans.append(FileSpan(file.name, vehicle, *span))
        return spans

    def reader(self, number: int, file: SourceFile) -> FileReader:
        """What reads this file, by its kind."""
        mapping, kind = self.mapping, self._kinds[number]
        dialect = (mapping and mapping.csv) or CsvDialect()
        signals = None
        if mapping is not None and mapping.signals is not None:
            signals = SignalRows(file.name, self.reading(file, OWN_FIELDS), mapping.signals)
        if kind in ("columns", "gpx", "nmea") and mapping is not None and mapping.layout in ("embedded", "bucketed"):
            todo = "use layout: document for rows of a file"
            raise MappingInvalid(f"{file.name}: layout {mapping.layout} is for documents with arrays", todo=todo)
        match kind:
            case "columns":
                return CsvFile(file, number, self.reading(file, OWN_FIELDS), dialect, mapping is not None, signals)
            case "json":
                return JsonFile(file, number, self.reading(file, OWN_FIELDS), dialect.encoding, signals)
            case "gpx":
                from journeymesh.sources.gpx_files import GPX_FIELDS, GpxFile

                return GpxFile(file, number, self.reading(file, GPX_FIELDS))
            case "nmea":
                from journeymesh.sources.nmea_files import NMEA_FIELDS, NmeaFile

                return NmeaFile(file, number, self.reading(file, NMEA_FIELDS))
            case "parquet":
                if mapping is not None and (mapping.layout != "document" or self._is_beside(file, mapping)):
                    return ParquetRows(file, number, self.reading(file, OWN_FIELDS))
                from journeymesh.sources.columnar import ParquetFile

                return ParquetFile(file, number, self.reading(file, OWN_FIELDS), mapping is not None)

    def _is_beside(self, file: SourceFile, mapping: Mapping) -> bool:
        field = mapping.fields.vehicle
        return field.is_beside or partition_of(file, field.path) is not None
