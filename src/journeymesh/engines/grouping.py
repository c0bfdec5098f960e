"""Whole vehicles from a source in any order, within a bound of memory.

Input clustered by vehicle streams through. Anything else goes to disk first, by a hash of the vehicle, and
comes back part by part. Either way what comes out holds all the fixes that the source has of each vehicle in it.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fixes import COLUMN_NAMES, I64, Fixes, renumbered
from journeymesh.sources.decoding_memory import decoding_memory

_MIN_PARTS: Final = 16
_MAX_PARTS: Final = 512
_UNKNOWN_PARTS: Final = 128
T = TypeVar("T")


class NotClustered(Exception):
    """A vehicle came back after others: the source has to be spilled."""


def window_rows(memory_bytes: int, row_bytes: int) -> int:
    """How many fixes a window holds within the bound."""
    return max(10_000, memory_bytes // max(row_bytes, 1))


def clustered(parts: Iterable[Fixes], memory_bytes: int) -> Iterator[list[Fixes]]:
    """Whole vehicles from parts in which each vehicle's fixes stand together, in whatever order: as many at a time as
    a part completes.

    Vehicles that lie whole inside a part are given out where they are, without a copy; those that go on from part to
    part are put together. Input that fits into one window may be in any order.

    Raises:
        NotClustered: a vehicle came back after its fixes were given out. What was given out is a part of the truth.
    """
    coming = iter(parts)
    held: list[Fixes] = []
    rows = 0
    for part in coming:
        held.append(part)
        rows += len(part)
        if rows >= window_rows(memory_bytes, part.nbytes // max(len(part), 1)):
            break
    else:
        if not _are_runs(held):
            yield [_slimmed(Fixes.concat(held))]
            return
    part = Fixes.empty()  # else the last one would be held as long as there are others
    yield from _whole_vehicles(chain(given_up(held), coming))


def _whole_vehicles(parts: Iterable[Fixes]) -> Iterator[list[Fixes]]:
    """The vehicles inside each part, and what they share with the parts beside it."""
    done: set[str] = set()
    open_name: str | None = None
    pieces: list[Fixes] = []
    for part in parts:
        starts, names = runs_of_vehicles(part)
        first = 0
        if names[:1] == [open_name]:
            pieces.append(_of_runs(part, starts, names, 0, 1))
            first = 1
        fresh = names[first:]
        if not fresh:
            continue
        if open_name is not None:
            done.add(open_name)
        if len(set(fresh)) != len(fresh) or not done.isdisjoint(fresh):
            raise NotClustered
        last = len(names) - 1
        whole = [Fixes.concat(pieces)] if pieces else []
        if first < last:
            whole.append(_of_runs(part, starts, names, first, last))
        done.update(fresh[:-1])
        open_name, pieces = names[last], [_of_runs(part, starts, names, last, last + 1)]
        if whole:
            yield whole
        del part, whole  # else they would stand beside the next ones
    if pieces:
        yield [Fixes.concat(pieces)]


def given_up(parts: list[T]) -> Iterator[T]:
    """The parts, none of them held once it is given out."""
    parts.reverse()
    while parts:
        yield parts.pop()


def _are_runs(parts: Sequence[Fixes]) -> bool:
    """Whether each vehicle's fixes stand together over all the parts."""
    seen: set[str] = set()
    before: str | None = None
    for part in parts:
        _, names = runs_of_vehicles(part)
        fresh = names[1:] if names[:1] == [before] else names
        if len(set(fresh)) != len(fresh) or not seen.isdisjoint(fresh):
            return False
        seen.update(fresh)
        before = names[-1] if names else before
    return True


def runs_of_vehicles(fixes: Fixes) -> tuple[I64, list[str]]:
    """Where each run of one vehicle's fixes begins and the last one ends (int64[k + 1]), and its vehicle's name."""
    vehicle = fixes.vehicle
    if not len(vehicle):
        return np.zeros(1, np.int64), []
    starts = np.concatenate([[0], np.flatnonzero(vehicle[1:] != vehicle[:-1]) + 1, [len(vehicle)]])
    return starts, [fixes.vehicles[code] for code in vehicle[starts[:-1]].tolist()]


def _of_runs(part: Fixes, starts: I64, names: Sequence[str], first: int, last: int) -> Fixes:
    """The fixes of these runs, each of another vehicle, where they stand."""
    rows = part.take(slice(starts[first], starts[last]))
    lengths = np.diff(starts[first : last + 1])
    codes = np.repeat(np.arange(last - first, dtype=np.int32), lengths)
    return replace(rows, vehicles=tuple(names[first:last]), vehicle=codes)


