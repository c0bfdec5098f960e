"""A policy's figures beside those of the book that the caller may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.journeys.period_sums import FigurePeriod
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.summaries import SEVERAL_VERSIONS
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.problems import (
    GROUP_TOO_SMALL,
    MALFORMED,
    PRECONDITION_FAILED,
    RULES_CONFLICT,
    ProblemRaised,
)
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.book import ComparedPolicies, caller_of
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    look_again,
    obliged_each,
    policies_of_path,
    read_answer,
    refuse_masked,
    retention_hour,
)
from journeymesh.services.journeyapi.sorted_book import EACH, MonthName
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.figures import computed_figures
from journeymesh.wire.journeys import ComparedFigure, PolicyComparison

LEAST_OTHERS: Final = 10
"""Among fewer a tenth is nobody, and a median says much of one of them."""
MOST_OTHERS: Final = 2_000
"""So many say where a tenth of the book ends, to a percent or so, and are read in the same time in a book of any size.
Of more, as many are taken evenly over the numbers."""
MOST_COMPUTED: Final = 100
"""Where figures are not kept, as behind the strangler's door, each is computed from journeys."""
COMPARED: Final = ("score", "distance_m", "harsh_events_per_100km", "night_share", "speeding_share")
_FEW_EACH: Final = 4
"""Where as many terms for each policy that is taken are known, or fewer, all of them are looked through."""
_ALL: Final = 1 << 31
"""Rows of the numbers that are asked for: also of terms that may not leave, which must not push out those that may."""


class ComparisonQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Over which period."""

    period: Annotated[FigurePeriod, msgspec.Meta(description="in each policy's time zone")] = "term"
    month: Annotated[
        MonthName | None,
        msgspec.Meta(description="the month (2026-11), or the last one of twelve; left out, the present one of UTC"),
    ] = None


@HttpRoute(
    "GET",
    "/v1/policies/{policy}/comparison",
    summary="A policy's figures beside the book's",
    tag="policies",
    capability="summaries:read",
    about=policies_of_path,
    in_vain=look_again,
    answers=(
        Answer(200, "Where the policy stands", {JSON: PolicyComparison}, {"ETag": "names the answer"}),
        Answer(304, "The caller has it already", {}, {"ETag": "names the answer"}),
    ),
    query=ComparisonQuery,
    path_told={"policy": "the number of a policy of the caller's tenant"},
    headers=IF_NONE_MATCH,
    problems=(GROUP_TOO_SMALL, PRECONDITION_FAILED, RULES_CONFLICT),
)
async def comparison(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """The latest term's figures of the policy, each with the tenth of the other policies that it is in and their
    median. Of the others only those count that the caller may know for the purpose; among fewer than ten there is no
    answer. Where there are more than 2,000 as many are taken, evenly over their numbers. Of these, those whose latest
    term has journeys of more than one rules version, or by other rules than this policy's, are left out, and counted
    as such."""
    deps = dependencies_of(request)
    policy, query = admitted(decision), query_of(request.scope, ComparisonQuery)
    if query.month is not None and query.period == "term":
        raise ProblemRaised(MALFORMED, "month: the period term has none")
    refuse_masked(decision, {} if query.period == "term" else {"period": "period_from"})
    body = await deps.threads.run(_compared, deps, decision, policy, query)
    return read_answer(deps, request.scope, None, body, JSON)


def _compared(deps: Dependencies, decision: Decision, policy: Admitted, query: ComparisonQuery) -> bytes:
    known = deps.known.of(decision, deps.policies.every())
    sample = _sample(known, policy, MOST_COMPUTED if deps.figures is None else MOST_OTHERS)
    month = _month(query)
    key = (caller_of(decision), policy.tenant, query.period, month, retention_hour(decision))
    state = _state(deps, sample)
    book = deps.compared.of(key, (known, state), lambda: _latest_of_many(deps, decision, query, month, sample))
    mine = _own(deps, decision, policy, query, month)
    others = [row for number, row in book.rows.items() if number != policy.number]
    alike = _alike(others, mine)
    if len(alike) < LEAST_OTHERS:
        raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)
    rows = alike[: book.most]
    hidden = decision.obligations.hidden
    figures = [_beside(name, mine, rows, hidden) for name in COMPARED]
    left_out = len(book.several_versions - {policy.number}) + len(others) - len(alike)
    return msgspec.json.encode(PolicyComparison(query.period, len(rows), left_out, figures))


def _own(
    deps: Dependencies, decision: Decision, policy: Admitted, query: ComparisonQuery, month: date | None
) -> Mapping[str, Any]:
    """The row of the policy's own latest term, empty where it has no figures. What its earlier terms have journeys of
    does not matter.

    Raises:
        ProblemRaised: the latest term has journeys of more than one rules version.
    """
    terms = {policy.number: list(policy.terms)}
    wanted = replace(_wanted(decision, query, month, terms), marks_mixed=True)
    table = None if deps.figures is None else deps.figures.figures(wanted, deps.config.score)
    if table is None:
        table = computed_figures(deps.book_reads, policy.terms, wanted, deps.config.score)
    mine = _latest(table, decision, terms).get(policy.number, {})
    if mine.get("rules_version") == SEVERAL_VERSIONS:
        detail = "the policy's latest term has journeys of more than one rules version"
        raise ProblemRaised(RULES_CONFLICT, detail, decision=decision)
    return mine


def _alike(others: Sequence[Mapping[str, Any]], mine: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Those by the rules of ``mine``: results compare only within one rules version. Where the policy itself has no
    figures, those by the rules that most of them are by."""
    versions = Counter(row["rules_version"] for row in others)
    version = mine["rules_version"] if mine else max(versions, key=lambda each: (versions[each], each), default="")
    return [row for row in others if row["rules_version"] == version]


