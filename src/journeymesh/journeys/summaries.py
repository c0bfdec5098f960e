"""Summaries: what a policy's journeys add up to in each day, week, month or term of the policy's time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date, time, timedelta
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import RulesConflict, UsageError
from journeymesh.journeys.fields import FIELDS, SCORE_PART_TYPE, SUMMED, Field, summary_field
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.local_time import DAY_US, local_us
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScorePart, ScoreRules

Period = Literal["day", "week", "month", "term"]

SUMMARY_SCHEMA: Final = pa.schema([summary_field(field) for field in FIELDS if field.summaries != "absent"])
"""``limit_known_distance_m``, ``over_limit_distance_m`` and ``speed_doubted_journeys`` are of the journeys that say so,
null where none does; ``speeding_share`` is as ``speeding_share`` says."""

SUMMED_COLUMNS: Final = (
    "policy", "tenant", "policy_from", "started_at", "rules_version", *(field.name for field in SUMMED),
)  # fmt: skip
"""The columns of ``JOURNEY_SCHEMA`` that summaries are made of."""
_SUM_TYPES: Final = {field.name: summary_field(field).type for field in SUMMED}
_DAYS_PER_YEAR: Final = 365.25
_EPOCH: Final = date(1970, 1, 1)


def summarise(journeys: pa.Table, policy: Policy, period: Period, rules: ScoreRules) -> pa.Table:
    """One row of ``SUMMARY_SCHEMA`` per period in which the policy has journeys, oldest first.

    ``journeys`` are the policy's in (started_at, journey_id) order, with ``SUMMED_COLUMNS`` at least; a journey counts
    whole in the period of its local start. ``period_from``/``period_to`` are local dates, half-open; weeks begin on
    Monday. A period is observed from its beginning, or the policy's, to its end, the policy's, or the end of the day of
    the policy's last journey, whichever is first: ``observed_days``, over which mileage is annualised.

    Raises:
        RulesConflict: the journeys were made with more than one rules version.
    """
    return _summed(journeys, np.zeros(len(journeys), np.int64), [policy], period, rules)


def of_terms(journeys: pa.Table, policies: Sequence[Policy]) -> tuple[pa.Table, I64]:
    """The journeys that belong to one of these terms, and to which of them."""
    wanted, known = np.zeros(len(policies), np.int64), np.zeros(len(journeys), np.int64)
    missing = np.zeros(len(journeys), np.bool_)
    keys = [policy.term for policy in policies]
    for name, values in zip(("policy", "tenant", "policy_from"), zip(*keys, strict=True), strict=True):
        kind = JOURNEY_SCHEMA.field(name).type
        names = pa.array(sorted(set(values)), kind)
        found = pc.index_in(journeys[name], names)
        missing |= found.is_null().to_numpy()
        wanted = wanted * len(names) + pc.index_in(pa.array(values, kind), names).to_numpy()
        known = known * len(names) + found.fill_null(0).to_numpy()
    order = np.argsort(wanted, kind="stable")
    owner = order[np.minimum(np.searchsorted(wanted, known, sorter=order), len(order) - 1)]
    kept = ~missing & (wanted[owner] == known)
    return (journeys, owner) if kept.all() else (journeys.filter(pa.array(kept)), owner[kept])


def summarise_each(journeys: pa.Table, policies: Sequence[Policy], period: Period, rules: ScoreRules) -> pa.Table:
    """What ``summarise`` gives for each of the policies, one below the other, all at once. Those of one policy are in
    (started_at, journey_id) order. Journeys of other policies and terms are left out.

    Several terms of one number and tenant are one policy. A day, week or month has one row for all of them, each
    journey by its own term's time zone; product, zone and declared mileage are those of the term driven under last.
    The period ``term`` has a row for each.

    Raises:
        RulesConflict: a policy's journeys were made with more than one rules version.
    """
    if not policies:
        return SUMMARY_SCHEMA.empty_table()
    return _summed(*of_terms(journeys, policies), policies, period, rules)


def _summed(journeys: pa.Table, owner: I64, policies: Sequence[Policy], period: Period, rules: ScoreRules) -> pa.Table:
    """The summaries of journeys each of which is ``policies[owner]``'s, by policy and period."""
    if not len(journeys):
        return SUMMARY_SCHEMA.empty_table()
    terms = np.array([_term_days(policy) for policy in policies], np.int64)
    groups = np.arange(len(policies)) if period == "term" else _groups(policies)
    day = _local_days(journeys["started_at"].cast(pa.int64()).to_numpy(), owner, policies)
    order = np.lexsort((journeys["started_at"].cast(pa.int64()).to_numpy(), day, groups[owner]))
    if (order[1:] < order[:-1]).any():
        journeys, owner, day = journeys.take(pa.array(order)), owner[order], day[order]
    group = groups[owner]
    begins = np.r_[True, group[1:] != group[:-1]]
    versions = _versions(journeys, group, begins, policies)
    starts, ends = _periods(day, terms[owner], period)
    firsts = np.flatnonzero(begins | np.r_[True, starts[1:] != starts[:-1]])
    columns: dict[str, Any] = {field.summary_name: _added_up(field, journeys[field.name], firsts) for field in SUMMED}
    columns["journeys"] = np.diff(np.r_[firsts, len(journeys)])
    columns["active_days"] = np.add.reduceat((begins | np.r_[True, day[1:] != day[:-1]]).astype(np.int64), firsts)
    columns["period_from"] = pa.array(starts[firsts].astype(np.int32)).cast(pa.date32())
    columns["period_to"] = pa.array(ends[firsts].astype(np.int32)).cast(pa.date32())
    last_day = day[np.r_[np.flatnonzero(begins)[1:], len(day)] - 1][np.cumsum(begins)[firsts] - 1]
    spans = starts[firsts], np.minimum(ends[firsts], last_day + 1)
    columns["observed_days"] = _observed_days(*spans, group[firsts], terms, groups)
    columns["period"] = pa.repeat(pa.scalar(period), len(firsts))
    columns["rules_version"] = versions.take(pa.array(firsts))
    held = [policies[index] for index in owner[np.r_[firsts[1:], len(owner)] - 1].tolist()]
    for name, attribute in {"policy": "number", "tenant": "tenant", "product": "product", "zone": "zone",
                            "declared_annual_distance_m": "declared_annual_distance_m"}.items():  # fmt: skip
        columns[name] = pa.array([getattr(policy, attribute) for policy in held], SUMMARY_SCHEMA.field(name).type)
    _add_ratios(columns)
    columns["score_parts"], columns["score"] = _scores(columns, rules)
    return pa.table([columns[name] for name in SUMMARY_SCHEMA.names], schema=SUMMARY_SCHEMA)


