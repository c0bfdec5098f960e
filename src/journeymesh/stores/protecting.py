"""Jobs over a whole store: rows in clear become protected ones, and tokens of a former index key are made again.

Both go kind by kind, some rows in each transaction, and can be stopped anywhere: what is done is seen by the rows
themselves, or noted in the same transaction. Until a job is finished the store is refused (``ProtectedStore``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from journeymesh.errors import StoreUnavailable
from journeymesh.keys.derivations import SealBroken
from journeymesh.stores.protected_index import Index
from journeymesh.stores.protected_kinds import INDEX, PROTECTED, STATE
from journeymesh.stores.protected_owners import Owner, Owners
from journeymesh.stores.protected_reads import ProtectedReads
from journeymesh.stores.protected_rows import ProtectedRows
from journeymesh.stores.protected_store import JOB, KEYS_OF, TOKENS_OF, checks_of
from journeymesh.stores.row_kinds import KINDS, Row, WritableRows

if TYPE_CHECKING:
    from journeymesh.keys.port import KeyStore
    from journeymesh.stores.row_store import RowStore

_ROWS_AT_ONCE: Final = 2_000
_BLOCKS_AT_ONCE: Final = 100
_CLEAR_ORDER: Final = ("policies", "runs", "journeys", "history", "figures", "refusals", "blocks", "changes")
"""Policies come first: whose a block or a refusal is, they say."""
_WITH_TOKENS: Final = ("policies", "journeys", "history", "figures", "refusals", "blocks")
_CONVERTING, _RENEWING = "converting", "renewing"
_UNKNOWN: Final = "not known: sealed by a key that was destroyed"


@dataclass(slots=True)
class Protected:
    """What a job did: rows by kind, and how many stay unreadable, for the secrets of their owners are gone."""

    rows: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0

    def add(self, kind: str, count: int) -> None:
        """So many rows of this kind more."""
        self.rows[kind] = self.rows.get(kind, 0) + count


def protect(inner: RowStore, keys: KeyStore) -> Protected:
    """Protect what the store holds in clear, and make its tokens by the present index key. Again where it is: nothing.

    Clear content may remain in free pages and logs of the database, and in its backups, until these are gone.

    Raises:
        StoreUnavailable: the store is sealed by another key store.
    """
    done, owners = Protected(), Owners(keys)
    owners.refresh()
    checks = dict(checks_of(owners))
    if _state(inner).get(KEYS_OF, checks[KEYS_OF]) != checks[KEYS_OF]:
        raise StoreUnavailable(f"{inner.url}: is sealed by another key store", todo="use the one it belongs to")
    inner.prepare_sealed()
    if any(clear_rows(inner).values()):
        inner._write(lambda into: into.put(STATE, [*checks_of(owners), (JOB, _CONVERTING)]))
        for kind in _CLEAR_ORDER:
            size = _BLOCKS_AT_ONCE if kind == "blocks" else _ROWS_AT_ONCE
            while count := inner._write(lambda into, kind=kind, size=size: _convert(into, owners, kind, size)):  # type: ignore[misc]
                done.add(kind, count)
    _renew(inner, owners, done)
    inner._write(lambda into: into.delete(STATE, [(JOB,)]))
    return done


def is_sealed(inner: RowStore) -> bool:
    """Whether the store is sealed, or was begun to be."""
    return bool(_state(inner))


def is_renewing(inner: RowStore) -> bool:
    """Whether the store was being given tokens of another index key, and that was stopped: it is refused until then."""
    return _state(inner).get(JOB, "").startswith(_RENEWING)


def clear_rows(inner: RowStore) -> dict[str, int]:
    """How many rows of each kind the store holds in clear."""
    with inner._reading() as rows:
        return {kind: rows.count(kind) for kind in PROTECTED}


def _state(inner: RowStore) -> dict[str, str]:
    with inner._reading() as rows:
        return dict(rows.select(STATE))


def _convert(into: WritableRows, owners: Owners, kind: str, size: int) -> int:
    found = list(into.select(kind, order=KINDS[kind].key, limit=size))
    if found:
        protected = ProtectedRows(into, owners)
        protected.put(kind, found, update=() if kind == "refusals" else None)
        protected.flush()
        places = [KINDS[kind].columns.index(name) for name in KINDS[kind].key]
        into.delete(kind, [tuple(row[place] for place in places) for row in found])
    return len(found)


def _renew(inner: RowStore, owners: Owners, done: Protected) -> None:
    """Make tokens and the index again where they are of a former index key."""
    state, present = _state(inner), dict(checks_of(owners))
    if not state or (state.get(TOKENS_OF) == present[TOKENS_OF] and not state.get(JOB, "").startswith(_RENEWING)):
        return
    at = state.get(JOB, "").split(":")[1:]
    if not at:
        inner._write(lambda into: into.put(STATE, [(JOB, f"{_RENEWING}:policies:")]))
        at = ["policies", ""]
    for kind in _WITH_TOKENS[_WITH_TOKENS.index(at[0]) :]:
        last: str | None = at[1] if kind == at[0] else ""
        while last is not None:
            last = inner._write(lambda into, kind=kind, last=last: _renew_some(into, owners, kind, last, done))  # type: ignore[misc]
    inner._write(lambda into: _renew_the_rest(into, owners))
    inner._write(lambda into: into.put(STATE, checks_of(owners)))


def _renew_some(into: WritableRows, owners: Owners, kind: str, after: str, done: Protected) -> str | None:
    """Rows behind this stored id; the last one's, None: there are no more."""
    made = PROTECTED[kind]
    size = _BLOCKS_AT_ONCE if kind == "blocks" else _ROWS_AT_ONCE
    found = list(into.select(made.name, order=(made.id,), after=(after,), limit=size))
    if not found:
        return None
    at = {name: place for place, name in enumerate(made.columns)}
    rows, put = ProtectedRows(into, owners), list[Row]()
    rows.index = Index(into, owners, with_former=False)
    known = owners.of({row[at["owner"]] for row in found})
    for row in found:
        owner = known.get(row[at["owner"]])
        if owner is None:
            done.unreadable += 1
            continue
        done.add(kind, 1)
        values = _values(rows, kind, row, owner)
        _place(rows, kind, row, values, at)
        if "token" in at:
            named = "journey_id" if kind == "history" else None
            key = [values[named]] if named else [values[name] for name in KINDS[kind].key]
            token = rows.index.token(kind, *map(str, key))
            put.append((*row[: at["token"]], token, *row[at["token"] + 1 :]))
    into.put(made.name, put)
    rows.flush()
    into.put(STATE, [(JOB, f"{_RENEWING}:{kind}:{found[-1][0]}")])
    return str(found[-1][0])