def _month(query: ComparisonQuery) -> date | None:
    if query.period == "term":
        return None
    return date.fromisoformat(f"{query.month}-01") if query.month else datetime.now(UTC).date().replace(day=1)


def _state(deps: Dependencies, sample: Mapping[str, list[Policy]]) -> tuple[str, ...] | None:
    """The versions of the data of these policies; None: they are not known of all."""
    found = [deps.versions.of(term) for terms in sample.values() for term in terms]
    known = tuple(version for version in found if version is not None)
    return known if len(known) == len(found) else None


def _latest_of_many(
    deps: Dependencies, decision: Decision, query: ComparisonQuery, month: date | None, sample: dict[str, list[Policy]]
) -> ComparedPolicies:
    wanted = replace(_wanted(decision, query, month, sample), marks_mixed=True)
    table = None if deps.figures is None else deps.figures.figures(wanted, deps.config.score)
    most = MOST_OTHERS
    if table is None:
        numbers, most = list(sample), MOST_COMPUTED
        if len(numbers) > most + 1:
            numbers = [numbers[k * len(numbers) // (most + 1)] for k in range(most + 1)]
        sample = {number: sample[number] for number in numbers}
        wanted = replace(_wanted(decision, query, month, sample), marks_mixed=True)
        terms = [term for each in sample.values() for term in each]
        table = computed_figures(deps.book_reads, terms, wanted, deps.config.score)
    latest = _latest(table, decision, sample)
    several = frozenset(number for number, row in latest.items() if row["rules_version"] == SEVERAL_VERSIONS)
    rows = {number: latest[number] for number in sample if number in latest and number not in several}
    return ComparedPolicies(rows, several, most)


def _beside(
    name: str, mine: Mapping[str, Any], others: Sequence[Mapping[str, Any]], hidden: frozenset[str]
) -> ComparedFigure:
    if name in hidden:
        return ComparedFigure(name, None, None, None)
    value = mine.get(name)
    values = np.array([row[name] for row in others if row[name] is not None], np.float64)
    if len(values) < LEAST_OTHERS:
        return ComparedFigure(name, value, None, None)
    median = float(f"{np.median(values):.2g}")
    if value is None:
        return ComparedFigure(name, None, None, median)
    below = float(np.mean(values < value) + np.mean(values == value) / 2)
    return ComparedFigure(name, value, min(10, int(below * 10) + 1), median)


def _sample(known: Sequence[Policy], policy: Admitted, most: int) -> dict[str, list[Policy]]:
    """By number the terms of at most so many policies and one more, evenly over what is known of the tenant, which is
    in the order of numbers: the same whichever policy of the tenant is compared. It takes the same time in a book of
    any size."""
    most += 1  # one of them may be the policy itself
    if len(known) <= _FEW_EACH * most:
        found = _by_number(known, policy)
        numbers = list(found)
        if len(numbers) > most:
            numbers = [numbers[k * len(numbers) // most] for k in range(most)]
        return {number: found[number] for number in numbers}
    picked: dict[str, list[Policy]] = {}
    for k in range(most):
        first = last = k * len(known) // most
        number = known[first].number
        if number in picked:
            continue
        while first > 0 and known[first - 1].number == number:
            first -= 1
        while last < len(known) and known[last].number == number:
            last += 1
        picked |= _by_number(known[first:last], policy)
    return picked


def _by_number(known: Sequence[Policy], policy: Admitted) -> dict[str, list[Policy]]:
    found: dict[str, list[Policy]] = {}
    for each in known:
        if each.tenant == policy.tenant:
            found.setdefault(each.number, []).append(each)
    return found


def _wanted(
    decision: Decision, query: ComparisonQuery, month: date | None, policies: Mapping[str, list[Policy]]
) -> FiguresQuery:
    return FiguresQuery(
        tenant="" if decision.identity is None else decision.identity.tenant,
        period=query.period,
        month=month,
        sort=EACH,
        limit=_ALL,
        numbers=tuple(policies),
    )


def _latest(table: pa.Table, decision: Decision, policies: Mapping[str, list[Policy]]) -> dict[str, dict[str, Any]]:
    """By number the row of its latest term, of those that may leave."""
    terms = [term for held in policies.values() for term in held]
    rows = (
        obliged_each(table, decision, terms).select(["policy", "policy_from", "rules_version", *COMPARED]).to_pylist()
    )
    return {row["policy"]: row for row in sorted(rows, key=lambda row: row["policy_from"])}


ROUTES: Final = (comparison,)
