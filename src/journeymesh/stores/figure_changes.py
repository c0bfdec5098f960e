"""Which figures a batch changes, and what they are after it: put in the batch's own transaction.

It reads the store as it is before the batch and lays the batch over it, so nothing depends on whether a database sees
its own writes. A term's month is added up anew, whole, where one of its journeys is put, changes its policy or goes;
what follows from the months (the term, twelve months, the score) is made anew for each term that is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.instants import to_us
from journeymesh.journeys.fields import INSTANT
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.period_sums import PeriodSums, local_days, month_begin, sums_of_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import SUMMED_COLUMNS, of_terms
from journeymesh.stores import records, rows
from journeymesh.stores.figure_rows import KEY_LENGTH, PERIOD, figure_rows, is_month, months_of
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.row_kinds import Condition, ReadableRows, Row, WritableRows, chunks

_NUMBERS_AT_ONCE: Final = 500
_READ: Final = ("journey_id", *SUMMED_COLUMNS)
_WHOSE: Final = ("policy", "tenant", "policy_from_us", "started_at_us")
_WHOSE_SCHEMA: Final = pa.schema(
    [("policy", pa.string()), ("tenant", pa.string()), ("policy_from", INSTANT), ("started_at", INSTANT)]
)
_DAY: Final = np.timedelta64(1, "D") // np.timedelta64(1, "us")
_MARGIN_DAYS: Final = 2
"""A month of any clock on Earth begins and ends within this of UTC's."""
Key = tuple[str, str, int]


def update_figures(into: WritableRows, batch: StoreBatch) -> None:
    """Put and delete the figures that the batch changes. Before the batch puts anything but figures and runs."""
    put = _EMPTY if batch.journeys is None else batch.journeys.select(_READ)
    ids = {*put["journey_id"].to_pylist(), *(moved.journey_id for moved in batch.superseded)}
    former: list[Row] = []
    for some in chunks(list(ids)):
        found = into.select("journeys", [("journey_id", "in", some)], columns=_WHOSE)
        former += [row for row in found if row[0] is not None]
    before, after = _scores(into), _scores(into, batch)
    given = [*(policy.term for policy in batch.policies), *batch.policies_withdrawn]
    numbers = dict.fromkeys(row[0] for row in former)
    numbers |= dict.fromkeys(name for name in put["policy"].unique().to_pylist() if name is not None)
    numbers |= dict.fromkeys(term.number for term in given)
    rescored = any(before.get(name, _PLAIN) != after.get(name, _PLAIN) for name in {*before, *after})
    if rescored:
        numbers |= dict.fromkeys(number for (number,) in into.select("policies", columns=("number",)))
    change = _Change(batch, put, frozenset(ids), former, after, rescored)
    for some in chunks(list(numbers), _NUMBERS_AT_ONCE):
        _update(into, change, some)


def fill_figures(into: WritableRows, after: str | None) -> str | None:
    """Make all figures of some policies, in the order of their numbers, of a store that had none: those behind the
    number ``after``. The last number; None: there are no more."""
    where: list[Condition] = [] if after is None else [("number", ">", after)]
    found = into.select("policies", where, order=records.POLICY_KEY, limit=_NUMBERS_AT_ONCE, columns=("number",))
    numbers: list[str] = list(dict.fromkeys(number for (number,) in found))
    if not numbers:
        return None
    change = _Change(StoreBatch(), _EMPTY, frozenset(), [], _scores(into), False, everything=True)
    _update(into, change, numbers)
    return numbers[-1]


@dataclass(frozen=True, slots=True)
class _Change:
    """What a batch does. ``ids``: of journeys that it puts or takes away, ``former`` whose they were before."""

    batch: StoreBatch
    put: pa.Table
    ids: frozenset[str]
    former: Sequence[Row]
    scores: dict[str, ScoreRules]
    rescored: bool
    everything: bool = False


def _update(into: WritableRows, change: _Change, numbers: Sequence[str]) -> None:
    of_numbers: list[Condition] = [("number", "in", numbers)]
    before = {_key(policy): policy for policy in map(records.policy_of, into.select("policies", of_numbers))}
    after = dict(before)
    for term in change.batch.policies_withdrawn:
        after.pop(records.term_row(term), None)
    among = frozenset(numbers)
    after |= {_key(policy): policy for policy in change.batch.policies if policy.number in among}
    terms = list(after.values())
    touched = _touched(change, terms) if terms else _NONE
    whole = {
        place
        for place, policy in enumerate(terms)
        if change.everything or (former := before.get(_key(policy))) is None or former.zone != policy.zone
    }
    changed = {place for place, policy in enumerate(terms) if before.get(_key(policy)) != policy}
    places = sorted({*touched[:, 0].tolist(), *whole, *changed, *(range(len(terms)) if change.rescored else ())})
    keys = [_key(terms[place]) for place in places]
    gone = before.keys() - after.keys()
    if not keys and not gone:
        return
    kept = _kept(into, of_numbers, {*keys, *gone})
    own = [terms[place] for place in places]
    renumbered = np.searchsorted(np.array(places, np.int64), touched[:, 0])
    months = _months(
        into, change, own, np.c_[renumbered, touched[:, 1]], {places.index(place) for place in whole}, kept
    )
    made = {row[:KEY_LENGTH]: row for row in figure_rows(own, months, lambda name: change.scores.get(name, _PLAIN))}
    present = {row[:KEY_LENGTH]: row for found in kept.values() for row in found}
    into.delete("figures", [key for key in present if key not in made])
    into.put("figures", [row for key, row in made.items() if present.get(key) != row])


