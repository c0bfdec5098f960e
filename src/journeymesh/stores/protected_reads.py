"""Rows in clear, read from protected ones: conditions are translated, what is sealed is opened as far as it is wanted.

Rows come in the order that is asked for where it begins with a column in clear: rows that are equal in it are ordered
here. Rows in the order of their public key come in the order of their tokens, which is as stable as the index key. For
any other order all of them are read first. A row whose owner was shredded is not there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any, Final

import msgspec

from journeymesh.stores import rows
from journeymesh.stores.fix_blocks import merged_content
from journeymesh.stores.protected_conditions import Translated, Translator
from journeymesh.stores.protected_index import Index
from journeymesh.stores.protected_kinds import PROTECTED
from journeymesh.stores.protected_owners import Owner, Owners
from journeymesh.stores.row_kinds import KINDS, Condition, ReadableRows, Row, chunks

_ROWS_AT_ONCE: Final = 2_000
_MORE_THAN_ASKED: Final = 16
"""Rows read beyond a limit: those that begin together with the last one, most often."""
_BY_TOKEN: Final = frozenset({"journeys", "refusals", "blocks"})
"""Kinds that are read in the order of their tokens where the order of their keys is asked for."""


class ProtectedReads:
    """``ReadableRows`` in clear over the protected ones of ``inner``, within one transaction."""

    def __init__(self, inner: ReadableRows, owners: Owners) -> None:
        self.inner, self.owners = inner, owners
        self.index = Index(inner, owners)
        self.translate = Translator(owners, self.index)

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
        """Rows that meet every condition, in clear."""
        if kind not in PROTECTED:
            return self.inner.select(
                kind, where, order=order, after=after, limit=limit, columns=columns, descending=descending
            )
        wanted = KINDS[kind].columns if columns is None else tuple(columns)
        translated = self.translate(kind, where)
        if translated is None or limit == 0:
            return iter(())
        reading = _Reading(self, kind, translated, wanted, tuple(order), descending)
        return islice(reading.rows(after, limit), limit)

    def count(self, kind: str) -> int:
        """How many rows there are, those of shredded owners among them."""
        return self.inner.count(PROTECTED[kind].name if kind in PROTECTED else kind)

    def spans(self, kind: str, first: str, last: str, vehicles: Sequence[str]) -> Iterable[tuple[str, Any, Any]]:
        """A span for each pseudonym of these vehicles whose owner was not shredded."""
        entries = self.index.find("vehicle", vehicles)
        known = self.owners.of({handle for entry in entries.values() for _, handle, _ in entry.places})
        names = {
            pseudonym: name
            for name, entry in entries.items()
            for _, handle, pseudonym in entry.places
            if handle in known
        }
        for some in chunks(list(names)):
            for pseudonym, low, high in self.inner.spans(PROTECTED[kind].name, first, last, some):
                yield names[pseudonym], low, high

    def position(self) -> int:
        """The position of the store's last change."""
        return self.inner.position()

    def opened(self, kind: str, row_id: str, owner: Owner | None, sealed: bytes) -> list[Any]:
        """The values that are sealed in a row."""
        name = PROTECTED[kind].name
        if owner is None:
            content = self.index.unseal(bytes(sealed), name, row_id)
        else:
            content = owner.keys.unseal(bytes(sealed), kind=name, stored_id=row_id)
        values: list[Any] = msgspec.msgpack.decode(content)
        return values


@dataclass(frozen=True, slots=True)
class _Found:
    """A row in clear, with what it is ordered by; ``key`` None: nothing else begins there."""

    lead: Any
    key: tuple[Any, ...] | None
    row: Row
    token: str | None = None


