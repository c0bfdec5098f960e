"""In which order a fleet's fixes are written: by vehicle, as they arrived, or shuffled. Memory stays flat: what must
be re-ordered across the fleet goes through files of its own beside the output."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from journeymesh.fleets.fleet import Fleet
from journeymesh.journeys.fixes import I64, Fixes

Order = Literal["clustered", "arrival", "shuffled"]

_PART_FIXES: Final = 400_000
_MOST_PARTS: Final = 400
_FIXES_PER_DAY: Final = 4_000


def in_order(fleet: Fleet, fixes: Iterable[Fixes], order: Order, room: Path) -> Iterator[Fixes]:
    """The fixes in this order, in blocks. ``room`` is a folder with space for a temporary copy.

    - clustered: as they come, vehicle after vehicle, each in the order of delivery
    - arrival: by receipt over the whole fleet, as a collection that was filled while it happened
    - shuffled: no order at all, the same one at each call
    """
    if order == "clustered":
        yield from fixes
        return
    spec = fleet.spec
    expected = spec.vehicles * spec.days * _FIXES_PER_DAY // spec.interval_s
    parts = max(1, min(_MOST_PARTS, expected // _PART_FIXES))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([spec.seed, 3])))
    day0 = np.datetime64(spec.first_day, "us").astype(np.int64) - 86_400_000_000
    span = (spec.days + 5) * 86_400_000_000

    def by_receipt(block: Fixes) -> I64:
        share = (block.received_at_us - day0) * parts // span  # type: ignore[operator]
        part: I64 = np.clip(share, 0, parts - 1)
        return part

    def by_chance(block: Fixes) -> I64:
        return rng.integers(0, parts, len(block))

    def sort(block: Fixes) -> Fixes:
        return block.take(np.lexsort((block.vehicle, block.received_at_us)))  # type: ignore[arg-type]

    def shuffle(block: Fixes) -> Fixes:
        return block.take(rng.permutation(len(block)))

    part_of, arrange = (by_receipt, sort) if order == "arrival" else (by_chance, shuffle)
    with tempfile.TemporaryDirectory(prefix=".fleet-", dir=room) as folder:
        yield from _through_parts(fleet.vehicles, fixes, parts, part_of, arrange, Path(folder))


@dataclass(slots=True)
class _Shape:
    names: list[str]
    row: np.dtype[np.void]

    @classmethod
    def of(cls, block: Fixes) -> _Shape:
        columns = block.columns()
        return cls([name for name, _ in columns], np.dtype([(name, column.dtype) for name, column in columns]))

    def rows(self, block: Fixes) -> npt.NDArray[np.void]:
        rows = np.empty(len(block), self.row)
        for name, column in block.columns():
            rows[name] = column
        return rows

    def fixes(self, rows: npt.NDArray[np.void], vehicles: tuple[str, ...]) -> Fixes:
        columns: dict[str, Any] = {name: np.ascontiguousarray(rows[name]) for name in self.names}
        return replace(Fixes.empty(vehicles), **columns)


def _through_parts(
    vehicles: tuple[str, ...],
    fixes: Iterable[Fixes],
    parts: int,
    part_of: Callable[[Fixes], I64],
    arrange: Callable[[Fixes], Fixes],
    folder: Path,
) -> Iterator[Fixes]:
    """Deal the fixes out to files, then take file after file, each arranged."""
    shape: _Shape | None = None
    for block in fixes:
        shape = shape or _Shape.of(block)
        part = part_of(block)
        rows = shape.rows(block)[np.argsort(part, kind="stable")]
        ends = np.cumsum(np.bincount(part, minlength=parts))
        for k in np.flatnonzero(np.diff(ends, prepend=0)):
            with (folder / f"{k:04d}").open("ab") as file:
                rows[ends[k - 1] if k else 0 : ends[k]].tofile(file)
    for path in sorted(folder.iterdir()):
        assert shape is not None
        yield arrange(shape.fixes(np.fromfile(path, shape.row), vehicles))
        path.unlink()
