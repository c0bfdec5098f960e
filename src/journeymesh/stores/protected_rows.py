"""Rows that are given in clear, written as protected ones: what ``ProtectedReads`` reads."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from journeymesh.databases.database import now_us
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.policies import Policy
from journeymesh.keys.port import RunSubject, Subject, VehicleMonth, month_of
from journeymesh.stores import records, rows
from journeymesh.stores.fix_blocks import DAY_US, split_content
from journeymesh.stores.protected_kinds import PROTECTED
from journeymesh.stores.protected_owners import Owner, Owners, subject_of_term
from journeymesh.stores.protected_reads import ProtectedReads, journey_of_content
from journeymesh.stores.row_kinds import KINDS, Row, WritableRows, chunks

_NO_MONTH: Final = -1
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_POLICY_OF_JOURNEY: Final = ("policy", "tenant", "policy_from_us")


class ProtectedRows(ProtectedReads):
    """``WritableRows`` in clear over the protected ones of ``inner``, within one write. ``flush`` ends it."""

    inner: WritableRows

    def __init__(self, inner: WritableRows, owners: Owners) -> None:
        super().__init__(inner, owners)
        self._policies: dict[Any, Policy | None] = {}
        self._run: str | None = None
        self._puts: dict[str, Callable[[Sequence[Row], Sequence[str] | None], Iterable[str | None]]] = {
            "journeys": self._put_journeys, "history": self._put_history, "refusals": self._put_refusals,
            "policies": self._put_policies, "runs": self._put_runs, "blocks": self._put_blocks,
            "changes": self._put_changes, "figures": self._put_figures,
        }  # fmt: skip
        self._deletes: dict[str, Callable[[Sequence[Row]], None]] = {
            "policies": lambda keys: self._delete_of_terms("policies", keys),
            "figures": lambda keys: self._delete_of_terms("figures", keys),
            "history": self._delete_history, "changes": self._delete_changes,
        }  # fmt: skip

    def put(
        self, kind: str, put: Sequence[Row] | pa.Table, *, update: Sequence[str] | None = None
    ) -> Iterable[str | None]:
        """Put rows by key; the vehicles of all."""
        if kind not in PROTECTED:
            return self.inner.put(kind, put, update=update)
        given = rows.rows_of(put) if isinstance(put, pa.Table) else put
        return list(self._puts[kind](given, update)) if given else []

    def delete(self, kind: str, keys: Iterable[Row]) -> list[str | None]:
        """Delete the rows with these keys; the vehicles of those that were there."""
        wanted = list(keys)
        if kind not in PROTECTED:
            return self.inner.delete(kind, wanted)
        if not wanted:
            return []
        if kind in self._deletes:
            self._deletes[kind](wanted)
            return []
        made, gone = PROTECTED[kind], dict[str | None, None]()
        by_token = {token: key for key in wanted for token in self.index.tokens(kind, *map(str, key))}
        sealed = () if kind == "blocks" else ("sealed",)
        for tokens in chunks(list(by_token)):
            found = list(
                self.inner.select(
                    made.name, [("token", "in", tokens)], columns=("stored_id", "token", "owner", *sealed)
                )
            )
            owners = self.owners.of({row[2] for row in found})
            place = made.sealed.index("vehicle")
            for row in found:
                if kind == "blocks":
                    gone[by_token[row[1]][0]] = None
                elif (owner := owners.get(row[2])) is not None:
                    gone[self.opened(kind, row[0], owner, row[3])[place]] = None
            self.inner.delete(made.name, [(row[0],) for row in found])
        return list(gone)

    def number(self) -> int:
        """A number for this write."""
        return self.inner.number()

    def advance(self, count: int) -> int:
        """Move the store's position on."""
        return self.inner.advance(count)

    def flush(self) -> None:
        """Write where everything is that was put. The last of a write."""
        self.index.flush(self.inner)

    def _delete_of_terms(self, kind: str, keys: Sequence[Row]) -> None:
        subjects = {key: subject_of_term(*key[:3]) for key in keys}
        owners = self.owners.keys.keys_of(set(subjects.values()))
        gone = [
            (owners[subject].stored_id(kind, str(key[3]) if len(key) > 3 else ""),)
            for key, subject in subjects.items()
            if subject in owners
        ]
        self.inner.delete(PROTECTED[kind].name, gone)
        if kind == "policies":
            self._policies |= dict.fromkeys((tuple(key) for key in keys), None)

    def _delete_history(self, keys: Sequence[Row]) -> None:
        """An entry is found by its journey's token, which its own id does not tell: each owner's ids are made."""
        name = PROTECTED["history"].name
        stand: dict[str, set[str]] = {}
        for stored_id, handle in self.inner.select(name, columns=("stored_id", "owner")):
            stand.setdefault(handle, set()).add(stored_id)
        owners = self.owners.of(stand)
        for handle, ids in stand.items():
            if (owner := owners.get(handle)) is not None:
                wanted = {owner.keys.stored_id("history", entry_id) for (entry_id,) in keys}
                self.inner.delete(name, [(each,) for each in sorted(ids & wanted)])

    def _delete_changes(self, keys: Sequence[Row]) -> None:
        tokens = [(token,) for (vehicle,) in keys for token in self.index.tokens("vehicle", vehicle)]
        self.inner.delete(PROTECTED["changes"].name, tokens)

    def _seal(self, kind: str, owner: Owner, stored_id: str, values: Sequence[Any]) -> bytes:
        return owner.keys.seal(_ENCODE(values), kind=PROTECTED[kind].name, stored_id=stored_id)

    def _put(self, kind: str, put: Sequence[Row], *, update: Sequence[str] | None = None) -> None:
        """Put protected rows by their stored ids: given in the order of vehicles or numbers, a treated row would stand
        in the file between those of its neighbours in a list of names."""
        self.inner.put(PROTECTED[kind].name, sorted(put, key=operator.itemgetter(0)), update=update)

    def _replace(self, kind: str, put: Sequence[Row]) -> None:
        """Put protected rows, and delete others that have their tokens: rows of the same key that were another's."""
        ids = {row[0] for row in put}
        tokens = {row[1] for row in put}
        name = PROTECTED[kind].name
        gone: list[Row] = []
        for some in chunks(list(tokens)):
            found = self.inner.select(name, [("token", "in", some)], columns=("stored_id",))
            gone += [row for row in found if row[0] not in ids]
        if gone:
            self.inner.delete(name, gone)
        self._put(kind, put)

    def _put_journeys(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        columns = KINDS["journeys"].columns
        at = {name: place for place, name in enumerate(columns)}
        made = PROTECTED["journeys"]
        clear, sealed = [at[name] for name in made.clear], [at[name] for name in made.sealed]
        policy, odd = at["policy"], [at[name] for name in _POLICY_OF_JOURNEY]
        months = [month_of(row[at["started_at_us"]]) for row in put]
        subjects = [self._subject_of_journey(at, row, month) for row, month in zip(put, months, strict=True)]
        owners = self.owners.ensure(zip(subjects, months, strict=True))
        vehicles = self.index.ensure("vehicle", (row[at["vehicle"]] for row in put))
        numbers = self.index.ensure("number", (row[policy] for row in put if row[policy] is not None))
        protected = []
        for row, subject, month in zip(put, subjects, months, strict=True):
            owner = owners[subject]
            handle = owner.keys.handle(month)
            pseudonym = owner.keys.vehicle_pseudonym(row[at["vehicle"]], month)
            vehicles[row[at["vehicle"]]].add((month, handle, pseudonym))
            if row[policy] is not None:
                numbers[row[policy]].add((month, handle, ""))
            stored_id = owner.keys.stored_id("journeys", row[rows.ID])
            hidden = [row[place] for place in sealed]
            if owner.term is None:
                hidden += [row[place] for place in odd]
            named = [
                None if row[at[name]] is None else self.translate.pseudonym(name, row[at[name]])
                for name in ("tenant", "product")
            ]
            protected.append((
                stored_id, self.index.token("journeys", row[rows.ID]), handle, int(row[policy] is not None), pseudonym,
                *named, *(row[place] for place in clear), self._seal("journeys", owner, stored_id, hidden),
            ))  # fmt: skip
        self._replace("journeys", protected)
        return vehicles

    def _subject_of_journey(self, at: Mapping[str, int], row: Row, month: int) -> Subject:
        number, tenant, begin = (row[at[name]] for name in _POLICY_OF_JOURNEY)
        if number is not None and tenant is not None and begin is not None:
            return subject_of_term(number, tenant, begin)
        return VehicleMonth(row[at["vehicle"]], month)

    def _put_history(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        at = {name: place for place, name in enumerate(KINDS["history"].columns)}
        journey_at = {name: place for place, name in enumerate(rows.COLUMNS)}
        protected = []
        for row in put:
            content = journey_of_content(row[at["content"]])
            month = month_of(content["started_at_us"])
            subject = self._subject_of_journey(journey_at, tuple(content.values()), month)
            owner = self.owners.ensure([(subject, month)])[subject]
            stored_id = owner.keys.stored_id("history", row[at["entry_id"]])
            hidden = [row[at[name]] for name in PROTECTED["history"].sealed]
            protected.append((
                stored_id, self.index.token("history", row[at["journey_id"]]), owner.keys.handle(month),
                *(row[at[name]] for name in PROTECTED["history"].clear),
                self._seal("history", owner, stored_id, hidden),
            ))  # fmt: skip
        self._put("history", protected, update=update)
        return []

    def _put_refusals(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update == ()
        at = {name: place for place, name in enumerate(KINDS["refusals"].columns)}
        put = list({row[0]: row for row in reversed(put)}.values())
        tokens = {token: row[0] for row in put for token in self.index.tokens("refusals", row[0])}
        for some in chunks(list(tokens)):
            stand = self.inner.select(PROTECTED["refusals"].name, [("token", "in", some)], columns=("token",))
            known = {tokens[token] for (token,) in stand}
            put = [row for row in put if row[0] not in known]
        vehicles = [row[at["vehicle"]] for row in put if row[at["vehicle"]] is not None]
        covering = self._terms_of(vehicles)
        entries = self.index.ensure("vehicle", vehicles)
        protected = []
        for row in put:
            vehicle, at_us = row[at["vehicle"]], row[at["fixed_at_us"]]
            subject: Subject = RunSubject(self._run or f"{from_us(now_us()):%Y-%m-%d}")
            month = None if at_us is None else month_of(at_us)
            if vehicle is not None and month is not None:
                subject = _covering(covering[vehicle], at_us) or VehicleMonth(vehicle, month)
            owner = self.owners.ensure([(subject, month)])[subject]
            handle, pseudonym = owner.keys.handle(month), None
            if vehicle is not None:
                named = _NO_MONTH if month is None else month
                pseudonym = owner.keys.vehicle_pseudonym(vehicle, named)
                entries[vehicle].add((month, handle, pseudonym))
            stored_id = owner.keys.stored_id("refusals", row[0])
            hidden = [row[at[name]] for name in PROTECTED["refusals"].sealed]
            protected.append((
                stored_id, self.index.token("refusals", row[0]), handle, pseudonym, row[at["reason"]], at_us,
                self._seal("refusals", owner, stored_id, hidden),
            ))  # fmt: skip
        self._put("refusals", protected)
        return dict.fromkeys(row[at["vehicle"]] for row in put)

    def _put_policies(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        columns = KINDS["policies"].columns
        named = [dict(zip(columns, row, strict=True)) for row in put]
        keys = [tuple(values[name] for name in records.POLICY_KEY) for values in named]
        subjects = [subject_of_term(*key) for key in keys]
        owners = self.owners.ensure((subject, None) for subject in subjects)
        protected = []
        for row, values, key, subject in zip(put, named, keys, subjects, strict=True):
            owner = owners[subject]
            handle = owner.keys.handle(None)
            self.index.ensure("number", [key[0]])[key[0]].add((None, handle, ""))
            for vehicle in {values["device"], values["vehicle"]} - {None}:
                self.index.ensure("vehicle", [vehicle])[vehicle].name_term(handle)
            stored_id = owner.keys.stored_id("policies", "")
            hidden = [values[name] for name in PROTECTED["policies"].sealed]
            protected.append((stored_id, handle, self._seal("policies", owner, stored_id, hidden)))
            self._policies[key] = records.policy_of(row)
        self._put("policies", protected)
        return []

    def _put_runs(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        made, columns = PROTECTED["runs"], KINDS["runs"].columns
        protected = []
        for row in put:
            values = dict(zip(columns, row, strict=True))
            self._run = values["run_id"]
            sealed = self.index.seal(_ENCODE([values[name] for name in made.sealed]), made.name, values["run_id"])
            protected.append((*(values[name] for name in made.clear), sealed))
        self.inner.put(made.name, protected)
        return []

    def _put_blocks(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        covering = self._terms_of([row[0] for row in put])
        entries = self.index.ensure("vehicle", (row[0] for row in put))
        parts = [part for row in put for part in _split(row, covering[row[0]])]
        owners = self.owners.ensure((subject, month_of(row[1] * DAY_US)) for subject, row in parts)
        protected = []
        for subject, (vehicle, day, first_us, last_us, fixes, content) in parts:
            owner, month = owners[subject], month_of(day * DAY_US)
            handle, pseudonym = owner.keys.handle(month), owner.keys.vehicle_pseudonym(vehicle, month)
            entries[vehicle].add((month, handle, pseudonym))
            stored_id = owner.keys.stored_id("blocks", f"{day}/{vehicle}")
            sealed = self._seal("blocks", owner, stored_id, (vehicle, content))
            token = self.index.token("blocks", vehicle, str(day))
            protected.append((stored_id, token, handle, pseudonym, day, first_us, last_us, fixes, sealed))
        self._replace("blocks", protected)
        return entries

    def _put_changes(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        self.index.ensure("vehicle", (vehicle for vehicle, _ in put))
        made = PROTECTED["changes"]
        self.inner.put(made.name, [(self.index.token("vehicle", vehicle), position) for vehicle, position in put])
        return []

    def _put_figures(self, put: Sequence[Row], update: Sequence[str] | None) -> Iterable[str | None]:
        assert update is None
        made, columns = PROTECTED["figures"], KINDS["figures"].columns
        at = {name: place for place, name in enumerate(columns)}
        clear = [at[name] for name in made.clear]
        subjects = [subject_of_term(*row[:3]) for row in put]
        months = [month_of_period(row[at["period"]]) for row in put]
        owners = self.owners.ensure(zip(subjects, months, strict=True))
        numbers = self.index.ensure("number", (row[0] for row in put))
        protected = []
        for row, subject, month in zip(put, subjects, months, strict=True):
            owner = owners[subject]
            handle = owner.keys.handle(month)
            numbers[row[0]].add((month, handle, ""))
            stored_id = owner.keys.stored_id("figures", row[at["period"]])
            sealed = self._seal("figures", owner, stored_id, (row[at["content"]],))
            tenant = self.translate.pseudonym("tenant", row[1])
            protected.append((stored_id, handle, tenant, *(row[place] for place in clear), sealed))
        self._put("figures", protected)
        return []

    def _terms_of(self, vehicles: Sequence[str]) -> dict[str, list[Policy]]:
        """The policies that name each of these vehicles, with what this write puts and withdraws."""
        entries = self.index.find("vehicle", vehicles)
        handles = {handle for entry in entries.values() for handle in entry.terms}
        found: dict[Any, Policy | None] = {}
        for some in chunks(list(handles)):
            made = PROTECTED["policies"]
            protected = list(self.inner.select(made.name, [("owner", "in", some)]))
            owners = self.owners.of({row[1] for row in protected})
            for stored_id, handle, sealed in protected:
                if (owner := owners.get(handle)) is not None and owner.term is not None:
                    values = dict(zip(made.sealed, self.opened("policies", stored_id, owner, sealed), strict=True))
                    values |= dict(zip(made.derived, owner.term, strict=True))
                    found[owner.term] = records.policy_of([values[name] for name in KINDS["policies"].columns])
        found |= self._policies
        named: dict[str, list[Policy]] = {vehicle: [] for vehicle in vehicles}
        for policy in found.values():
            for vehicle in () if policy is None else {policy.device, policy.vehicle} & named.keys():
                named[str(vehicle)].append(policy)  # type: ignore[arg-type]
        return named


def _covering(policies: Sequence[Policy], at_us: int) -> Subject | None:
    """The term that is in force at this instant: of several the first by number and tenant."""
    at = from_us(at_us)
    in_force = [
        each.term for each in policies if each.valid_from <= at and (each.valid_to is None or at < each.valid_to)
    ]
    return min(in_force, default=None)


def _split(row: Row, policies: Sequence[Policy]) -> Iterator[tuple[Subject, Row]]:
    """The block, in pieces of one owner each: terms begin and end within a day."""
    vehicle, day, first_us, last_us, *_ = row
    bounds = {to_us(at) for each in policies for at in (each.valid_from, each.valid_to) if at is not None}
    inside = sorted(bound for bound in bounds if first_us < bound <= last_us)
    nobody = VehicleMonth(vehicle, month_of(day * DAY_US))
    pieces = [row] if not inside else split_content(row, inside)
    by_owner: dict[Subject, list[Row]] = {}
    for piece in pieces:
        by_owner.setdefault(_covering(policies, piece[2]) or nobody, []).append(piece)
    for subject, some in by_owner.items():
        yield subject, some[0] if len(some) == 1 else joined_pieces(some)


def joined_pieces(pieces: Sequence[Row]) -> Row:
    """Pieces of one vehicle and day as one block."""
    from journeymesh.stores.fix_blocks import merged_content

    joined = pieces[0]
    for piece in pieces[1:]:
        joined = (
            *joined[:2], min(joined[2], piece[2]), max(joined[3], piece[3]), joined[4] + piece[4],
            merged_content(joined[5], piece[5]),
        )  # fmt: skip
    return joined


def month_of_period(period: str) -> int | None:
    """The month that figures of this period belong to, None: to the whole term."""
    _, _, month = period.partition(":")
    if not month:
        return None
    return int(np.datetime64(month, "M").astype(np.int64))
