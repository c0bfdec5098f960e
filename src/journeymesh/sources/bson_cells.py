"""Cells of many rows to columns: the kernels for what is usual, Python for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import F64, I32
from journeymesh.sources import bson_columns
from journeymesh.sources.bson_columns import MISSING_US, SCRATCH, program_of
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_values import KINDS, value_at
from journeymesh.sources.clocks import is_local, is_number
from journeymesh.sources.column_values import BulkInstants, Details
from journeymesh.sources.conditions import Wanted, equals
from journeymesh.sources.conversions import Markers, Unconvertible
from journeymesh.sources.mapping_fields import BESIDE, BaseClock, ClockField


class Cells:
    """The cells of n rows in one buffer: int32[n, slots] offsets, uint8[n, slots] kinds, and each path's slot; see
    ``RowValues``."""

    untyped = False

    def __init__(self, buffer: U8, offsets: I32, kinds: U8, slots: dict[str, int]) -> None:
        self._buffer = buffer
        self._offsets = offsets.view()
        self._offsets.flags.writeable = False
        self._kinds = kinds.view()
        self._kinds.flags.writeable = False
        self._slots = slots
        self._todo = np.empty(len(kinds), np.int32)

    def __len__(self) -> int:
        return len(self._kinds)

    def has(self, path: str) -> bool:
        """Whether documents may have a value there."""
        return path != BESIDE

    def kinds(self, path: str) -> Counter[str]:
        """How many of the values are of each BSON type."""
        kinds, counts = np.unique(self._kinds[:, self._slots[path]], return_counts=True)
        return Counter(
            {KINDS.get(kind, "missing"): count for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)}
        )

    def value(self, row: int, path: str, expected: str) -> Any:
        """One value: a text, a number, a bool, bytes, an ObjectId or an aware datetime; None where there is none.

        Raises:
            Unconvertible: it is none of these; the text names its type and what was ``expected``.
        """
        slot = self._slots[path]
        return value_at(self._buffer, int(self._kinds[row, slot]), int(self._offsets[row, slot]), expected)

    def numbers(self, path: str, markers: Markers) -> tuple[F64, Sequence[int]]:  # noqa: ARG002 - texts wait
        """Numbers, and the texts of which the kernel is certain."""
        out = np.empty(len(self), np.float64)
        slot = self._slots[path]
        waiting = bson_columns.numbers(self._buffer, self._offsets, self._kinds, slot, 1.0, out, self._todo)
        return out, self._todo[:waiting].tolist()

    def distinct(self, path: str) -> tuple[list[Any], I32, Details]:
        """The values that there are, and each row's; an empty text is none."""
        rows = len(self)
        codes, firsts = np.empty(rows, np.int32), np.empty(max(rows, 1), np.int32)
        table = np.full(1 << max(4, (2 * rows).bit_length()), -1, np.int32)
        slot = self._slots[path]
        count = bson_columns.names(self._buffer, self._offsets, self._kinds, slot, codes, firsts, table)
        faults: Details = {}
        for row in np.flatnonzero(codes == -2).tolist():
            faults[row] = f"{path}: expected a text, found {KINDS[int(self._kinds[row, slot])]}"
            codes[row] = -1
        values: list[Any] = []
        bad: Details = {}
        content = memoryview(self._buffer)  # type: ignore[arg-type]
        kinds, offsets = (cells[firsts[:count], slot].tolist() for cells in (self._kinds, self._offsets))
        for code, (kind, at) in enumerate(zip(kinds, offsets, strict=True)):
            try:
                if kind == 0x02:  # there may be as many names as rows
                    end = at + 3 + int.from_bytes(content[at : at + 4], "little")
                    values.append(str(content[at + 4 : end], "utf-8"))
                else:
                    values.append(value_at(self._buffer, kind, at, "a text"))
            except (UnicodeDecodeError, Unconvertible):
                values.append(None)
                bad[code] = f"{path}: the {KINDS[kind]} is malformed"
        for row in np.flatnonzero(np.isin(codes, list(bad))).tolist() if bad else ():
            faults[row] = bad[int(codes[row])]
            codes[row] = -1
        return values, codes, faults

    def meeting(self, path: str, wanted: tuple[Wanted, ...]) -> npt.NDArray[np.bool_]:
        """bool[n]: whose value is one of those; null is one that is null or not there."""
        values, codes, _ = self.distinct(path)
        kinds = self._kinds[:, self._slots[path]]
        met = np.array([*(equals(value, wanted) for value in values), False], np.bool_)[codes]
        if None in wanted:
            met |= (kinds == 0) | (kinds == 0x0A)
        if "" in wanted:
            met |= (kinds == 0x02) & (codes < 0)
        return met

    def instants(self, clock: ClockField | BaseClock) -> BulkInstants | None:
        """Dates, and texts in the forms that the kernel reads."""
        if is_number(clock):
            return None
        out = np.empty(len(self), np.int64)
        if clock.clock == "bson_date":
            slot = self._slots[clock.all_paths[0]]
            waiting = bson_columns.dates(self._buffer, self._offsets, self._kinds, slot, out, self._todo)
            return out, is_local(clock), self._todo[:waiting].tolist()
        slots = np.array([self._slots[path] for path in clock.all_paths], np.int32)
        iso = clock.clock == "iso8601"
        program = None if iso else program_of(clock.format or "")
        if program is None and not iso:
            kinds = self._kinds[:, slots]
            absent = ((kinds == 0) | (kinds == 0x0A)).any(axis=1)
            out[:] = MISSING_US
            return out, False, np.flatnonzero(~absent).tolist()
        zoned = np.zeros(len(out), np.int8)
        steps = np.array(program or [0], np.int32)
        waiting = bson_columns.clock_texts(
            self._buffer, self._offsets, self._kinds, _frozen(slots), iso, _frozen(steps),
            np.zeros(SCRATCH, np.uint8), out, zoned, self._todo,
        )  # fmt: skip
        return out, zoned == 0, self._todo[:waiting].tolist()


def _frozen(column: I32) -> I32:
    column.flags.writeable = False
    return column
