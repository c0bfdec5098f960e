"""Parquet whose rows hold arrays of fixes, or whose vehicle stands in the file's path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from journeymesh.sources.columnar import ARROW_FAULTS, column_at, type_at, unreadable
from journeymesh.sources.document_rows import rows_of
from journeymesh.sources.files import SourceFile, opened, origins_from
from journeymesh.sources.paths import array_of, parsed
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.refused_rows import as_json, no_column, refusals_of, refused_text
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading

BATCH_ROWS: Final = 1 << 16


@dataclass(slots=True)
class ParquetRows:
    """One file being read."""

    file: SourceFile
    number: int
    reading: RowReading
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once.

        Raises:
            MappingInvalid: a column that fixes need is not there. FileDamaged: it is not whole.
        """
        keys, first = RowKeys(self.file.place), 1
        with opened(self.file) as raw:
            try:
                parquet = pq.ParquetFile(raw)
                schema = parquet.schema_arrow
                for path in self.reading.required:
                    name = path if type_at(schema, path) is not None else parsed(path).steps[0]
                    if name not in schema.names and type_at(schema, path) is None:
                        raise no_column(self.file, path, schema.names)
                for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):
                    yield self._read(batch, origins_from(self.number, first, len(batch)), keys)
                    first += len(batch)
            except ARROW_FAULTS as error:
                raise unreadable(self.file, error) from error

    def _read(self, batch: pa.RecordBatch, origins: Any, keys: RowKeys) -> SourceBatch:
        first = int(origins[0]) & ((1 << 40) - 1) if len(origins) else 1

        def row(number: int) -> dict[str, Any]:
            return dict(batch.slice(number, 1).to_pylist()[0])

        if not any(array_of(path) for path in self.reading.paths):
            fixes, faults = self.reading.fixes(lambda path: column_at(batch, path), origins)
            names = {number: f"{self.file.name}:{first + number}" for number in faults.reasons}
            return SourceBatch(fixes, refusals_of(faults, names, row, keys), others=faults.others)
        rows = rows_of(batch.to_pylist(), self.reading.fields, self.reading.where)
        numbers = np.asarray(rows.document, np.int64)
        reading = replace(self.reading, where=rows.where)
        fixes, faults = reading.fixes(rows.columns.get, origins[numbers], element=rows.element)
        names = {at: f"{self.file.name}:{first + numbers[at]}[{rows.element[at]}]" for at in faults.reasons}
        refusals = refusals_of(faults, names, lambda at: row(int(numbers[at])), keys)
        refusals += [
            refused_text(f"{self.file.name}:{first + number}", "no array of fixes", as_json(row(number)).encode(), keys)
            for number in rows.without
        ]
        return SourceBatch(fixes, refusals, others=rows.others + faults.others)
