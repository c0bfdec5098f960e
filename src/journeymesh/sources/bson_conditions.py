"""The mapping's conditions, asked of rows of BSON: of documents once, of the elements of their arrays one by one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from journeymesh.sources.bson_cells import Cells
from journeymesh.sources.bson_documents import U8, Rows
from journeymesh.sources.bson_values import decoded
from journeymesh.sources.conditions import Mask, Wanted, Where, meets, of_documents, of_elements, wanted_at
from journeymesh.sources.paths import reach


class BsonConditions:
    """Which documents and elements are for us. ``slots`` are those of the conditions' paths."""

    def __init__(self, where: Where, slots: dict[str, int]) -> None:
        self._of_documents = of_documents(where)
        self._documents = wanted_at(self._of_documents)
        self._elements = wanted_at(of_elements(where))
        self._slots = slots

    def rows(self, buffer: U8, rows: Rows) -> tuple[Mask | None, int]:
        """(bool[rows] for us, None where all are; how many documents, and elements of those for us, are not)."""
        if not self._documents and not self._elements:
            return None, 0
        cells = Cells(buffer, rows.offsets, rows.kinds, self._slots)
        documents = _meeting(cells, self._documents, len(rows.document))
        elements = _meeting(cells, self._elements, len(rows.document))
        ours = documents & elements
        if ours.all():
            return None, 0
        left_documents = np.count_nonzero(~documents & (rows.element <= 0))
        return ours, int(left_documents + np.count_nonzero(documents & ~elements))

    def leave_out(self, document: U8) -> bool:
        """Whether a document is not for us, whatever its elements are; none that cannot be decoded is left out."""
        if not self._documents:
            return False
        content = decoded(document.tobytes())
        return content is not None and not meets(lambda path: reach(content, path), self._of_documents)


def _meeting(cells: Cells, conditions: Iterable[tuple[str, tuple[Wanted, ...]]], rows: int) -> npt.NDArray[np.bool_]:
    met = np.ones(rows, np.bool_)
    for path, wanted in conditions:
        met &= cells.meeting(path, wanted)
    return met
