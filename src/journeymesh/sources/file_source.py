"""Files of one place, read one after the other, whatever their kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.file_vehicles import based_on_file, vehicle_of
from journeymesh.sources.files import FileDamaged, SourceFile, described
from journeymesh.sources.mapping import FieldMappings, Mapping
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.refused_rows import refused_file
from journeymesh.sources.row_reading import RowReading


class FileReader(Protocol):
    """One file being read: its batches, and what is worth a word about it once it was read."""

    notes: list[str]

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once."""


class FileSource(ABC):
    """The files of a place, in the order of their paths. What is read of each, and how, is for the kind of source.

    Of several files, one that lacks a column or is damaged is refused and the others are read. What stands before the
    damage is read.
    """

    def __init__(self, location: str, mapping: Mapping | None) -> None:
        self.name = location
        self.tally: FieldTally | None = None
        self.mapping = mapping
        self.files: list[SourceFile] = []
        self.states: dict[str, SourceItem] = {}
        """By path: what became of every file, also of those that are not read."""

    @abstractmethod
    def reader(self, number: int, file: SourceFile) -> FileReader:
        """What reads this file, the so-manieth of ``files``."""

    def size(self) -> SourceSize:
        """The bytes of all files; their rows are not known without reading."""
        sizes = [file.size for file in self.files if file.size is not None]
        return SourceSize(sum(sizes) if len(sizes) == len(self.files) else None)

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a file is read whole
        """Every row or document once, file by file."""
        first: MappingInvalid | FileDamaged | None = None
        usable = 0
        for number, file in enumerate(self.files):
            read = 0
            try:
                reader = self.reader(number, file)
                for batch in reader.batches():
                    read += len(batch.fixes)
                    yield batch
            except (MappingInvalid, FileDamaged) as error:
                if len(self.files) == 1 and not read:
                    raise
                first = first or error
                usable += bool(read)
                self.states[file.path], refusal = refused_file(file, error, before=bool(read))
                yield SourceBatch(Fixes.empty(), [refusal], read_bytes=0 if read else file.size or 0)
            else:
                usable += 1
                self.states[file.path] = SourceItem(file.name, reason=", ".join(reader.notes))
        if first is not None and not usable:
            raise first

    def describe(self, origins: I64) -> list[str]:
        """``fixes.csv:42``, by line or row from 1; of a JSON array or GPX by document or point."""
        return described(self.files, origins)

    def items(self) -> list[SourceItem]:
        """Every file, and how it is written where the mapping does not say."""
        return list(self.states.values())

    def policies(self) -> UsablePolicies:
        """Those that the mapping names: a file of that name beside this one."""
        from journeymesh.sources.policies_file import policies_beside

        return policies_beside(self.name, self.mapping)

    def close(self) -> None:  # noqa: B027 - a kind of source may have nothing to close
        """Nothing is held between batches."""

    def reading(self, file: SourceFile, unmapped: FieldMappings) -> RowReading:
        """By what its rows are read: the mapping, or these fields where there is none."""
        if self.mapping is None:
            return RowReading(unmapped, {}, self.tally, vehicle_of(file, unmapped.vehicle))
        fields = based_on_file(file.path, self.mapping.fields)
        return RowReading(fields, self.mapping.where, self.tally, vehicle_of(file, fields.vehicle))
