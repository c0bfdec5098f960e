"""What journeys add up to by policy and period, not yet rounded: the rows that summaries are made of.

A month's sums are of its journeys, those of several months are of the months': so whoever keeps months has the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import UsageError
from journeymesh.journeys.fields import SUMMED, Field, summary_field
from journeymesh.journeys.fixes import I64
from journeymesh.journeys.local_time import DAY_US, local_us
from journeymesh.journeys.policies import Policy

Period = Literal["day", "week", "month", "term"]
FigurePeriod = Literal["month", "last_12_months", "term"]
"""The periods by which a book is sorted. The last twelve months end with a month, which is one of them."""

_SUM_TYPES: Final = {field.name: summary_field(field).type for field in SUMMED}
_EPOCH: Final = date(1970, 1, 1)
_WINDOW: Final = 12


@dataclass(frozen=True, slots=True)
class PeriodSums:
    """A row for each policy and period, the policies one after the other, each one's periods in their order.

    - ``group``: which policy; ``holder``: the place of the term that was driven under last
    - ``begin``, ``end``: the period's local dates (days since 1970), half-open; ``last_day``: its last with a journey
    - ``counts``: ``journeys`` and ``active_days``
    - ``sums``: by field of ``SUMMED``
    - ``oldest``, ``latest``: the first and the last rules version of the journeys by name, equal where it is one
    """

    group: I64
    holder: I64
    begin: I64
    end: I64
    last_day: I64
    counts: Mapping[str, I64]
    sums: Mapping[str, Any]
    oldest: pa.Array
    latest: pa.Array

    def __len__(self) -> int:
        return len(self.group)

    @property
    def first_of_group(self) -> npt.NDArray[np.bool_]:
        """Which rows are a policy's first."""
        firsts: npt.NDArray[np.bool_] = np.r_[True, self.group[1:] != self.group[:-1]][: len(self)]
        return firsts

    def last_days(self) -> I64:
        """For each row the policy's last day with a journey in any of its rows."""
        begins = self.first_of_group
        days: I64 = np.maximum.reduceat(self.last_day, np.flatnonzero(begins))[np.cumsum(begins) - 1]
        return days

    def take(self, rows: I64) -> PeriodSums:
        """These rows."""
        places = pa.array(rows)
        return PeriodSums(
            self.group[rows], self.holder[rows], self.begin[rows], self.end[rows], self.last_day[rows],
            {name: column[rows] for name, column in self.counts.items()},
            {name: _taken(column, rows) for name, column in self.sums.items()},
            self.oldest.take(places), self.latest.take(places),
        )  # fmt: skip

    @classmethod
    def concat(cls, parts: Sequence[PeriodSums]) -> PeriodSums:
        """The rows of all parts, one after the other."""

        def days(name: str) -> I64:
            found: I64 = np.concatenate([getattr(part, name) for part in parts])
            return found

        def versions(name: str) -> pa.Array:
            return pa.concat_arrays([getattr(part, name) for part in parts])

        return cls(
            days("group"), days("holder"), days("begin"), days("end"), days("last_day"),
            {name: np.concatenate([part.counts[name] for part in parts]) for name in parts[0].counts},
            {field.name: _joined([part.sums[field.name] for part in parts]) for field in SUMMED},
            versions("oldest"), versions("latest"),
        )  # fmt: skip

    def merged(self, begin: I64, end: I64) -> PeriodSums:
        """Neighbouring rows of a policy whose periods are to have this one beginning, as one: ``begin`` and ``end`` are
        for each row."""
        firsts = np.flatnonzero(self.first_of_group | np.r_[True, begin[1:] != begin[:-1]])
        return PeriodSums(
            self.group[firsts], self.holder[_lasts(firsts, len(self))], begin[firsts], end[firsts],
            np.maximum.reduceat(self.last_day, firsts),
            {name: np.add.reduceat(column, firsts) for name, column in self.counts.items()},
            {field.name: _added_up(field, self.sums[field.name], firsts) for field in SUMMED},
            _extreme(self.oldest, firsts, np.minimum), _extreme(self.latest, firsts, np.maximum),
        )  # fmt: skip


