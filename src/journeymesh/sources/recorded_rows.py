"""Rows of a recording whose format names its columns itself, such as GPX and NMEA, as fixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.column_values import as_array
from journeymesh.sources.files import SourceFile, origins_from
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.refused_rows import no_column, refusals_of
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading


class RecordedRows:
    """Makes batches of (line, values) by the fields of a mapping, or of the format.

    Raises:
        MappingInvalid: a required field is in none of the columns that the format has.
    """

    def __init__(self, file: SourceFile, number: int, reading: RowReading, columns: Sequence[str]) -> None:
        self._file = file
        self.keys = RowKeys(file.place)
        self._number = number
        self._reading = reading
        self._paths = reading.paths
        absent = [path for path in reading.required if path not in columns]
        if absent:
            raise no_column(file, absent[0], columns)

    def batch(self, rows: Sequence[tuple[int, dict[str, Any]]], read_bytes: int) -> SourceBatch:
        """The rows as fixes and refusals."""
        if not rows:
            return SourceBatch(Fixes.empty(), read_bytes=read_bytes)
        origins = origins_from(self._number, 0, 1)[0] + np.array([line for line, _ in rows], np.int64)
        columns = {}
        for path in self._paths:
            values = [self._file.stem if path == "file" else row.get(path) for _, row in rows]
            if any(value is not None for value in values):
                columns[path] = as_array(values)
        fixes, faults = self._reading.fixes(columns.get, origins)
        names = {row: f"{self._file.name}:{rows[row][0]}" for row in faults.reasons}
        refusals = refusals_of(faults, names, lambda row: rows[row][1], self.keys)
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)
