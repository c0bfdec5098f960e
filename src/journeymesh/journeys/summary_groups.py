"""What the summaries of many policies add up to, page by page, and which of them come first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import RulesConflict
from journeymesh.journeys.fields import FIELDS, SUMMED, summary_field
from journeymesh.journeys.period_sums import Period
from journeymesh.journeys.summaries import SUMMARY_SCHEMA, speeding_share

GroupName = Literal["tenant", "product"]
GROUP_NAMES: Final[tuple[GroupName, ...]] = get_args(GroupName)
_ADDED: Final = {"observed_days": "sum", "journeys": "sum"} | {field.summary_name: field.summed for field in SUMMED}
"""How each column of summaries that is added up is."""
_OF_GROUPS: Final = tuple(summary_field(field) for field in FIELDS if field.in_groups)
_DAYS_PER_YEAR: Final = 365.25


def group_schema(by: Sequence[GroupName]) -> pa.Schema:
    """The columns of summaries of groups: those they are grouped by, then what the group's policies add up to.

    ``policies`` is how many of them have journeys in the period, ``observed_days`` are theirs together,
    ``annualised_distance_m`` and ``score`` are means: of a policy, and of the policies' scores.
    """
    return pa.schema([*(SUMMARY_SCHEMA.field(name) for name in by), *_OF_GROUPS])


def summarise_groups(pages: Iterable[pa.Table], by: Sequence[GroupName], period: Period) -> pa.Table:
    """One row of ``group_schema(by)`` per group and period, in their order, of pages of ``SUMMARY_SCHEMA``.

    A policy's rows are in one page. What is kept between pages is one row a group and period. The terms of a group's
    policies are one period, from the first's beginning to the last's end.

    Raises:
        RulesConflict: a group has journeys of more than one rules version.
    """
    keys = [*by] if period == "term" else [*by, "period_from", "period_to"]
    kept = _parts_schema(keys).empty_table()
    for page in pages:
        if len(page):
            kept = _added(pa.concat_tables([kept, _parts(page, keys)]), keys)
    return _finished(kept, by, period)


def first_of(pages: Iterable[pa.Table], field: str, count: int, *, lowest: bool = False) -> pa.Table | None:
    """The ``count`` rows with the highest (or lowest) ``field``, best first; equal ones in the order that they came
    in, and rows without a value not at all. No more than these and a page are kept. None: no page came."""
    best: pa.Table | None = None
    for page in pages:
        known = page.filter(pc.is_valid(page[field]))
        rows = known if best is None else pa.concat_tables([best, known])
        values = rows[field].to_numpy()
        order = np.argsort(values if lowest else -values, kind="stable")
        best = rows.take(pa.array(order[:count])).combine_chunks()
    return best


def _parts(page: pa.Table, keys: Sequence[str]) -> pa.Table:
    """The page's rows as groups of one."""
    version = page["rules_version"]
    columns = {
        **{name: page[name] for name in keys},
        "first": page["period_from"],
        "last": page["period_to"],
        "oldest_rules": version,
        "latest_rules": version,
        "scores": page["score"],
        **{name: page[name] for name in _ADDED},
    }
    table = pa.table(columns)
    # Of a policy of two terms in one period the second is no second policy.
    names = ["tenant", "policy", *(name for name in ("period_from",) if name in keys)]
    again = page.select(names).append_column("row", pa.array(np.arange(len(page))))
    firsts = again.group_by(names, use_threads=False).aggregate([("row", "min")])["row_min"].to_numpy()
    counted = np.zeros(len(page), np.int64)
    counted[firsts] = 1
    rows = pa.array(np.ones(len(page), np.int64))
    return _added(table.append_column("policies", pa.array(counted)).append_column("rows", rows), keys)


_MERGED: Final = {
    "first": "min", "last": "max", "oldest_rules": "min", "latest_rules": "max", "scores": "sum", **_ADDED,
    "policies": "sum", "rows": "sum",
}  # fmt: skip


def _added(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    merged = table.group_by(list(keys), use_threads=False).aggregate(list(_MERGED.items()))
    columns = {name: merged[name] for name in keys} | {name: merged[f"{name}_{how}"] for name, how in _MERGED.items()}
    return pa.table(columns)


def _parts_schema(keys: Sequence[str]) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {
        "first": pa.date32(), "last": pa.date32(), "oldest_rules": pa.string(), "latest_rules": pa.string(),
        "scores": pa.float64(), "policies": pa.int64(), "rows": pa.int64(),
    }  # fmt: skip
    return pa.schema([(name, kinds.get(name) or SUMMARY_SCHEMA.field(name).type) for name in (*keys, *_MERGED)])


def _finished(kept: pa.Table, by: Sequence[GroupName], period: Period) -> pa.Table:
    mixed = kept.filter(pc.not_equal(kept["oldest_rules"], kept["latest_rules"]))
    if len(mixed):
        row = mixed.slice(0, 1).to_pylist()[0]
        named = " of " + ", ".join(f"{name} {row[name]}" for name in by) if by else ""
        raise RulesConflict(
            f"policies{named} have journeys of rules {row['oldest_rules']} and {row['latest_rules']}",
            todo="results of two rules versions do not add up: recompute one of them",
        )
    kept = kept.sort_by([(name, "ascending") for name in (*by, "first", "last")])
    columns: dict[str, Any] = {name: kept[name] for name in kept.column_names}
    distance = kept["distance_m"].to_numpy()
    harsh = sum(kept[f"harsh_{kind}"].to_numpy() for kind in ("braking", "acceleration", "cornering"))

    def per(value: Any, whole: Any, digits: int) -> Any:
        return np.round(np.divide(value, whole, out=np.zeros(len(kept)), where=whole > 0), digits)

    columns |= {
        "period": pa.repeat(pa.scalar(period), len(kept)),
        "period_from": kept["first"],
        "period_to": kept["last"],
        "rules_version": kept["latest_rules"],
        "mean_speed_mps": per(distance, kept["driving_s"].to_numpy(), 3),
        "night_share": per(kept["night_distance_m"].to_numpy(), distance, 6),
        "speeding_share": speeding_share(columns),
        "harsh_events_per_100km": per(harsh * 100_000.0, distance, 3),
        "annualised_distance_m": per(distance * _DAYS_PER_YEAR, kept["observed_days"].to_numpy(), 3),
        "score": per(kept["scores"].to_numpy(), kept["rows"].to_numpy(), 1),
    }
    schema = group_schema(by)
    return pa.table([_rounded(columns[field.name], field) for field in schema], schema=schema)


def _rounded(column: Any, field: pa.Field) -> Any:
    """Sums of floats differ in their last bits by the order of adding."""
    if isinstance(column, pa.ChunkedArray) and pa.types.is_floating(field.type):
        return pc.round(column, 3)
    return column
