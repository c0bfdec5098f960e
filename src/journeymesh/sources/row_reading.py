"""What is read of rows, whatever file they stand in: the mapped fields, under the mapping's conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.column_values import Column, ColumnOf, ColumnValues, Faults
from journeymesh.sources.conditions import Where, wanted_rows
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.fix_fields import fixes_of
from journeymesh.sources.mapping import FieldMappings
from journeymesh.sources.tabular import paths_of, required_paths


@dataclass(frozen=True, slots=True)
class RowReading:
    """The fields, the conditions, and the tally of what each field holds, where somebody wants it."""

    fields: FieldMappings
    where: Where = field(default_factory=dict)
    tally: FieldTally | None = None
    vehicle: str | None = None
    """The vehicle of rows that do not name one themselves."""

    @property
    def paths(self) -> list[str]:
        """Every path that is read."""
        return paths_of(self.fields, self.where)

    @property
    def required(self) -> list[str]:
        """The paths without which there are no fixes."""
        beside = self.fields.vehicle.path if self.vehicle is not None else None
        return [path for path in required_paths(self.fields, self.where) if path != beside]

    def fixes(
        self, column: ColumnOf, origins: I64, *, untyped: bool = False, element: Sequence[int] | None = None
    ) -> tuple[Fixes, Faults]:
        """The rows that can be read as fixes, and what is wrong with others, by row number from 0.

        Rows that the conditions leave to somebody else are neither; ``Faults.others`` counts them. ``untyped``: the
        input has nothing but texts, as CSV. ``element`` is each row's number in the array of its document.
        """
        values = ColumnValues(column, len(origins), untyped=untyped)
        ours = wanted_rows(values.distinct, self.where, len(origins), untyped=untyped)
        if ours is None:
            return fixes_of(values, self.fields, origins, self.tally, element, self.vehicle)
        at = np.flatnonzero(ours)
        rows = pa.array(at)

        def ours_of(path: str) -> Column | None:
            values = column(path)
            if isinstance(values, list):
                return [values[row] for row in at]
            return None if values is None else values.take(rows)

        elements = None if element is None else np.asarray(element)[at].tolist()
        values = ColumnValues(ours_of, len(at), untyped=untyped)
        fixes, faults = fixes_of(values, self.fields, origins[ours], self.tally, elements, self.vehicle)
        faults.reasons = {int(at[row]): fault for row, fault in faults.reasons.items()}
        faults.others = len(origins) - len(at)
        return fixes, faults
