"""A page of the book sorted by one of its numbers, of those policies alone that the caller may know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.errors import RulesConflict
from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.period_sums import FigurePeriod
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.journeys.summaries import FIGURE_SCHEMA, SEVERAL_VERSIONS
from journeymesh.services.http.problems import CURSOR_REFUSED, MALFORMED, ProblemRaised
from journeymesh.services.journeyapi.book import Sealed
from journeymesh.services.journeyapi.policy_answers import Dependencies, obliged_each, refuse_masked
from journeymesh.stores.figure_port import FiguresQuery, Place
from journeymesh.stores.figures import computed_figures, place_of

FEW_POLICIES: Final = 5_000
"""So many are asked for by number: among more the index is gone along."""
EACH: Final = "journeys"
"""What every row of figures has: sorted by it, none is left out."""
_MOST: Final = 1e12
SortName = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(SORTS)})$")]
MonthName = Annotated[str, msgspec.Meta(pattern=r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$")]
Bound = Annotated[float, msgspec.Meta(ge=0, le=_MOST)]

BookPeriod = Literal["day", "week", "month", "last_12_months", "term"]


def _bounds() -> list[tuple[str, Any, Any]]:
    """A parameter for each bound of each number that sorts."""
    found = []
    for name in SORTS:
        for side, least in (("min", "or more"), ("max", "or less")):
            told = msgspec.Meta(description=f"with `sort`: only rows whose {name} is this {least}")
            found.append((f"{side}_{name}", Annotated[Bound | None, told], None))
    return found


if TYPE_CHECKING:
    _Bounds = msgspec.Struct
else:
    _Bounds = msgspec.defstruct("_Bounds", _bounds(), frozen=True, module=__name__)


class Sorting(_Bounds, frozen=True):
    """By what a book is sorted, and which of its rows are listed."""

    sort: Annotated[
        SortName | None,
        msgspec.Meta(
            description="lists a row for each term of a policy, sorted by this number; rows without one are left out"
        ),
    ] = None
    month: Annotated[
        MonthName | None,
        msgspec.Meta(
            description="with `sort`: the month (2026-11), or the last one of twelve; left out, the present one of UTC"
        ),
    ] = None
    policy: Annotated[
        Annotated[str, msgspec.Meta(max_length=200)] | None,
        msgspec.Meta(description="with `sort`: only of the policy with this number"),
    ] = None

    moved: Annotated[
        bool,
        msgspec.Meta(
            description="each row says in `moved` which numbers changed most since the period before; with `sort`, or"
            " for pages of the period term"
        ),
    ] = False

    def bounds(self, side: Literal["min", "max"]) -> dict[str, float]:
        """The bounds of this side that are given, by field."""
        given = ((name, getattr(self, f"{side}_{name}")) for name in SORTS)
        return {name: value for name, value in given if value is not None}


def check_sorting(decision: Decision, query: Any) -> None:
    """What a query of summaries asks for without ``sort``, or beside it, and what is masked.

    Raises:
        ProblemRaised: it does not go together (400), or a masked field would sort or filter (403).
    """
    filters = {**query.bounds("min"), **query.bounds("max")}
    if query.moved:
        _check_moved(decision, query)
    if query.sort is None:
        alone = [name for name in ("month", "policy") if getattr(query, name) is not None]
        if alone or filters or query.period == "last_12_months":
            what = [*alone, *(f"min_{name} or max_{name}" for name in filters), "period=last_12_months"][0]
            raise ProblemRaised(MALFORMED, f"{what} needs sort: use one of {', '.join(SORTS)}")
        return
    if query.by is not None or query.since is not None or query.until is not None:
        raise ProblemRaised(MALFORMED, "sort excludes by, from and to: name a month")
    if query.period in ("day", "week"):
        raise ProblemRaised(MALFORMED, "sort: period is one of month, last_12_months, term")
    if query.month is not None and query.period == "term":
        raise ProblemRaised(MALFORMED, "month: the period term has none")
    used = {"sort": query.sort, **{f"min_{name} or max_{name}": name for name in filters}}
    if query.policy is not None:
        used["policy"] = "policy"
    if query.period != "term":
        used["period"] = "period_from"
    refuse_masked(decision, used)


def _check_moved(decision: Decision, query: Any) -> None:
    """What moved is said for pages of the book, by the calendar."""
    if query.by is not None or query.since is not None or query.until is not None:
        raise ProblemRaised(MALFORMED, "moved excludes by, from and to")
    if query.sort is None and query.period != "term":
        raise ProblemRaised(MALFORMED, "moved needs sort, or the period term")
    refuse_masked(decision, {"moved": "period_from"})


def figures_query(decision: Decision, query: Any, limit: int) -> FiguresQuery:
    """The query as a store has it, of the caller's tenant; its month is the present one of UTC if none is named."""
    period: FigurePeriod = query.period
    month = None
    if period != "term":
        month = date.fromisoformat(f"{query.month}-01") if query.month else datetime.now(UTC).date().replace(day=1)
    return FiguresQuery(
        tenant="" if decision.identity is None else decision.identity.tenant,
        period=period,
        month=month,
        sort=query.sort or EACH,
        descending=query.order == "highest",
        least=query.bounds("min"),
        most=query.bounds("max"),
        limit=limit,
    )


