"""The rows of a MongoDB store: those that a reader sees, and those that one batch inserts and replaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from journeymesh.stores import rows
from journeymesh.stores.mongo_commits import Commits, Snapshot
from journeymesh.stores.mongo_database import BATCH_SIZE, Database
from journeymesh.stores.mongo_documents import Document, digest_of, documents_of, field_of, key_of, row_of
from journeymesh.stores.row_kinds import KINDS, OF_VEHICLES, Condition, Row, chunks

_OPERATORS: Final = {"=": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte", "in": "$in"}


class MongoRows:
    """``ReadableRows`` of the snapshot that ``read`` gives to what it calls: always one, or each time the newest."""

    def __init__(self, database: Database, read: Callable[[Callable[[Snapshot], Any]], Any]) -> None:
        self._database, self._read = database, read

    def select(
        self,
        kind: str,
        where: Sequence[Condition] = (),
        *,
        order: Sequence[str] = (),
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Iterator[Row]:
        """Rows that meet every condition, of one snapshot."""
        wanted = KINDS[kind].columns if columns is None else columns
        conditions, sorting = filter_of(kind, where), [field_of(kind, name) for name in order]
        if after is not None:
            conditions = {"$and": [conditions, _behind(sorting, after, "$lt" if descending else "$gt")]}
        fields = None if columns is None else ("key", *(field_of(kind, name) for name in columns))
        is_in_parts = kind == "blocks" and "content" in wanted
        if is_in_parts:
            sorting.append("part")
        elif kind == "blocks":
            conditions["part"] = 0

        def found(seen: Snapshot) -> Iterator[Row]:
            if not is_in_parts:
                documents = self._database.find(kind, seen, conditions, sorting, limit, fields, descending)
                return iter([row_of(kind, [document], wanted) for document in documents])
            by_key: dict[str, list[Document]] = defaultdict(list)
            for document in self._database.find(kind, seen, conditions, sorting, None, fields):
                if len(by_key) == limit and document["key"] not in by_key:
                    break
                by_key[document["key"]].append(document)
            return iter([row_of(kind, parts, wanted) for parts in by_key.values()])

        documents: Iterator[Row] = self._read(found)
        return documents

    def count(self, kind: str) -> int:
        """How many rows there are, of a kind whose rows are one document each."""
        return int(self._read(lambda seen: self._database.count(kind, seen)))

    def spans(self, kind: str, first: str, last: str, vehicles: Sequence[str]) -> Iterable[tuple[str, Any, Any]]:
        """By vehicle the least ``first`` and the greatest ``last``, or a span for each document."""
        conditions = {"vehicle": {"$in": list(vehicles)}}
        group = {"_id": "$vehicle", "low": {"$min": f"${first}"}, "high": {"$max": f"${last}"}}

        def found(seen: Snapshot) -> list[tuple[str, Any, Any]]:
            grouped = None if seen.replaced else self._database.grouped(kind, seen, conditions, group)
            if grouped is not None:
                return [(each["_id"], each["low"], each["high"]) for each in grouped]
            documents = self._database.find(kind, seen, conditions, fields=("vehicle", first, last))
            return [(each["vehicle"], each[first], each[last]) for each in documents]

        spans: list[tuple[str, Any, Any]] = self._read(found)
        return spans

    def position(self) -> int:
        """The position of the store's last change."""
        return int(self._read(lambda seen: seen.position))


