"""What is read of rows, whatever file they stand in: the mapped fields, under the mapping's conditions."""

from __future__ import annotations

from dataclasses import dataclass

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.conditions import Where
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.mapping import FieldMappings
from journeymesh.sources.tabular import ColumnOf, Faults, paths_of, required_paths, to_fixes


@dataclass(frozen=True, slots=True)
class RowReading:
    """The fields, the conditions, and the tally of what each field holds, where somebody wants it."""

    fields: FieldMappings
    where: Where
    tally: FieldTally | None = None

    @property
    def paths(self) -> list[str]:
        """Every path that is read."""
        return paths_of(self.fields, self.where)

    @property
    def required(self) -> list[str]:
        """The paths without which there are no fixes."""
        return required_paths(self.fields, self.where)

    def fixes(self, column: ColumnOf, origins: I64, *, untyped: bool = False) -> tuple[Fixes, Faults]:
        """The rows that can be read as fixes, and the faults of the others. ``untyped``: there is nothing but text."""
        return to_fixes(column, self.fields, origins, self.tally, self.where, untyped=untyped)