def sorted_page(
    deps: Dependencies,
    decision: Decision,
    wanted: Sequence[Policy],
    query: FiguresQuery,
) -> tuple[pa.Table, Place | None]:
    """(at most ``query.limit`` rows of the policies wanted, not masked yet; the place behind which more are)."""
    limit, more = query.limit, replace(query, limit=query.limit + 1)
    if len(wanted) <= FEW_POLICIES:
        more = replace(more, numbers=tuple(dict.fromkeys(policy.number for policy in wanted)))
    kept, rows = [FIGURE_SCHEMA.empty_table()], 0
    while wanted:
        found, known = _read(deps, decision, wanted, more)
        kept.append(known)
        rows += len(kept[-1])
        if rows > limit or len(found) < more.limit:
            break
        more = replace(more, after=place_of(found, len(found) - 1, query.sort))
    table = pa.concat_tables(kept)
    following = place_of(table, limit - 1, query.sort) if len(table) > limit else None
    return table.slice(0, limit), following


def every_row(deps: Dependencies, decision: Decision, wanted: Sequence[Policy], query: FiguresQuery) -> pa.Table:
    """The rows of the policies wanted that may leave, not masked yet, at most ``query.limit`` of them."""
    return _read(deps, decision, wanted, query)[1]


def _read(
    deps: Dependencies, decision: Decision, wanted: Sequence[Policy], query: FiguresQuery
) -> tuple[pa.Table, pa.Table]:
    """(what is kept or computed, the rows of it that are wanted and may leave). What other terms have journeys of does
    not matter.

    Raises:
        RulesConflict: one of these rows is of a term with journeys of more than one rules version, and
            ``query.marks_mixed`` is false.
    """
    marked = replace(query, marks_mixed=True)
    found = None if deps.figures is None else deps.figures.figures(marked, deps.config.score)
    if found is None:
        found = computed_figures(deps.book_reads, wanted, marked, deps.config.score)
    rows = _known(found, decision, deps.known.by_term(wanted), query.tenant)
    if not query.marks_mixed and SEVERAL_VERSIONS in rows["rules_version"].to_pylist():
        raise RulesConflict("a policy among these has journeys of more than one rules version")
    return found, rows


def sealed_place(place: Place) -> Sealed:
    """The place as a cursor has it."""
    value, number, begin = place
    return begin, f"{value!r}\0{number}"


def place_in(sealed: Sealed) -> Place:
    """The inverse of ``sealed_place``."""
    value, separator, number = sealed[1].partition("\0")
    if not separator:
        raise ProblemRaised(CURSOR_REFUSED)
    return float(value), number, sealed[0]


def _known(found: pa.Table, decision: Decision, by_term: Mapping[PolicyTerm, Policy], tenant: str) -> pa.Table:
    """The rows of terms that are wanted and may leave."""
    keys = zip(found["policy"].to_pylist(), found["policy_from"].to_pylist(), strict=True)
    policies = [by_term.get(PolicyTerm(number, tenant, begin)) for number, begin in keys]
    admitted = found.filter(pa.array([policy is not None for policy in policies], pa.bool_()))
    return obliged_each(admitted, decision, [policy for policy in policies if policy is not None])
