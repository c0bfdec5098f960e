"""Erasing what a store has of terms that were treated: live rows, history, kept fixes, figures. Nothing is kept of it.

An erasure is one transaction for each term. It is repeated without harm, and is what a restored store needs too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final

import numpy as np

from journeymesh.instants import EPOCH, from_us, to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import END_OF_TIME_US, Policy
from journeymesh.keys.covering import POLICY_REASONS, texts_in
from journeymesh.stores import records, rows
from journeymesh.stores.fix_blocks import DAY_US, encode_blocks, fixes_of
from journeymesh.stores.row_batches import move_in_feed
from journeymesh.stores.row_kinds import Condition, ReadableRows, Row, WritableRows

Interval = tuple[int, int]
_END_US: Final = int(END_OF_TIME_US)
_OF_STREAMS: Final = "sync:"
"""How the ids of runs begin whose ``resume`` is a place in a stream of changes."""
_LAST_INSTANT_US: Final = to_us(EPOCH.replace(year=9999, month=12, day=31))


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to go: a term, and of its vehicle and device what ``interval`` (µs, half-open) covers. What is of no term
    goes in the whole UTC months that the interval touches, for one secret seals it by the month. Of other terms nothing
    goes. ``policy`` None: of ``vehicles`` alone, whose term is no longer known.
    """

    policy: Policy | None = field(repr=False)
    vehicles: tuple[str, ...] = field(repr=False)
    interval: Interval

    @property
    def months(self) -> Interval:
        """The whole UTC months that the interval touches."""
        return month_begins(self.interval[0]), month_begins(self.interval[1] - 1, 1)


