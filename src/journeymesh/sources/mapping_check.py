"""A mapping tried on a sample: field by field, what was found and the first document that does not fit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from journeymesh.sources.bson_cells import Cells, Faults
from journeymesh.sources.bson_columns import MISSING_US
from journeymesh.sources.bson_documents import Rows, Walk
from journeymesh.sources.bson_fixes import ELEMENT_BITS, BsonReader
from journeymesh.sources.bson_paths import PathTrie
from journeymesh.sources.bson_values import KINDS
from journeymesh.sources.bson_walker import FAULTS, NEEDS_ROOM
from journeymesh.sources.mapping import NUMBER_COLUMNS, ClockField, Mapping, mapped_paths

SAMPLE_DOCUMENTS: Final = 1000


@runtime_checkable
class Sampled(Protocol):
    """A source of raw BSON documents: a dump, an archive or a live MongoDB."""

    def sample(self, documents: int) -> bytes:
        """The first documents, one after the other."""


@dataclass(frozen=True, slots=True)
class Offender:
    """The first row whose value does not fit: where it is, and why."""

    origin: str
    detail: str


@dataclass(slots=True)
class FieldCheck:
    """One mapped field over the sample.

    ``found`` of ``rows`` have a value; ``kinds`` counts the BSON types met (of the first path, for several);
    ``lowest`` and ``highest`` are in SI or RFC 3339 UTC, None where nothing was converted; ``faults`` counts what
    cannot be converted, and, for a required field, what is missing.
    """

    name: str
    path: str
    column: str
    rows: int = 0
    found: int = 0
    faults: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    lowest: float | str | None = None
    highest: float | str | None = None
    values: tuple[str, ...] = ()
    """For texts: the first few different ones."""
    first_offender: Offender | None = None


@dataclass(frozen=True, slots=True)
class MappingCheck:
    """What a mapping makes of a sample: documents read, rows (fixes) in them, corrupt documents, and each field."""

    collection: str
    documents: int
    rows: int
    corrupt: int
    fields: tuple[FieldCheck, ...]
    first_corrupt: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether there are rows, and every required field was found in at least one of them."""
        required = ("vehicle", "fixed_at", "lat", "lon")
        return self.rows > 0 and all(one.found > one.faults for one in self.fields if one.name in required)


def check_mapping(source: Sampled, mapping: Mapping, documents: int = SAMPLE_DOCUMENTS) -> MappingCheck:
    """Try a mapping on the first documents of a source."""
    return check(source.sample(documents), mapping)


def check(documents: bytes, mapping: Mapping) -> MappingCheck:
    """Try a mapping on raw BSON documents, one after the other."""
    buffer = np.frombuffer(documents, np.uint8)
    trie = PathTrie.of(mapped_paths(mapping))
    walk = Walk(trie)
    fields = {
        name: FieldCheck(name, "+".join(_paths(part)), _column(name)) for name, part in mapping.fields.present().items()
    }
    seen = corrupt = rows_seen = at = 0
    first_corrupt: str | None = None
    while True:
        rows = walk.rows(buffer, at)
        seen += rows.documents
        rows_seen += len(rows.document)
        corrupt += len(rows.faults)
        if first_corrupt is None and len(rows.faults):
            first_corrupt = f"bytes {rows.faults[0][0]} to {rows.faults[0][1]}: {FAULTS[int(rows.faults[0][2])]}"
        cells = Cells(buffer, rows.offsets, rows.kinds, trie.slots)
        for name, one in fields.items():
            _add(one, mapping, getattr(mapping.fields, name), cells, rows, documents, trie)
        at = rows.end
        if rows.stop != NEEDS_ROOM:
            break
    if at < len(documents):
        corrupt += 1
        first_corrupt = first_corrupt or f"bytes {at} to {len(documents)}: a document's length is impossible"
    return MappingCheck(mapping.collection, seen, rows_seen, corrupt, tuple(fields.values()), first_corrupt)


def _paths(part: Any) -> tuple[str, ...]:
    return part.all_paths if isinstance(part, ClockField) else (part.path,)


def _column(name: str) -> str:
    return NUMBER_COLUMNS.get(name, f"{name}_us" if name.endswith("_at") else name)


def _add(
    one: FieldCheck, mapping: Mapping, part: Any, cells: Cells, rows: Rows, documents: bytes, trie: PathTrie
) -> None:
    """Add the rows to the field's figures."""
    slot = trie.slots[_paths(part)[0]]
    kinds = rows.kinds[:, slot]
    one.rows += len(kinds)
    one.found += int(np.count_nonzero((kinds != 0) & (kinds != 0x0A)))
    for kind, count in zip(*np.unique(kinds, return_counts=True), strict=True):
        one.kinds[KINDS.get(int(kind), "missing")] += int(count)
    faults: Faults
    if one.name == "vehicle":
        names, codes, faults = cells.names(part.path)
        here = [names[code] for code in np.unique(codes[codes >= 0])]
        one.values = tuple(dict.fromkeys((*one.values, *here)))[:5]
    elif isinstance(part, ClockField):
        instants, missing, faults = cells.instants(part)
        if one.name == "fixed_at":
            faults = {**faults, **missing}
        _widen(one, [_rfc3339(us) for us in _ends(instants[instants != MISSING_US])])
    elif one.name in ("ignition", "valid"):
        states, faults = cells.switches(part)
        _widen(one, _ends(states[states >= 0].astype(np.float64)))
    else:
        column, faults = cells.numbers(part.path, part.to_si)
        _widen(one, _ends(column[np.isfinite(column)]))
        if one.name in ("lat", "lon"):
            absent = np.flatnonzero((kinds == 0) | (kinds == 0x0A)).tolist()
            faults = {**dict.fromkeys(absent, f"{part.path}: missing"), **faults}
    one.faults += len(faults)
    if faults and one.first_offender is None:
        row = min(faults)
        at = int(rows.document[row])
        origin = (at << ELEMENT_BITS) | max(int(rows.element[row]), 0)
        document = documents[at : at + int.from_bytes(documents[at : at + 4], "little")]
        one.first_offender = Offender(BsonReader(mapping).place(document, origin), faults[row])


def _ends(values: Any) -> list[Any]:
    return [values.min().item(), values.max().item()] if len(values) else []


def _widen(one: FieldCheck, ends: list[Any]) -> None:
    if ends:
        one.lowest = ends[0] if one.lowest is None else min(one.lowest, ends[0])
        one.highest = ends[1] if one.highest is None else max(one.highest, ends[1])


def _rfc3339(us: int) -> str:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return instant.isoformat().replace("+00:00", "Z")