def _slimmed(fixes: Fixes) -> Fixes:
    """The same fixes with a dictionary of only the vehicles in them."""
    present, vehicle = renumbered(fixes.vehicle)
    return replace(fixes, vehicles=tuple(fixes.vehicles[code] for code in present), vehicle=vehicle)


@dataclass(slots=True)
class Spill:
    """Fixes on disk, in parts by a hash of their vehicle. A context manager: its folder goes with it."""

    parts: int
    folder: str | None = None
    _directory: tempfile.TemporaryDirectory[str] | None = None
    _files: dict[int, Any] = field(default_factory=dict)
    _codes: dict[str, int] = field(default_factory=dict)
    _part_of: I64 = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def sized(cls, fixes: int | None, memory_bytes: int, row_bytes: int, folder: str | None = None) -> Spill:
        """With so many parts that one part fits into a window, as far as the number of fixes is known."""
        if fixes is None:
            return cls(_UNKNOWN_PARTS, folder)
        wanted = 2 * fixes // window_rows(memory_bytes, row_bytes)
        return cls(int(np.clip(wanted, _MIN_PARTS, _MAX_PARTS)), folder)

    def __enter__(self) -> Spill:
        self._directory = tempfile.TemporaryDirectory(prefix="journeymesh-spill-", dir=self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        for writer, sink in self._files.values():
            writer.close()
            sink.close()
        if self._directory is not None:
            self._directory.cleanup()

    def add(self, fixes: Fixes) -> None:
        """Put fixes on disk.

        Raises:
            StoreUnavailable: the disk is full or cannot be written.
        """
        table = np.empty(len(fixes.vehicles), np.int32)
        for code, name in enumerate(fixes.vehicles):
            table[code] = self._codes.setdefault(name, len(self._codes))
        if len(self._codes) > len(self._part_of):
            self._part_of = np.array([zlib.crc32(name.encode()) % self.parts for name in self._codes], np.int64)
        vehicle = table[fixes.vehicle]
        part_of_row = self._part_of[vehicle]
        order = np.argsort(part_of_row, kind="stable")
        bounds = np.searchsorted(part_of_row[order], np.arange(self.parts + 1))
        columns: dict[str, Any] = {name: column[order] for name, column in fixes.columns()}
        columns["vehicle"] = vehicle[order]
        batch = pa.record_batch({name: pa.array(column) for name, column in columns.items()})
        try:
            for part in np.flatnonzero(np.diff(bounds)):
                rows = batch.slice(bounds[part], bounds[part + 1] - bounds[part])
                self._writer(int(part), rows.schema).write_batch(rows)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot put fixes aside in {self._directory.name if self._directory else '?'}: {error}",
                todo="free disk space or set TMPDIR to a larger disk",
            ) from error

    def _writer(self, part: int, schema: pa.Schema) -> Any:
        """One stream per part and set of columns, since a source may begin to report a column later on."""
        assert self._directory is not None
        key = hash((part, *schema.names))
        if key not in self._files:
            path = Path(self._directory.name) / f"{part:04d}-{len(self._files):05d}.arrows"
            sink = pa.OSFile(str(path), "wb")
            self._files[key] = (pa.ipc.new_stream(sink, schema), sink)
        return self._files[key][0]

    def whole_vehicles(self) -> Iterator[Fixes]:
        """The fixes again, part by part, each part's file deleted once it is read."""
        assert self._directory is not None
        for writer, sink in self._files.values():
            writer.close()
            sink.close()
        self._files.clear()
        names = tuple(self._codes)
        by_part: dict[str, list[Path]] = {}
        for path in sorted(Path(self._directory.name).glob("*.arrows")):
            by_part.setdefault(path.name[:4], []).append(path)
        for paths in by_part.values():
            yield _slimmed(Fixes.concat([_taken_back(path, names) for path in paths]))


def _taken_back(path: Path, names: tuple[str, ...]) -> Fixes:
    """The fixes of a file, which is deleted; in memory that batches were decoded into before."""
    with decoding_memory(), pa.OSFile(str(path), "rb") as stream:
        table = pa.ipc.open_stream(stream).read_all()
        columns = {name: table[name].combine_chunks().to_numpy() for name in COLUMN_NAMES if name in table.column_names}
    path.unlink()
    return Fixes(vehicles=names, **columns)