def sums_of_journeys(
    journeys: pa.Table, owner: I64, policies: Sequence[Policy], period: Period | FigurePeriod, groups: I64
) -> PeriodSums:
    """The sums of journeys, some at least, each of which is ``policies[owner]``'s; ``groups`` says of each term which
    policy's it is. Those of one policy are in (started_at, journey_id) order."""
    if period in ("term", "last_12_months"):
        return sums_of_months(sums_of_journeys(journeys, owner, policies, "month", groups), policies, period)
    started_us = journeys["started_at"].cast(pa.int64()).to_numpy()
    day = local_days(started_us, owner, policies)
    order = np.lexsort((started_us, day, groups[owner]))
    if (order[1:] < order[:-1]).any():
        journeys, owner, day = journeys.take(pa.array(order)), owner[order], day[order]
    group = groups[owner]
    begin, end = _periods(day, period)
    begins = np.r_[True, group[1:] != group[:-1]]
    firsts = np.flatnonzero(begins | np.r_[True, begin[1:] != begin[:-1]])
    active = (begins | np.r_[True, day[1:] != day[:-1]]).astype(np.int64)
    lasts = _lasts(firsts, len(journeys))
    version = journeys["rules_version"].combine_chunks()
    return PeriodSums(
        group[firsts], owner[lasts], begin[firsts], end[firsts], day[lasts],
        {"journeys": np.diff(np.r_[firsts, len(journeys)]), "active_days": np.add.reduceat(active, firsts)},
        {field.name: _added_up(field, journeys[field.name], firsts) for field in SUMMED},
        _extreme(version, firsts, np.minimum), _extreme(version, firsts, np.maximum),
    )  # fmt: skip


def sums_of_months(months: PeriodSums, policies: Sequence[Policy], period: FigurePeriod | Period) -> PeriodSums:
    """What months add up to: in each term, or in the twelve months up to and with each in which there are any."""
    if period == "term":
        terms = np.array([term_days(policy) for policy in policies], np.int64)[months.holder]
        return months.merged(terms[:, 0], terms[:, 1])
    if period == "month":
        return months
    month = months.begin.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    row = np.repeat(np.arange(len(months)), _WINDOW)
    last = month[row] + np.tile(np.arange(_WINDOW), len(months))
    order = np.lexsort((month[row], last, months.group[row]))
    ends = last[order].astype("datetime64[M]")
    return months.take(row[order]).merged(_days(ends - (_WINDOW - 1)), _days(ends + 1))


def month_begin(days: I64) -> I64:
    """The first day of the month that each of the days is in."""
    return _days(days.astype("datetime64[D]").astype("datetime64[M]"))


def local_days(started_us: I64, owner: I64, policies: Sequence[Policy]) -> I64:
    """The local date (days since 1970) on which each journey starts."""
    day = np.empty(len(started_us), np.int64)
    zones = np.array([policy.zone for policy in policies])[owner]
    for zone in np.unique(zones).tolist():
        rows = zones == zone
        day[rows] = local_us(zone, started_us[rows]) // DAY_US
    return day


def term_days(policy: Policy) -> tuple[int, int]:
    """The local dates of the policy's first day and of the day it ends (9999-12-31 without an end)."""
    zone = ZoneInfo(policy.zone)
    until = date(9999, 12, 31)
    if policy.valid_to is not None:
        end = policy.valid_to.astimezone(zone)
        until = end.date() if end.time() == time(0) else end.date() + timedelta(days=1)
    return (policy.valid_from.astimezone(zone).date() - _EPOCH).days, (until - _EPOCH).days


def _lasts(firsts: I64, count: int) -> I64:
    lasts: I64 = np.r_[firsts[1:], count] - 1
    return lasts


def _joined(columns: Sequence[Any]) -> Any:
    return pa.concat_arrays(columns) if isinstance(columns[0], pa.Array) else np.concatenate(columns)


def _taken(column: Any, rows: I64) -> Any:
    return column.take(pa.array(rows)) if isinstance(column, pa.Array) else column[rows]


def _added_up(field: Field, column: Any, firsts: I64) -> Any:
    """What the values add up to from each of these rows to the next, or the highest; null where there is none."""
    kind = _SUM_TYPES[field.name]
    if field.summed == "max":
        return np.maximum.reduceat(_numbers(column), firsts)
    if field.journeys == "required":
        return _sums(_numbers(column), firsts)
    known = np.logical_or.reduceat(np.asarray(column.is_valid()), firsts)
    return pa.array(_sums(_numbers(column.cast(kind).fill_null(0)), firsts), kind, mask=~known)


def _numbers(column: Any) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column if isinstance(column, np.ndarray) else column.to_numpy()
    return values


def _sums(values: npt.NDArray[Any], firsts: I64) -> npt.NDArray[Any]:
    """Sums from each of these rows to the next."""
    if np.issubdtype(values.dtype, np.floating):
        return np.add.reduceat(values, firsts)
    return np.add.reduceat(values, firsts, dtype=np.int64)


def _extreme(texts: pa.Array, firsts: I64, which: Any) -> pa.Array:
    """The first or the last by name from each of these rows to the next."""
    names = pa.array(sorted(pc.unique(texts).to_pylist()), pa.string())
    if len(names) == 1:
        return pa.repeat(names[0], len(firsts))
    return names.take(pa.array(which.reduceat(pc.index_in(texts, names).to_numpy(), firsts)))


def _periods(day: I64, period: Period | FigurePeriod) -> tuple[I64, I64]:
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
        case _:
            raise UsageError(f"unknown period {period!r}", todo=f"use one of {', '.join(get_args(Period))}")


def _days(months: npt.NDArray[Any]) -> I64:
    return months.astype("datetime64[D]").astype(np.int64)