def _added_up(field: Field, column: pa.ChunkedArray, firsts: I64) -> Any:
    """What the values add up to from each of these rows to the next, or the highest; null where there is none."""
    if field.summed == "max":
        return np.maximum.reduceat(column.to_numpy(), firsts)
    kind = _SUM_TYPES[field.name]
    if field.journeys == "required":
        return _sums(column.to_numpy(), firsts)
    known = np.logical_or.reduceat(column.is_valid().to_numpy(), firsts)
    return pa.array(_sums(column.cast(kind).fill_null(0).to_numpy(), firsts), kind, mask=~known)


def _sums(values: npt.NDArray[Any], firsts: I64) -> npt.NDArray[Any]:
    """Sums from each of these rows to the next: numbers with a fraction to three places, counts as they are."""
    if np.issubdtype(values.dtype, np.floating):
        return np.round(np.add.reduceat(values, firsts), 3)
    return np.add.reduceat(values, firsts, dtype=np.int64)


def _groups(policies: Sequence[Policy]) -> I64:
    """For each term the place of the first one of its policy."""
    first: dict[tuple[str, str], int] = {}
    return np.array(
        [first.setdefault((policy.number, policy.tenant), place) for place, policy in enumerate(policies)], np.int64
    )


def _versions(journeys: pa.Table, owner: I64, begins: npt.NDArray[np.bool_], policies: Sequence[Policy]) -> pa.Array:
    """Each journey's rules version, which is one per policy."""
    encoded = journeys["rules_version"].combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().chunk(0)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    mixed = np.flatnonzero(~begins & np.r_[False, codes[1:] != codes[:-1]])
    if len(mixed):
        policy = owner[mixed[0]]
        versions = sorted(pc.unique(encoded.filter(pa.array(owner == policy))).to_pylist())
        raise RulesConflict(
            f"policy {policies[policy].number} has journeys of rules {' and '.join(versions)}",
            todo="results of two rules versions do not add up: recompute one of them into a store of its own",
        )
    return encoded.cast(pa.string())


