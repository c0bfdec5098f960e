"""Figures as rows that a store keeps: a month's, twelve months' and the whole term's, for each term of a policy.

A row has what it is sorted by as columns of their own and, in ``content``, what a summary is made of: its sums, not
rounded, so that a term's months add up to exactly what its journeys do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Final, get_args

import msgspec
import numpy as np
import pyarrow as pa

from journeymesh.instants import to_us
from journeymesh.journeys.fields import INSTANT, SORTS, SUMMED, summary_field
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.period_sums import FigurePeriod, PeriodSums, sums_of_months
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import (
    FIGURE_SCHEMA,
    SEVERAL_VERSIONS,
    SUMMARY_SCHEMA,
    summary_columns,
    summary_table,
)
from journeymesh.stores.row_kinds import KINDS, Row

ScoreOf = Callable[[str], ScoreRules]
"""The rules of the score of a version of the rules."""

_COLUMNS: Final = KINDS["figures"].columns
KEY_LENGTH: Final = len(KINDS["figures"].key)
PERIOD: Final = _COLUMNS.index("period")
CONTENT: Final = _COLUMNS.index("content")
_SCORE: Final = _COLUMNS.index("score")
_HEAD: Final = (
    "product", "zone", "declared", "begin", "end", "observed_days", "last_day", "journeys", "active_days", "oldest",
    "latest", "oldest_of_term", "latest_of_term",
)  # fmt: skip
"""What a content has before the sums of ``SUMMED``. A field that is added comes last there: a content of before it is
shorter."""
_MONTH: Final = "month:"
_ENCODE: Final = msgspec.json.Encoder().encode


def period_name(period: FigurePeriod, month: date | None) -> str:
    """The period as rows name it: ``month:2026-11``, ``last_12_months:2026-11``, ``term``."""
    return period if month is None else f"{period}:{month:%Y-%m}"


def is_month(row: Row) -> bool:
    """Whether the row is of a month: those of the other periods follow from these."""
    return str(row[PERIOD]).startswith(_MONTH)


def figure_rows(terms: Sequence[Policy], months: PeriodSums, score_of: ScoreOf) -> Iterator[Row]:
    """The rows of these terms. ``months`` are theirs, of each ``terms[group]``, the terms one after the other."""
    if not len(months):
        return
    each = np.arange(len(terms))
    of_terms = sums_of_months(months, terms, "term")
    at = np.searchsorted(of_terms.group, each)
    oldest, latest = of_terms.oldest.to_pylist(), of_terms.latest.to_pylist()
    for period in get_args(FigurePeriod):
        sums = sums_of_months(months, terms, period)
        columns = summary_columns(sums, terms, each, period)
        sorts = _sort_values(columns, score_of)
        groups = sums.group.tolist()
        heads = [[terms[group].product, terms[group].zone, terms[group].declared_annual_distance_m] for group in groups]
        counts = [
            _values(column)
            for column in (
                sums.begin, sums.end, columns["observed_days"], sums.last_day, sums.counts["journeys"],
                sums.counts["active_days"], sums.oldest, sums.latest,
            )
        ]  # fmt: skip
        versions = [[oldest[at[group]], latest[at[group]]] for group in groups]
        added = [_values(sums.sums[field.name]) for field in SUMMED]
        names = _names(period, sums.end)
        for row, (group, head, count, version, values) in enumerate(
            zip(groups, heads, zip(*counts, strict=True), versions, zip(*added, strict=True), strict=True)
        ):
            term = terms[group]
            content = _ENCODE([*head, *count, *version, *values]).decode()
            yield (
                term.number, term.tenant, to_us(term.valid_from), names[row],
                *(column[row] for column in sorts), content,
            )  # fmt: skip


def months_of(rows: Sequence[Row], groups: Sequence[int]) -> PeriodSums:
    """The months in these rows, each of which is of this group."""
    values = dict(zip((*_HEAD, *(field.name for field in SUMMED)), _by_column(rows), strict=True))
    group = np.array(groups, np.int64)
    whole = {name: np.array(values[name], np.int64) for name in ("begin", "end", "last_day", "journeys", "active_days")}
    sums: dict[str, Any] = {}
    for field in SUMMED:
        column = pa.array(values[field.name], summary_field(field).type)
        sums[field.name] = column if field.journeys != "required" else column.to_numpy(zero_copy_only=False)
    return PeriodSums(
        group, group, whole["begin"], whole["end"], whole["last_day"],
        {name: whole[name] for name in ("journeys", "active_days")}, sums,
        pa.array(values["oldest"], pa.string()), pa.array(values["latest"], pa.string()),
    )  # fmt: skip


def figures_of(rows: Sequence[Row], period: FigurePeriod, rules: ScoreRules) -> pa.Table | None:
    """The rows, all of this period, as ``FIGURE_SCHEMA``; None: they are sorted by another score. Those of a term with
    journeys of two rules versions (``mixed_versions`` finds the first) have ``SEVERAL_VERSIONS``.
    """
    if not rows:
        return FIGURE_SCHEMA.empty_table()
    values = dict(zip((*_HEAD, *(field.name for field in SUMMED)), _by_column(rows), strict=True))
    columns: dict[str, Any] = {
        field.summary_name: _column(values[field.name], field.summary_name, field.journeys == "required")
        for field in SUMMED
    }
    columns |= {name: np.array(values[name], np.int64) for name in ("journeys", "active_days")}
    columns |= {
        "policy": [row[0] for row in rows], "tenant": [row[1] for row in rows], "period": [period] * len(rows),
        "product": values["product"], "zone": values["zone"],
        "rules_version": [
            version if oldest == latest else SEVERAL_VERSIONS
            for version, oldest, latest in zip(
                values["latest"], values["oldest_of_term"], values["latest_of_term"], strict=True
            )
        ],
    }  # fmt: skip
    columns |= {name: pa.array(columns[name], pa.string()) for name in _TEXTS}
    columns["declared_annual_distance_m"] = pa.array(values["declared"], pa.float64())
    columns["observed_days"] = np.array(values["observed_days"], np.float64)
    for name, place in (("period_from", "begin"), ("period_to", "end")):
        columns[name] = pa.array(np.array(values[place], np.int32)).cast(pa.date32())
    table = summary_table(columns, rules)
    if table["score"].to_pylist() != [row[_SCORE] for row in rows]:
        return None
    begins = pa.array([row[2] for row in rows], pa.int64()).cast(INSTANT)
    return pa.table([*table.columns, begins], schema=FIGURE_SCHEMA)


def mixed_versions(rows: Iterable[Row]) -> tuple[str, list[str]] | None:
    """(number, versions) of the first term among these rows that has journeys of more than one rules version."""
    first, last = _HEAD.index("oldest_of_term"), _HEAD.index("latest_of_term")
    for row in rows:
        content = msgspec.json.decode(row[CONTENT])
        if content[first] != content[last]:
            return row[0], [content[first], content[last]]
    return None


_TEXTS: Final = ("policy", "tenant", "period", "product", "zone", "rules_version")


def _sort_values(columns: dict[str, Any], score_of: ScoreOf) -> list[list[Any]]:
    """For each of ``SORTS`` the values of the rows, the score of each by the rules of its version."""
    versions = columns["rules_version"].to_pylist()
    rules = {version: score_of(version) for version in set(versions)}
    tables = {each: summary_table(columns, each) for each in set(rules.values())}
    first = next(iter(tables.values()))
    sorts = {name: first[name].to_pylist() for name in SORTS}
    if len(tables) > 1:
        scores = {each: table["score"].to_pylist() for each, table in tables.items()}
        sorts["score"] = [scores[rules[version]][row] for row, version in enumerate(versions)]
    return [sorts[name] for name in SORTS]


def _names(period: FigurePeriod, ends: I64) -> list[str]:
    if period == "term":
        return ["term"] * len(ends)
    last = (ends - 1).astype("datetime64[D]").astype("datetime64[M]")
    return [f"{period}:{month}" for month in last.astype(str).tolist()]


def _values(column: Any) -> list[Any]:
    return list(column.to_pylist() if isinstance(column, pa.Array) else column.tolist())


def _by_column(rows: Sequence[Row]) -> list[list[Any]]:
    width = len(_HEAD) + len(SUMMED)
    contents = [msgspec.json.decode(row[CONTENT]) for row in rows]
    full = [[*content, *[None] * (width - len(content))] for content in contents]
    return [list(column) for column in zip(*full, strict=True)] or [[] for _ in range(width)]


def _column(values: list[Any], name: str, required: bool) -> Any:
    column = pa.array(values, SUMMARY_SCHEMA.field(name).type)
    return column.to_numpy(zero_copy_only=False) if required else column