@dataclass(slots=True)
class Erased:
    """How many rows went."""

    journeys: int = 0
    history: int = 0
    refusals: int = 0
    fixes: int = 0
    policies: int = 0

    def add(self, other: Erased) -> None:
        """Count these too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def is_nothing(self) -> bool:
        """Whether nothing went."""
        return not any(getattr(self, name) for name in self.__slots__)


def month_begins(instant_us: int, later: int = 0) -> int:
    """When the UTC month of this instant begins, or one so many months later."""
    at = from_us(min(max(instant_us, 0), _LAST_INSTANT_US)).astimezone(UTC)
    month = at.year * 12 + at.month - 1 + later
    if month >= 10_000 * 12:
        return _END_US
    return to_us(at.replace(year=month // 12, month=month % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0))


def last_journey_ended_us(now: ReadableRows, policy: Policy) -> int | None:
    """When the last journey of this term ended; None: it has none."""
    ends = [row[0] for row in now.select("journeys", _of_term(policy), columns=("ended_at_us",))]
    return max(ends, default=None)


def eraser(erasure: Erasure) -> Callable[[WritableRows], Erased]:
    """What erases this, inside of a transaction."""

    def erase(into: WritableRows) -> Erased:
        # All is read before anything is written: a database may not show a write what it has written itself.
        going = dict(_journeys(into, erasure))
        history = [
            (entry_id,)
            for entry_id, journey_id, content in into.select("history", columns=("entry_id", "journey_id", "content"))
            if journey_id in going or _is_of(erasure, rows.row_from_content(content))
        ]
        refusals = [(row[0],) for row in _refusals(into, erasure)]
        blocks = list(_blocks(into, erasure))
        named = list(dict.fromkeys((*erasure.vehicles, *going.values())))
        left = _left(
            into, named, set(going), {key for (key,) in refusals}, {key for key, kept, _ in blocks if not kept}
        )
        erased = Erased(journeys=len(going), history=len(history), refusals=len(refusals))
        into.delete("journeys", ((journey_id,) for journey_id in going))
        into.delete("refusals", refusals)
        into.delete("history", history)
        erased.fixes = sum(gone for _, _, gone in blocks)
        into.delete("blocks", [key for key, _, _ in blocks])
        into.put("blocks", [row for _, kept, _ in blocks for row in kept])
        erased.policies = _erase_term(into, erasure)
        if not erased.is_nothing:
            move_in_feed(into, [name for name in named if name in left])
            into.delete("changes", [(name,) for name in named if name not in left])
        _forget_places(into, named)
        return erased

    return erase


def _left(
    into: ReadableRows,
    named: Sequence[str],
    journeys: Collection[str],
    refusals: Collection[str],
    blocks: Collection[tuple[str, int]],
) -> set[str]:
    """Those of the vehicles that still have rows when these are gone."""
    going: tuple[tuple[str, tuple[str, ...], Collection[Any]], ...] = (
        ("journeys", ("journey_id",), {(each,) for each in journeys}),
        ("refusals", ("refusal_id",), {(each,) for each in refusals}),
        ("blocks", ("vehicle", "day"), blocks),
    )
    return {
        name
        for name in named
        if any(
            tuple(row) not in gone
            for kind, key, gone in going
            for row in into.select(kind, [("vehicle", "=", name)], columns=key)
        )
    }


def _forget_places(into: WritableRows, names: Sequence[str]) -> None:
    """Take places to resume at that name one of these vehicles out of runs: such a run begins anew. A place in a stream
    of changes names none, and whoever lost it would have to fill everything again."""
    if not names:
        return
    word = re.compile(f"(?<![0-9A-Za-z])(?:{'|'.join(map(re.escape, names))})(?![0-9A-Za-z])")
    at = {name: place for place, name in enumerate(records.RUN_COLUMNS)}
    changed = []
    for row in into.select("runs"):
        resume = row[at["resume"]]
        if resume is not None and not row[at["run_id"]].startswith(_OF_STREAMS) and word.search(resume):
            changed.append(tuple(None if place == at["resume"] else value for place, value in enumerate(row)))
    if changed:
        into.put("runs", changed)


_OWNER: Final = ("journey_id", "policy", "tenant", "policy_from_us", "started_at_us", "ended_at_us")


def _of_term(policy: Policy) -> list[Condition]:
    return [
        ("policy", "=", policy.number),
        ("tenant", "=", policy.tenant),
        ("policy_from_us", "=", to_us(policy.valid_from)),
    ]


def _journeys(into: ReadableRows, erasure: Erasure) -> Iterator[tuple[str, str]]:
    """(id, vehicle) of those that go."""
    if erasure.policy is not None:
        yield from into.select("journeys", _of_term(erasure.policy), columns=("journey_id", "vehicle"))
    for vehicle in erasure.vehicles:
        for row in into.select("journeys", [("vehicle", "=", vehicle)], columns=_OWNER):
            if _goes(erasure, dict(zip(_OWNER, row, strict=True))):
                yield row[0], vehicle


def _is_of(erasure: Erasure, row: Sequence[Any]) -> bool:
    """Whether a former content is of what goes: the term's, or of a vehicle. Journeys under another id may have taken
    its place."""
    named = dict(zip(rows.COLUMNS, row, strict=True))
    if erasure.policy is not None and _names(named, erasure.policy):
        return True
    return named["vehicle"] in erasure.vehicles and _goes(erasure, named)


def _goes(erasure: Erasure, row: dict[str, Any]) -> bool:
    """Whether a journey of the vehicle goes: the term's, one of no term, or, of a successor, one that the interval
    covers from its beginning."""
    policy = erasure.policy
    if policy is not None and _names(row, policy):
        return True
    since, until = erasure.months if row["policy"] is None else erasure.interval
    return bool(row["started_at_us"] < until and since <= row["ended_at_us"])


def _names(row: dict[str, Any], policy: Policy) -> bool:
    owner = (policy.number, policy.tenant, to_us(policy.valid_from))
    return (row["policy"], row["tenant"], row["policy_from_us"]) == owner


def _refusals(into: ReadableRows, erasure: Erasure) -> Iterator[Row]:
    """Those of the months, and those without an instant: they may be of any time, and have what was refused in them.
    Of refused policies those with the number, which name no vehicle."""
    if erasure.policy is not None:
        refused: list[Condition] = [("reason", "in", list(POLICY_REASONS))]
        for refusal_id, content in into.select("refusals", refused, columns=("refusal_id", "content")):
            if content is not None and erasure.policy.number in texts_in(content):
                yield (refusal_id,)
    since, until = erasure.months
    for vehicle in erasure.vehicles:
        where: list[Condition] = [("vehicle", "=", vehicle), ("fixed_at_us", ">=", since), ("fixed_at_us", "<", until)]
        for some in (where, [("vehicle", "=", vehicle), ("fixed_at_us", "=", None)]):
            yield from into.select("refusals", some, columns=("refusal_id",))


def _blocks(into: ReadableRows, erasure: Erasure) -> Iterator[tuple[tuple[str, int], list[Row], int]]:
    """(key, rows to put in its place, how many fixes go) of each block of fixes of which some go."""
    since, until = erasure.months
    for vehicle in erasure.vehicles:
        others = _others(into, vehicle, erasure)
        days: list[Condition] = [("day", ">=", since // DAY_US), ("day", "<=", (until - 1) // DAY_US)]
        where: list[Condition] = [("vehicle", "=", vehicle), *days]
        for day, content in list(into.select("blocks", where, order=("day",), columns=("day", "content"))):
            fixes = fixes_of(vehicle, [bytes(content)], 0, _END_US)
            kept = fixes.take(_kept(fixes, erasure, others))
            if len(kept) < len(fixes):
                blocks = encode_blocks(kept)
                put: list[Row] = [(b.vehicle, b.day, b.first_us, b.last_us, b.rows, b.content) for b in blocks]
                yield (vehicle, day), put, len(fixes) - len(kept)


def _others(into: ReadableRows, vehicle: str, erasure: Erasure) -> list[Interval]:
    """When other terms own the fixes of this vehicle."""
    term = None if erasure.policy is None else erasure.policy.term
    found: Iterable[Row] = (
        row for name in ("vehicle", "device") for row in into.select("policies", [(name, "=", vehicle)])
    )
    return [interval_of(policy) for policy in map(records.policy_of, found) if policy.term != term]


def interval_of(policy: Policy) -> Interval:
    """When the policy is in force, half-open, in µs."""
    return to_us(policy.valid_from), _END_US if policy.valid_to is None else to_us(policy.valid_to)


def _kept(fixes: Fixes, erasure: Erasure, others: Sequence[Interval]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    at = fixes.fixed_at_us

    def within(interval: Interval) -> np.ndarray[Any, np.dtype[np.bool_]]:
        inside: np.ndarray[Any, np.dtype[np.bool_]] = (at >= interval[0]) & (at < interval[1])
        return inside

    owned = np.zeros(len(at), np.bool_)
    for interval in others:
        owned |= within(interval)
    return ~within(erasure.interval) & (owned | ~within(erasure.months))


def _erase_term(into: WritableRows, erasure: Erasure) -> int:
    if erasure.policy is None:
        return 0
    key = records.term_row(erasure.policy.term)
    where: list[Condition] = [(name, "=", value) for name, value in zip(records.POLICY_KEY, key, strict=True)]
    periods = [row[0] for row in into.select("figures", where, columns=("period",))]
    into.delete("figures", ((*key, period) for period in periods))
    there = len(list(into.select("policies", where, columns=("number",))))
    into.delete("policies", [key])
    return there