def _local_days(started_us: I64, owner: I64, policies: Sequence[Policy]) -> I64:
    """The local date (days since 1970) on which each journey starts."""
    day = np.empty(len(started_us), np.int64)
    zones = np.array([policy.zone for policy in policies])[owner]
    for zone in np.unique(zones).tolist():
        rows = zones == zone
        day[rows] = local_us(zone, started_us[rows]) // DAY_US
    return day


def _periods(day: I64, terms: I64, period: Period) -> tuple[I64, I64]:
    """The local dates (days since 1970) at which the period of each day begins and the next one does."""
    match period:
        case "day":
            return day, day + 1
        case "week":
            monday = day - (day + 3) % 7
            return monday, monday + 7
        case "month":
            month = day.astype("datetime64[D]").astype("datetime64[M]")
            return _days(month), _days(month + 1)
        case "term":
            return terms[:, 0], terms[:, 1]
        case _:
            raise UsageError(f"unknown period {period!r}", todo=f"use one of {', '.join(get_args(Period))}")


def _days(months: npt.NDArray[Any]) -> I64:
    return months.astype("datetime64[D]").astype(np.int64)


def _term_days(policy: Policy) -> tuple[int, int]:
    """The local dates of the policy's first day and of the day it ends (9999-12-31 without an end)."""
    zone = ZoneInfo(policy.zone)
    until = date(9999, 12, 31)
    if policy.valid_to is not None:
        end = policy.valid_to.astimezone(zone)
        until = end.date() if end.time() == time(0) else end.date() + timedelta(days=1)
    return (policy.valid_from.astimezone(zone).date() - _EPOCH).days, (until - _EPOCH).days


def _observed_days(starts: I64, ends: I64, rows: I64, terms: I64, groups: I64) -> npt.NDArray[np.float64]:
    """How many days of ``[starts, ends)`` the policy ``rows`` was in force in one of its terms, at least one."""
    observed = np.minimum(ends, terms[rows, 1]) - np.maximum(starts, terms[rows, 0])
    for group in np.unique(groups[groups != np.arange(len(groups))]).tolist():  # policies of several terms
        this, until = rows == group, np.iinfo(np.int64).min
        observed[this] = 0
        for low, high in sorted(terms[groups == group].tolist()):
            inside = np.minimum(ends[this], high) - np.maximum(starts[this], max(low, until))
            observed[this] += np.maximum(inside, 0)
            until = max(until, high)
    days: npt.NDArray[np.float64] = np.maximum(observed, 1).astype(np.float64)
    return days


def speeding_share(columns: Mapping[str, Any]) -> pa.Array:
    """The share of the distance whose speed limit is known that was driven over it: null where no limit is known.

    Of journeys that do not say how much was known (``RECORDED_LATER``), speeding shows that something was: then it is
    ``speeding_distance_m`` of the whole distance. Without speeding nobody can tell a source without limits from a
    driver who never broke one: null.
    """
    distance, speeding = (np.asarray(columns[name]) for name in ("distance_m", "speeding_distance_m"))
    known, over = (columns[name] for name in ("limit_known_distance_m", "over_limit_distance_m"))
    says = np.asarray(known.is_valid())
    share = np.where(
        says,
        _per(np.asarray(over.fill_null(0.0)), np.asarray(known.fill_null(0.0))),
        _per(speeding, distance),
    )
    unknown = np.where(says, np.asarray(known.fill_null(0.0)) == 0.0, speeding == 0.0)
    return pa.array(np.round(share, 6), mask=unknown)