class _Reading:
    """One question: which columns have to be read, and how a row in clear is made of them."""

    def __init__(
        self,
        reads: ProtectedReads,
        kind: str,
        translated: Translated,
        wanted: tuple[str, ...],
        order: tuple[str, ...],
        descending: bool,
    ) -> None:
        self.reads, self.kind, self.translated, self.descending = reads, kind, translated, descending
        self.made = made = PROTECTED[kind]
        self.by_token = kind in _BY_TOKEN and order == KINDS[kind].key
        self.lead = "token" if self.by_token else order[0] if order and order[0] in made.clear else None
        if len(translated.ways) > 1:
            self.lead, self.by_token = None, False
        self.key_columns = () if self.by_token else order
        self.wanted = wanted
        needed = {*wanted, *(name for name, *_ in translated.residual)}
        if self.lead is None:
            needed |= set(order)
        self.opens = bool(needed & set(made.sealed))
        self.derives = bool(needed & set(made.derived))
        self.names = kind == "changes" and "vehicle" in needed
        self.tests = [_test(condition) for condition in translated.residual]
        found_by = [name for name in ("owner", "token") if name in made.added]
        clear = [name for name in made.clear if name in needed or name in order]
        sealed = ["sealed"] if self.opens else []
        self.columns = tuple(dict.fromkeys([made.id, *found_by, *clear, *sealed]))
        self.at = {name: place for place, name in enumerate(self.columns)}

    def rows(self, after: Sequence[Any] | None, limit: int | None) -> Iterator[Row]:
        """The rows in their order; maybe more than the limit."""
        if self.lead is None:
            found = [each for some in self._batches((), None, None) for each in self._restored(some, keyed=True)]
            order = self.key_columns
            if order:
                found.sort(key=lambda each: _comparable(each.key or ()), reverse=self.descending)
            yield from (each.row for each in found if after is None or self._is_behind(each.key, after))
            return
        start = self._start(after)
        step = None if limit is None else limit + _MORE_THAN_ASKED
        batches = self._batches((self.lead, self.made.id), start, step)
        restored = (each for some in batches for each in self._restored(some, after=after))
        for _, group in groupby(restored, key=operator.attrgetter("lead")):
            together = list(group)
            if self.kind == "blocks" and len(together) > 1:
                together = self._merged(together)
            if len(together) > 1 and not self.by_token:
                together.sort(key=lambda each: _comparable(each.key or ()), reverse=self.descending)
            for each in together:
                if after is None or self.by_token or each.key is None or self._is_behind(each.key, after):
                    yield each.row

    def _start(self, after: Sequence[Any] | None) -> list[Condition]:
        """Where the first row can be."""
        if after is None:
            return []
        if self.by_token:
            return [("token", ">", self.reads.index.token(self.kind, *map(str, after)))]
        return [(str(self.lead), "<=" if self.descending else ">=", after[0])]

    def _is_behind(self, key: tuple[Any, ...] | None, after: Sequence[Any]) -> bool:
        behind = operator.lt if self.descending else operator.gt
        return bool(behind(_comparable(key or ()), _comparable(tuple(after))))

    def _batches(self, order: tuple[str, ...], start: list[Condition] | None, step: int | None) -> Iterator[list[Row]]:
        """Protected rows, many at once. ``step``: they are asked for by so many."""
        inner, name = self.reads.inner, self.made.name
        order = tuple(dict.fromkeys(order))
        for conditions in self.translated.ways:
            where, last = [*conditions, *(start or ())], None
            while True:
                found = inner.select(
                    name, where, order=order, after=last, limit=step, columns=self.columns, descending=self.descending
                )
                count, row = 0, None
                while some := list(islice(found, _ROWS_AT_ONCE)):
                    count, row = count + len(some), some[-1]
                    yield some
                if step is None or count < step or row is None:
                    break
                last = [row[self.at[each]] for each in order]
                step = _ROWS_AT_ONCE

    def _restored(
        self, some: list[Row], *, keyed: bool = False, after: Sequence[Any] | None = None
    ) -> Iterator[_Found]:
        """The rows in clear: with their keys where these are needed."""
        owned = "owner" in self.at
        owners = self.reads.owners.of({row[self.at["owner"]] for row in some}) if owned else {}
        names = self.reads.index.names([row[self.at["token"]] for row in some]) if self.names else {}
        leads = [None if self.lead is None else row[self.at[self.lead]] for row in some]
        needs_key = [
            keyed or number in (0, len(leads) - 1) or lead in (leads[number - 1], leads[number + 1])
            or (after is not None and lead == after[0])
            for number, lead in enumerate(leads)
        ]  # fmt: skip
        needs_key = [each and bool(self.key_columns) for each in needs_key]
        later = self._sealed_of(some, owners, needs_key)
        for row, lead, with_key in zip(some, leads, needs_key, strict=True):
            owner = owners.get(row[self.at["owner"]]) if owned else None
            if owned and owner is None:
                continue
            values = dict(zip(self.columns, row, strict=True))
            sealed = values.pop("sealed", None) or later.get(row[0])
            if "token" in values and self.names:
                if values["token"] not in names:
                    continue
                values["vehicle"] = names[values["token"]]
            if owner is not None and owner.term is not None:
                values.update(zip(self.made.derived, owner.term, strict=False))
            if sealed is not None:
                opened = self.reads.opened(self.kind, str(row[0]), owner, sealed)
                values.update(zip((*self.made.sealed, *self.made.derived), opened, strict=False))
            if all(test(values) for test in self.tests):
                key = tuple(values[name] for name in self.key_columns) if with_key else None
                yield _Found(lead, key, tuple(values[name] for name in self.wanted), values.get("token"))

    def _sealed_of(self, some: list[Row], owners: Mapping[str, Owner], needs_key: list[bool]) -> dict[str, bytes]:
        """What is sealed in those rows that have to be opened although not all are."""
        if self.opens or not self.made.sealed:
            return {}
        hidden_key = bool(set(self.key_columns) & set(self.made.sealed))
        wanted = []
        for row, with_key in zip(some, needs_key, strict=True):
            owner = owners.get(row[self.at["owner"]]) if "owner" in self.at else None
            is_odd = self.derives and owner is not None and owner.term is None
            if (with_key and hidden_key) or is_odd:
                wanted.append(row[0])
        found: dict[str, bytes] = {}
        for ids in chunks(wanted):
            found |= self.reads.inner.select(
                self.made.name, [(self.made.id, "in", ids)], columns=(self.made.id, "sealed")
            )
        return found

    def _merged(self, together: list[_Found]) -> list[_Found]:
        """Blocks of one vehicle and day, which terms that begin within it had split."""
        by_token: dict[str | None, _Found] = {}
        at = {name: place for place, name in enumerate(self.wanted)}
        for each in together:
            if (former := by_token.get(each.token)) is None:
                by_token[each.token] = each
            else:
                by_token[each.token] = replace(each, row=_joined(at, former.row, each.row))
        return list(by_token.values())


def journey_of_content(content: str | bytes) -> dict[str, Any]:
    """The row of a journey that history keeps, by column."""
    return dict(zip(rows.COLUMNS, rows.row_from_content(content), strict=True))


def _joined(at: Mapping[str, int], one: Row, other: Row) -> Row:
    merge: dict[str, Callable[[Any, Any], Any]] = {
        "first_us": min, "last_us": max, "fixes": operator.add, "content": merged_content,
    }  # fmt: skip
    joined = list(one)
    for name, merging in merge.items():
        if name in at:
            joined[at[name]] = merging(one[at[name]], other[at[name]])
    return tuple(joined)


def _comparable(values: tuple[Any, ...]) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is not None, value) for value in values)


def _test(condition: Condition) -> Callable[[Mapping[str, Any]], bool]:
    name, comparison, value = condition
    if comparison == "in":
        among = frozenset(value)
        return lambda values: values[name] in among
    if comparison == "=":
        return lambda values: bool(values[name] == value)
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[comparison]
    return lambda values: values[name] is not None and bool(compare(values[name], value))