def _touched(change: _Change, terms: Sequence[Policy]) -> I64:
    """(place of the term, first day of the month) of each journey that comes, goes or changes, each once."""
    columns = list(zip(*change.former, strict=True)) or [()] * len(_WHOSE)
    kinds = zip(columns, _WHOSE_SCHEMA, strict=True)
    former = pa.table([pa.array(column, field.type) for column, field in kinds], schema=_WHOSE_SCHEMA)
    found = [_months_touched(table, terms) for table in (former, change.put)]
    pairs: I64 = np.unique(np.concatenate(found), axis=0)
    return pairs


def _months_touched(journeys: pa.Table, terms: Sequence[Policy]) -> I64:
    journeys, owner = of_terms(journeys, terms)
    pairs: I64 = np.c_[owner, _month_of(journeys, owner, terms)].astype(np.int64).reshape(-1, 2)
    return pairs


def _month_of(journeys: pa.Table, owner: I64, terms: Sequence[Policy]) -> I64:
    return month_begin(local_days(journeys["started_at"].cast(pa.int64()).to_numpy(), owner, terms))


def _kept(into: ReadableRows, where: list[Condition], keys: set[Key]) -> dict[Key, list[Row]]:
    kept: dict[Key, list[Row]] = {key: [] for key in keys}
    for row in into.select("figures", where):
        if row[:3] in kept:
            kept[row[:3]].append(row)
    return kept


def _months(
    into: ReadableRows,
    change: _Change,
    terms: Sequence[Policy],
    touched: I64,
    whole: set[int],
    kept: dict[Key, list[Row]],
) -> PeriodSums:
    """The months of the terms after the batch: those touched added up anew, the others as they are kept."""
    pairs = {(place, day) for place, day in touched.tolist() if place not in whole}
    standing: list[tuple[Row, int]] = []
    again: dict[int, list[int]] = {place: [] for place in whole}
    for place, policy in enumerate(terms):
        for row in kept[_key(policy)] if place not in whole else ():
            if is_month(row):
                day = int(np.datetime64(row[PERIOD].partition(":")[2], "D").astype(np.int64))
                if (place, day) in pairs:
                    again.setdefault(place, []).append(day)
                else:
                    standing.append((row, place))
    read = _read(into, change, terms, again)
    journeys, owner = of_terms(pa.concat_tables([read, change.put]), terms) if terms else (_EMPTY, _NONE[:, 0])
    month = _month_of(journeys, owner, terms)
    wanted = [
        place in whole or (place, day) in pairs for place, day in zip(owner.tolist(), month.tolist(), strict=True)
    ]
    if not all(wanted):
        journeys, owner = journeys.filter(pa.array(wanted)), owner[np.array(wanted)]
    parts = [months_of([row for row, _ in standing], [place for _, place in standing])]
    if len(journeys):
        order = pc.sort_indices(journeys, [("started_at", "ascending"), ("journey_id", "ascending")])
        each = np.arange(len(terms))
        parts.append(sums_of_journeys(journeys.take(order), owner[order.to_numpy()], terms, "month", each))
    months = PeriodSums.concat(parts)
    return months.take(np.lexsort((months.begin, months.group)))


def _read(into: ReadableRows, change: _Change, terms: Sequence[Policy], again: dict[int, list[int]]) -> pa.Table:
    """The journeys of these terms that the batch leaves as they are, all or of these months; maybe some of others."""
    numbers = list(dict.fromkeys(terms[place].number for place in again))
    if not numbers:
        return _EMPTY
    where: list[Condition] = [("policy", "in", numbers)]
    days = [day for found in again.values() for day in found]
    if all(again.values()):
        first, last = (min(days) - _MARGIN_DAYS) * _DAY, (max(days) + 31 + _MARGIN_DAYS) * _DAY
        where += [("started_at_us", ">=", int(first)), ("started_at_us", "<", int(last))]
    found = into.select("journeys", where, columns=rows.stored_names(_READ))
    return rows.journeys_of((row for row in found if row[0] not in change.ids), _READ)


def _scores(now: ReadableRows, batch: StoreBatch | None = None) -> dict[str, ScoreRules]:
    """The rules of the score by rules version, as far as they are known."""
    held = {(version, digest): score for version, digest, score in now.select("rules")}
    if batch is not None:
        for gone in batch.rules_withdrawn:
            held.pop((gone.version, gone.digest), None)
        if (used := batch.rules) is not None and (used.score is not None or (used.version, used.digest) not in held):
            held[used.version, used.digest] = score_text(used.score)
    known = ((version, score) for (version, _), score in sorted(held.items(), key=_by_key) if score is not None)
    return {version: msgspec.json.decode(score, type=ScoreRules) for version, score in known}


def score_text(rules: ScoreRules | None) -> str | None:
    """The rules of a score as rows keep them."""
    return None if rules is None else msgspec.json.encode(rules).decode()


def _by_key(entry: tuple[Any, Any]) -> Any:
    return entry[0]


def _key(policy: Policy) -> Key:
    return policy.number, policy.tenant, to_us(policy.valid_from)


_PLAIN: Final = ScoreRules()
"""Of rules whose score nobody told: every version that ships has it."""
_EMPTY: Final = rows.journeys_of((), _READ)
_NONE: Final[I64] = np.zeros((0, 2), np.int64)
