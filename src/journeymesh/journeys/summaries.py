"""Summaries: what a policy's journeys add up to in each day, week, month or term of the policy's time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import RulesConflict
from journeymesh.journeys.fields import FIELDS, INSTANT, SCORE_PART_TYPE, SUMMED, summary_field
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.period_sums import FigurePeriod, Period, PeriodSums, sums_of_journeys, term_days
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScorePart, ScoreRules

SUMMARY_SCHEMA: Final = pa.schema([summary_field(field) for field in FIELDS if field.summaries != "absent"])
"""``limit_known_distance_m``, ``over_limit_distance_m`` and ``speed_doubted_journeys`` are of the journeys that say so,
null where none does; ``speeding_share`` is as ``speeding_share`` says."""

FIGURE_SCHEMA: Final = SUMMARY_SCHEMA.append(pa.field("policy_from", INSTANT, nullable=False))
"""A summary of one term of a policy; ``policy_from`` is its ``valid_from``."""

SEVERAL_VERSIONS: Final = ""
"""The ``rules_version`` of a term whose journeys are of more than one, where these are marked and not refused."""

SUMMED_COLUMNS: Final = (
    "policy", "tenant", "policy_from", "started_at", "rules_version", *(field.name for field in SUMMED),
)  # fmt: skip
"""The columns of ``JOURNEY_SCHEMA`` that summaries are made of."""
_ADDED: Final = frozenset(
    field.summary_name for field in SUMMED if field.summed == "sum" and pa.types.is_floating(field.kind)
)
_DAYS_PER_YEAR: Final = 365.25


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


def summarise_terms(
    journeys: pa.Table,
    policies: Sequence[Policy],
    period: FigurePeriod,
    rules: ScoreRules,
    *,
    marks_mixed: bool = False,
) -> pa.Table:
    """``FIGURE_SCHEMA``: a row for each of these terms and period in which it has journeys, each term for itself. Those
    of one term are in (started_at, journey_id) order; journeys of other policies and terms are left out. With
    ``marks_mixed`` the ``rules_version`` of a term with journeys of more than one is ``SEVERAL_VERSIONS``.

    Raises:
        RulesConflict: a term's journeys were made with more than one rules version, and ``marks_mixed`` is false.
    """
    journeys, owner = of_terms(journeys, policies) if policies else (journeys.slice(0, 0), np.zeros(0, np.int64))
    if not len(journeys):
        return FIGURE_SCHEMA.empty_table()
    each = np.arange(len(policies))
    sums = sums_of_journeys(journeys, owner, policies, period, each)
    columns = summary_columns(sums, policies, each, period)
    if marks_mixed:
        in_mixed = pa.array(np.isin(sums.group, sums.group[_mixed(sums)]))
        columns["rules_version"] = pc.if_else(in_mixed, SEVERAL_VERSIONS, sums.latest)
    else:
        _require_one_version(sums, policies)
    table = summary_table(columns, rules)
    begins = pa.array([policies[holder].valid_from for holder in sums.holder.tolist()], INSTANT)
    return pa.table([*table.columns, begins], schema=FIGURE_SCHEMA)


def _summed(journeys: pa.Table, owner: I64, policies: Sequence[Policy], period: Period, rules: ScoreRules) -> pa.Table:
    """The summaries of journeys each of which is ``policies[owner]``'s, by policy and period."""
    if not len(journeys):
        return SUMMARY_SCHEMA.empty_table()
    groups = np.arange(len(policies)) if period == "term" else _groups(policies)
    sums = sums_of_journeys(journeys, owner, policies, period, groups)
    _require_one_version(sums, policies)
    return summary_table(summary_columns(sums, policies, groups, period), rules)


def summary_columns(
    sums: PeriodSums, policies: Sequence[Policy], groups: I64, period: Period | FigurePeriod
) -> dict[str, Any]:
    """The columns of summaries but for those that ``summary_table`` makes of them; sums are not rounded."""
    columns: dict[str, Any] = {field.summary_name: sums.sums[field.name] for field in SUMMED} | dict(sums.counts)
    columns["period"] = pa.repeat(pa.scalar(period), len(sums))
    columns["period_from"] = pa.array(sums.begin.astype(np.int32)).cast(pa.date32())
    columns["period_to"] = pa.array(sums.end.astype(np.int32)).cast(pa.date32())
    terms = np.array([term_days(policy) for policy in policies], np.int64)
    spans = sums.begin, np.minimum(sums.end, sums.last_days() + 1)
    columns["observed_days"] = _observed_days(*spans, sums.group, terms, groups)
    columns["rules_version"] = sums.latest
    held = [policies[index] for index in sums.holder.tolist()]
    for name, attribute in {"policy": "number", "tenant": "tenant", "product": "product", "zone": "zone",
                            "declared_annual_distance_m": "declared_annual_distance_m"}.items():  # fmt: skip
        columns[name] = pa.array([getattr(policy, attribute) for policy in held], SUMMARY_SCHEMA.field(name).type)
    return columns


def summary_table(columns: Mapping[str, Any], rules: ScoreRules) -> pa.Table:
    """``SUMMARY_SCHEMA`` of ``summary_columns``: sums rounded, with ratios and score."""
    columns = {name: _rounded(name, column) for name, column in columns.items()}
    _add_ratios(columns)
    columns["score_parts"], columns["score"] = _scores(columns, rules)
    return pa.table([columns[name] for name in SUMMARY_SCHEMA.names], schema=SUMMARY_SCHEMA)


def _rounded(name: str, column: Any) -> Any:
    """Added up numbers with a fraction to three places, counts and all else as they are."""
    if name not in _ADDED:
        return column
    if isinstance(column, np.ndarray):
        return np.round(column, 3)
    return pa.array(np.round(column.fill_null(0.0).to_numpy(), 3), column.type, mask=np.asarray(column.is_null()))


def _mixed(sums: PeriodSums) -> I64:
    """The rows with a rules version that is not the first one of their group."""
    first = np.flatnonzero(sums.first_of_group)[np.cumsum(sums.first_of_group) - 1]
    known = sums.oldest.take(pa.array(first))
    return np.flatnonzero(np.asarray(pc.or_(pc.not_equal(sums.oldest, known), pc.not_equal(sums.latest, known))))


def _require_one_version(sums: PeriodSums, policies: Sequence[Policy]) -> None:
    mixed = _mixed(sums)
    if len(mixed):
        this = pa.array(sums.group == sums.group[mixed[0]])
        versions = sorted({*sums.oldest.filter(this).to_pylist(), *sums.latest.filter(this).to_pylist()})
        raise rules_conflict(policies[sums.holder[mixed[0]]].number, versions)


def rules_conflict(number: str, versions: Sequence[str]) -> RulesConflict:
    """A policy's journeys were made with more than one rules version."""
    return RulesConflict(
        f"policy {number} has journeys of rules {' and '.join(versions)}",
        todo="results of two rules versions do not add up: recompute one of them into a store of its own",
    )


def _groups(policies: Sequence[Policy]) -> I64:
    """For each term the place of the first one of its policy."""
    first: dict[tuple[str, str], int] = {}
    return np.array(
        [first.setdefault((policy.number, policy.tenant), place) for place, policy in enumerate(policies)], np.int64
    )


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
