"""Whole vehicles from a source in any order, within a bound of memory.

Input clustered by vehicle streams through a window. Anything else goes to disk first, by a hash of the vehicle, and
comes back part by part. Either way what comes out holds all the fixes that the source has of each vehicle in it.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fixes import COLUMN_NAMES, I64, NOT_REPORTED, Fixes, recode, renumbered

_MIN_PARTS: Final = 16
_MAX_PARTS: Final = 512
_UNKNOWN_PARTS: Final = 128


class NotClustered(Exception):
    """A vehicle came back after others: the source has to be spilled."""


def window_rows(memory_bytes: int, row_bytes: int) -> int:
    """How many fixes a window holds within the bound."""
    return max(10_000, memory_bytes // max(row_bytes, 1))


def clustered(parts: Iterable[Fixes], memory_bytes: int) -> Iterator[Fixes]:
    """Whole vehicles from parts in which each vehicle's fixes stand together, in whatever order.

    Input that fits into one window may be in any order. What is given out stands in the window's own memory: it holds
    until the next is asked for.

    Raises:
        NotClustered: a vehicle came back after its fixes were given out. What was given out is a part of the truth.
    """
    window = Window()
    done: set[str] = set()
    for part in parts:
        window.add(part)
        if window.rows < window_rows(memory_bytes, part.nbytes // max(len(part), 1)):
            continue
        del part
        starts, names = window.runs()
        if len(set(names)) != len(names) or not done.isdisjoint(names):
            raise NotClustered
        if len(names) == 1:
            continue
        done.update(names[:-1])
        yield window.fixes(starts[-1])
        window.drop(starts[-1])
    if window.rows:
        if not done.isdisjoint(window.runs()[1]):
            raise NotClustered
        yield window.fixes(window.rows)


class Window:
    """Columns of fixes that are filled, given out and filled again, so that memory is taken from the system once."""

    def __init__(self) -> None:
        self.rows = 0
        self.vehicles: tuple[str, ...] = ()
        self._codes: dict[str, int] = {}
        self._columns: dict[str, npt.NDArray[Any]] = {}
        self._capacity = 0

    def add(self, part: Fixes) -> None:
        """Put fixes behind those that are here."""
        end = self.rows + len(part)
        if end > self._capacity:
            self._grow(end)
        columns: dict[str, npt.NDArray[Any]] = dict(part.columns())
        columns["vehicle"] = recode(part, self._codes)
        for name, column in columns.items():
            if name not in self._columns:
                self._columns[name] = np.empty(self._capacity, column.dtype)
                if self.rows:
                    self._columns[name][: self.rows] = NOT_REPORTED[name][0]
            self._columns[name][self.rows : end] = column
        for name in self._columns.keys() - columns.keys():
            self._columns[name][self.rows : end] = NOT_REPORTED[name][0]
        self.rows = end
        self.vehicles = tuple(self._codes)

    def fixes(self, rows: int) -> Fixes:
        """The first of the fixes here, in the order they came. They hold until the window changes."""
        columns: dict[str, Any] = {name: column[:rows] for name, column in self._columns.items()}
        return _slimmed(Fixes(vehicles=self.vehicles, **columns)) if columns else Fixes.empty()

    def runs(self) -> tuple[I64, list[str]]:
        """Where each run of one vehicle begins, and its name."""
        vehicle = self._columns["vehicle"][: self.rows]
        starts = np.concatenate([[0], np.flatnonzero(vehicle[1:] != vehicle[:-1]) + 1])
        return starts, [self.vehicles[code] for code in vehicle[starts]]

    def drop(self, rows: int) -> None:
        """Forget the first fixes; those behind them, of one vehicle, move up."""
        left = self.rows - rows
        last = self.vehicles[self._columns["vehicle"][self.rows - 1]]
        for column in self._columns.values():
            column[:left] = column[rows : self.rows]
        self._columns["vehicle"][:left] = 0
        self._codes = {last: 0}
        self.vehicles = (last,)
        self.rows = left

    def _grow(self, rows: int) -> None:
        self._capacity = rows + rows // 8
        for name, column in self._columns.items():
            grown = np.empty(self._capacity, column.dtype)
            grown[: self.rows] = column[: self.rows]
            self._columns[name] = grown


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
            chunks = []
            for path in paths:
                with pa.OSFile(str(path), "rb") as stream:
                    table = pa.ipc.open_stream(stream).read_all()
                columns = {
                    name: table[name].combine_chunks().to_numpy() for name in COLUMN_NAMES if name in table.column_names
                }
                chunks.append(Fixes(vehicles=names, **columns))
                path.unlink()
            yield _slimmed(Fixes.concat(chunks))