class PlannedRows(MongoRows):
    """``WritableRows`` of one batch: the documents that it inserts and the ids of those that it replaces. What is read
    is the store as it was before the batch."""

    def __init__(self, database: Database, commits: Commits, sequence: int, seen: Snapshot) -> None:
        super().__init__(database, lambda reading: reading(seen))
        self._commits, self._sequence, self._seen = commits, sequence, seen
        self._inserted: dict[str, dict[str, list[Document]]] = defaultdict(dict)
        self._replaced: dict[str, set[str]] = defaultdict(set)
        self._position = seen.position

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to commit."""
        return any(self._inserted.values()) or any(self._replaced.values())

    def put(self, kind: str, put: Sequence[Row] | pa.Table, *, update: Sequence[str] | None = None) -> list[str | None]:
        """Put rows by key; the vehicles of those that change."""
        columns = KINDS[kind].columns
        key_at = [columns.index(name) for name in KINDS[kind].key]
        by_key: dict[str, Row] = {}
        for row in rows.rows_of(put) if isinstance(put, pa.Table) else put:
            key = key_of(kind, tuple(row[at] for at in key_at))
            if update is None or key not in by_key:
                by_key[key] = row
        present = self._present(kind, list(by_key), whole=bool(update))
        changed: list[Document] = []
        for key, row in by_key.items():
            former = present.get(key, [])
            if former and update is not None:
                if not update:
                    continue
                pairs = zip(columns, row, row_of(kind, former, columns), strict=True)
                row = tuple(value if name in update else before for name, value, before in pairs)  # noqa: PLW2901
            digest = digest_of(kind, row)
            if former and former[0]["digest"] == digest:
                continue
            self._inserted[kind][key] = documents_of(kind, key, row, digest, self._sequence)
            self._replaced[kind].update(document["_id"] for document in former)
            changed += [*former, *self._inserted[kind][key]]
        return _vehicles(kind, changed)

    def delete(self, kind: str, keys: Iterable[Row]) -> list[str | None]:
        """Delete the rows with these keys; the vehicles of those that were there."""
        return self.remove(kind, [key_of(kind, tuple(key)) for key in keys])

    def remove(self, kind: str, keys: Sequence[str]) -> list[str | None]:
        """Delete by the documents' ``key``."""
        gone = [document for documents in self._present(kind, keys).values() for document in documents]
        self._replaced[kind].update(document["_id"] for document in gone)
        return _vehicles(kind, gone)

    def number(self) -> int:
        """The number of this batch."""
        return self._sequence

    def position(self) -> int:
        """The store's position after the batch."""
        return self._position

    def advance(self, count: int) -> int:
        """Move the position on."""
        self._position += count
        return self._position

    def flush(self) -> None:
        """Insert the documents, showing signs of life, and write down what they replace."""
        for kind, planned in self._inserted.items():
            documents = [document for version in planned.values() for document in version]
            for number, some in enumerate(chunks(documents, BATCH_SIZE)):
                if number:
                    self._commits.still_writing(self._sequence)
                self._database.collection(kind).insert_many(some, ordered=False)
        self._commits.note_replaced(self._sequence, {kind: sorted(ids) for kind, ids in self._replaced.items()})

    def _present(self, kind: str, keys: Sequence[str], *, whole: bool = False) -> dict[str, list[Document]]:
        """By key the documents that this batch has not replaced; ``whole``: all their fields."""
        present: dict[str, list[Document]] = defaultdict(list)
        for number, some in enumerate(chunks(keys)):
            if number:
                self._commits.still_writing(self._sequence)
            fields = None if whole else ("key", "digest", "vehicle")
            for document in self._database.find(kind, self._seen, {"key": {"$in": some}}, fields=fields):
                if document["_id"] not in self._replaced[kind]:
                    present[document["key"]].append(document)
        return present


def filter_of(kind: str, where: Sequence[Condition]) -> dict[str, Any]:
    """The conditions as MongoDB's."""
    by_field: dict[str, dict[str, Any]] = defaultdict(dict)
    further: list[dict[str, Any]] = []
    for name, comparison, value in where:
        if comparison == "any":
            further.append({"$or": [filter_of(kind, [one]) for one in value]})
        else:
            field, operator = field_of(kind, name), _OPERATORS[comparison]
            operand = list(value) if comparison == "in" else value
            if operator in by_field[field]:
                further.append({field: {operator: operand}})
            else:
                by_field[field][operator] = operand
    conditions: dict[str, Any] = {
        field: operators["$eq"] if operators.keys() == {"$eq"} else operators for field, operators in by_field.items()
    }
    return conditions | ({"$and": further} if further else {})


def _behind(fields: Sequence[str], after: Sequence[Any], comparison: str) -> dict[str, Any]:
    """What comes after these values of the fields by which documents are sorted."""
    pairs = list(zip(fields, after, strict=True))
    steps = [{**dict(pairs[:at]), field: {comparison: value}} for at, (field, value) in enumerate(pairs)]
    return steps[0] if len(steps) == 1 else {"$or": steps}


def _vehicles(kind: str, documents: Iterable[Mapping[str, Any]]) -> list[str | None]:
    return list(dict.fromkeys(document.get("vehicle") for document in documents)) if kind in OF_VEHICLES else []
