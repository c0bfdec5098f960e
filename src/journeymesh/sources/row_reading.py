"""What is read of rows, whatever file they stand in: the mapped fields, under the mapping's conditions."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.column_values import Column, ColumnOf, Faults
from journeymesh.sources.conditions import Where
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.mapping import FieldMappings
from journeymesh.sources.tabular import paths_of, required_paths, to_fixes


@dataclass(frozen=True, slots=True)
class RowReading:
    """The fields, the conditions, and the tally of what each field holds, where somebody wants it."""

    fields: FieldMappings
    where: Where
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

    def column_of(self, column: ColumnOf, rows: int) -> ColumnOf:
        """The columns, with the vehicle's where the rows have none."""
        vehicle = self.vehicle
        if vehicle is None:
            return column

        def of(path: str) -> Column | None:
            found = column(path)
            return pa.repeat(pa.scalar(vehicle), rows) if found is None and path == self.fields.vehicle.path else found

        return of

    def fixes(self, column: ColumnOf, origins: I64, *, untyped: bool = False) -> tuple[Fixes, Faults]:
        """The rows that can be read as fixes, and the faults of the others. ``untyped``: there is nothing but text."""
        return to_fixes(
            self.column_of(column, len(origins)), self.fields, origins, self.tally, self.where, untyped=untyped
        )