def _values(rows: ProtectedReads, kind: str, row: Row, owner: Owner) -> dict[str, Any]:
    made = PROTECTED[kind]
    values = dict(zip(made.columns, row, strict=True))
    values.update(zip(made.derived, owner.term or (), strict=False))
    values.update(zip((*made.sealed, *made.derived), rows.opened(kind, row[0], owner, values["sealed"]), strict=False))
    return values


def _place(rows: ProtectedRows, kind: str, row: Row, values: dict[str, Any], at: dict[str, int]) -> None:
    """Put into the index where this row is."""
    from journeymesh.keys.port import month_of
    from journeymesh.stores.fix_blocks import DAY_US
    from journeymesh.stores.protected_rows import month_of_period

    handle, index = row[at["owner"]], rows.index
    match kind:
        case "policies":
            index.ensure("number", [values["number"]])[values["number"]].add((None, handle, ""))
            for vehicle in {values["device"], values["vehicle"]} - {None}:
                index.ensure("vehicle", [vehicle])[vehicle].name_term(handle)
            return
        case "figures":
            number = values["number"]
            index.ensure("number", [number])[number].add((month_of_period(values["period"]), handle, ""))
            return
        case "journeys":
            month: int | None = month_of(values["started_at_us"])
            if (number := values["policy"]) is not None:
                index.ensure("number", [number])[number].add((month, handle, ""))
        case "blocks":
            month = month_of(values["day"] * DAY_US)
        case "refusals":
            month = None if values["fixed_at_us"] is None else month_of(values["fixed_at_us"])
        case _:
            return
    if (vehicle := values["vehicle"]) is not None:
        index.ensure("vehicle", [vehicle])[vehicle].add((month, handle, row[at["vehicle"]]))


def _renew_the_rest(into: WritableRows, owners: Owners) -> None:
    """Runs, the feed and what is left of the former index."""
    rows = ProtectedRows(into, owners)
    runs = []
    for row in into.select(PROTECTED["runs"].name):
        try:
            source, resume = rows.opened("runs", row[0], None, row[-1])
        except SealBroken:
            source, resume = _UNKNOWN, None
        sealed = rows.index.seal(msgspec.msgpack.encode((source, resume)), PROTECTED["runs"].name, row[0])
        runs.append((*row[:-1], sealed))
    into.put(PROTECTED["runs"].name, runs)
    present, gone, names = list[str](), list[Row](), dict[str, str]()
    for token, sealed in into.select(INDEX):
        try:
            name = msgspec.msgpack.decode(rows.index.unseal(bytes(sealed), INDEX, token))[0]
        except SealBroken:
            gone.append((token,))
            continue
        names[token] = name
        if token == rows.index.token("vehicle", name):
            present.append(name)
        elif token != rows.index.token("number", name):
            gone.append((token,))
    _renew_feed(into, rows, names, present)
    into.delete(INDEX, gone)


def _renew_feed(into: WritableRows, rows: ProtectedRows, names: dict[str, str], vehicles: Sequence[str]) -> None:
    """Each vehicle keeps its position where the former index says which it is, else it comes last."""
    name = PROTECTED["changes"].name
    stands = list(into.select(name))
    positions = {names[token]: position for token, position in stands if token in names}
    into.delete(name, [(token,) for token, _ in stands])
    missing = sorted(set(vehicles) - positions.keys())
    first = into.advance(len(missing)) - len(missing) + 1
    positions |= {vehicle: first + place for place, vehicle in enumerate(missing)}
    into.put(name, [(rows.index.token("vehicle", each), positions[each]) for each in vehicles])