def _per(value: npt.NDArray[Any], by: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    ratio: npt.NDArray[np.float64] = np.divide(value, by, out=np.zeros(len(by)), where=by > 0)
    return ratio


def _add_ratios(columns: dict[str, Any]) -> None:
    distance = columns["distance_m"]
    harsh = columns["harsh_braking"] + columns["harsh_acceleration"] + columns["harsh_cornering"]
    columns["mean_speed_mps"] = np.round(_per(distance, columns["driving_s"]), 3)
    columns["night_share"] = np.round(_per(columns["night_distance_m"], distance), 6)
    columns["speeding_share"] = speeding_share(columns)
    columns["harsh_events_per_100km"] = np.round(_per(harsh * 100_000.0, distance), 3)
    columns["annualised_distance_m"] = np.round(distance / columns["observed_days"] * _DAYS_PER_YEAR, 3)
    declared = columns["declared_annual_distance_m"].fill_null(0.0).to_numpy()
    ratio = np.round(_per(columns["annualised_distance_m"], declared), 6)
    columns["mileage_ratio"] = pa.array(ratio, mask=declared == 0)


def _scores(columns: dict[str, Any], rules: ScoreRules) -> tuple[pa.ListArray, npt.NDArray[np.float64]]:
    """The score's parts and the score: of all periods in which the same parts are known at once."""
    known = {
        name: columns[name].is_valid().to_numpy(zero_copy_only=False) for name in ("mileage_ratio", "speeding_share")
    }
    weighed = [part.name for part in fields(rules) if getattr(rules, part.name).weight > 0]
    if set(weighed) <= known.keys():
        # Where no part that is weighed is known, what the rules call speeding without a reported limit stands for it.
        known["speeding_share"] = known["speeding_share"] | ~np.logical_or.reduce([known[name] for name in weighed])
        plain_share = np.round(_per(columns["speeding_distance_m"], columns["distance_m"]), 6)
        columns = columns | {"speeding_share": pc.coalesce(columns["speeding_share"], pa.array(plain_share))}
    pattern = known["mileage_ratio"] + 2 * known["speeding_share"]
    found = []
    for kind in np.unique(pattern):
        rows = np.flatnonzero(pattern == kind)
        told = [name for name in weighed if name not in known or known[name][rows[0]]]
        chosen = {name: np.asarray(columns[name])[rows] for name in ("distance_m", *told)}
        found.append((rows, *score(chosen, rules)))
    place = np.argsort(np.concatenate([rows for rows, _, _ in found]))
    parts = pa.concat_arrays([parts for _, parts, _ in found]).take(pa.array(place))
    return parts, np.concatenate([total for _, _, total in found])[place]


def score(columns: Mapping[str, Any], rules: ScoreRules) -> tuple[pa.ListArray, npt.NDArray[np.float64]]:
    """The score's parts (list of ``SCORE_PART_TYPE``) and the score (float64[n], 0–100) of n periods.

    Each part is 100 at its ``best`` or below and 0 at its ``worst`` or above; the score is their mean by weight. A
    part that is not among the columns, for its value is not known (no declared mileage, no speed limits), is left out,
    and the others' weights stand for the whole.
    """
    n = len(columns["distance_m"])
    names, values, scores, weights = [], [], [], []
    for part in fields(rules):
        rule: ScorePart = getattr(rules, part.name)
        value = columns.get(part.name)
        if rule.weight == 0 or value is None:
            continue
        span = max(rule.worst - rule.best, 1e-12)
        names.append(part.name)
        values.append(value)
        scores.append(np.round(100.0 * np.clip((rule.worst - value) / span, 0.0, 1.0), 1))
        weights.append(rule.weight)
    weighted = np.array(weights) / sum(weights)
    total = np.round(sum(w * s for w, s in zip(weighted, scores, strict=True)), 1)
    parts = len(names)
    struct = pa.StructArray.from_arrays(
        [
            pa.array(names * n, pa.string()),
            pa.array(np.stack(values, 1).ravel()),
            pa.array(np.stack(scores, 1).ravel()),
            pa.array(np.tile(np.round(weighted, 6), n)),
        ],
        fields=list(SCORE_PART_TYPE),
    )
    return pa.ListArray.from_arrays(pa.array(np.arange(0, parts * n + 1, parts, dtype=np.int32)), struct), total
