"""A whole book: the policies that a caller may know of, and what their journeys add up to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.access.apply import masked
from journeymesh.access.decision import Decision
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.summaries import SUMMARY_SCHEMA
from journeymesh.journeys.summary_groups import first_of
from journeymesh.services.http.answers import ReadyAnswer, Sendable, StreamedAnswer
from journeymesh.services.http.negotiation import chosen
from journeymesh.services.http.problems import (
    CURSOR_REFUSED,
    GROUP_TOO_SMALL,
    MALFORMED,
    NOT_ACCEPTABLE,
    POLICY_FORBIDS,
    PRECONDITION_FAILED,
    RULES_CONFLICT,
    Kind,
    ProblemRaised,
)
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest, headers_joined
from journeymesh.services.http.routes import IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.book import (
    Sealed,
    after_policy,
    after_row,
    after_term,
    behind_row,
    behind_term,
    some_policies,
)
from journeymesh.services.journeyapi.moved_rows import with_moved
from journeymesh.services.journeyapi.policy_answers import (
    HEADERS,
    Dependencies,
    dependencies_of,
    instant_named,
    listed_policies,
    obliged_each,
    read_answer,
    refuse_masked_filters,
    refuse_masked_instants,
)
from journeymesh.services.journeyapi.rendering import JSON, OFFERED, json_items, rendering, tables, whole
from journeymesh.services.journeyapi.schemas import ListedPolicy, ListedPolicyPage, SummariesPage, Summary
from journeymesh.services.journeyapi.sorted_book import (
    BookPeriod,
    Sorting,
    check_sorting,
    figures_query,
    place_in,
    sealed_place,
    sorted_page,
)
from journeymesh.stores.policy_summaries import policy_summaries

MOST_ROWS: Final = 1_000
MOST_POLICIES_READ: Final = 2_000
"""Policies that one page of summaries looks at: it may have fewer rows than asked for, and say where it goes on."""
_ROWS: Final = 100
_POLICIES_AT_ONCE: Final = 5_000
_SENT_BYTES: Final = 256 << 10
_NUMBERS: Final = tuple(
    field.name for field in SUMMARY_SCHEMA if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
)
_NONE: Final = SUMMARY_SCHEMA.empty_table()
_CURSOR: Final = "`next` of the page before"
_NEXT: Final = {"ETag": "names the answer", "Next-Cursor": "where a page that is not JSON goes on"}
_HEADERS: Final = {
    **IF_NONE_MATCH,
    "Accept": ("the media type of the answer", False),
}

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MOST_ROWS)]
Word = Annotated[str, msgspec.Meta(max_length=200)]


class PoliciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which policies."""

    product: Annotated[Word | None, msgspec.Meta(description="only of this insurance product")] = None
    status: Annotated[Word | None, msgspec.Meta(description="only of this status")] = None
    cursor: Annotated[str | None, msgspec.Meta(description=_CURSOR)] = None
    limit: Annotated[
        Limit | None,
        msgspec.Meta(description="at most so many; left out, 100 as JSON and all in every other media type"),
    ] = None


class SummariesQuery(Sorting, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    """Summaries of which policies, over which periods and of which journeys; or which of them come first; or a sorted
    book."""

    period: Annotated[
        BookPeriod,
        msgspec.Meta(description="in the policy's time zone; weeks begin on Monday; last_12_months with `sort` alone"),
    ] = "month"
    since: Annotated[Instant | None, msgspec.Meta(description="of journeys that start then or later")] = None
    until: Annotated[Instant | None, msgspec.Meta(description="of journeys that start before")] = None
    product: Annotated[Word | None, msgspec.Meta(description="only of this insurance product")] = None
    status: Annotated[Word | None, msgspec.Meta(description="only of policies of this status")] = None
    by: Annotated[Word | None, msgspec.Meta(description="a number's field: the rows with the highest come first")] = (
        None
    )
    order: Annotated[
        str, msgspec.Meta(description="with `by` or `sort`: highest or lowest", pattern="^(highest|lowest)$")
    ] = "highest"
    cursor: Annotated[str | None, msgspec.Meta(description=f"{_CURSOR}; not with `by`")] = None
    limit: Annotated[
        Limit | None,
        msgspec.Meta(
            description="at most so many; left out, 100 as JSON, with `by`, `sort` or `moved`, else all. A page may"
            " have fewer"
        ),
    ] = None


def _book_documents(what: str, page: type, row: type, query: type[msgspec.Struct], *problems: Kind) -> dict[str, Any]:
    """What OpenAPI says of a route that answers for many policies, by page or streamed."""
    return {
        "answers": (
            Answer(200, what, tables(page, row), _NEXT),
            Answer(304, "The caller has them already", {}, {"ETag": "names the answer"}),
        ),
        "query": query,
        "headers": _HEADERS,
        "problems": (CURSOR_REFUSED, NOT_ACCEPTABLE, PRECONDITION_FAILED, *problems),
    }


@HttpRoute(
    "GET",
    "/v1/policies",
    summary="The policies that may be known",
    tag="policies",
    capability="summaries:read",
    **_book_documents("Policies by number", ListedPolicyPage, ListedPolicy, PoliciesQuery),
)
async def policies(request: HttpRequest, decision: Decision) -> Sendable:
    """The policies of the caller's tenant that the purpose admits, by number; a page as JSON, or all as NDJSON, Arrow,
    Parquet or CSV. The decision about all of them is one; whether a policy may be known is looked at one by one."""
    _refuse_groups(decision)
    query = query_of(request.scope, PoliciesQuery)
    refuse_masked_filters(decision, product=query.product, status=query.status)
    book = await _Book.of(request, decision, "policies", (query.product, query.status))
    found = behind_term(book.policies, book.opened(query.cursor))
    limit = query.limit or (_ROWS if book.media == JSON else None)
    if limit is None:
        return await book.stream(book.listed(found), listed_policies((), decision).schema)
    following = book.cursor(after_term(found[limit - 1])) if len(found) > limit else None
    return await book.answer(listed_policies(found[:limit], decision), following)


@HttpRoute(
    "GET",
    "/v1/summaries",
    summary="What the journeys of many policies add up to",
    tag="policies",
    capability="summaries:read",
    **_book_documents("Summaries by policy and period", SummariesPage, Summary, SummariesQuery, RULES_CONFLICT),
)
async def summaries(request: HttpRequest, decision: Decision) -> Sendable:
    """A row for each policy that may be known and period in which it has journeys, by number; a page as JSON, or all
    as NDJSON, Arrow, Parquet or CSV. With `by` the rows with the highest or lowest value of that field. With `sort` a
    page, in every media type, of a row for each term, sorted and filtered by numbers."""
    _refuse_groups(decision)
    query = query_of(request.scope, SummariesQuery)
    refuse_masked_instants(decision, query.since, query.until)
    refuse_masked_filters(decision, product=query.product, status=query.status)
    _check_ranking(decision, query)
    check_sorting(decision, query)
    if query.sort is not None:
        return await _sorted(request, decision, query)
    asked = (query.period, instant_named(query.since), instant_named(query.until), query.product, query.status)
    book = await _Book.of(request, decision, "summaries", asked)
    if query.by is not None:
        return await book.answer(await _ranked(book, query), None)
    after = book.opened(query.cursor)
    limit = query.limit or (_ROWS if book.media == JSON or query.moved else None)
    if limit is None:
        rows = book.summed(query, behind_row(book.policies, after), after)
        return await book.stream((masked(page, book.mask) for page in rows), masked(_NONE, book.mask).schema)
    table, following = await book.deps.threads.run(_page, book, query, after, limit)
    if query.moved:
        wanted = figures_query(decision, query, limit)
        table = await book.deps.threads.run(with_moved, book.deps, decision, book.policies, table, wanted)
    return await book.answer(masked(table, book.mask), following)


async def _sorted(request: HttpRequest, decision: Decision, query: SummariesQuery) -> Sendable:
    wanted = figures_query(decision, query, query.limit or _ROWS)
    asked = repr((wanted.period, wanted.month, wanted.sort, wanted.descending, wanted.least, wanted.most, query.policy))
    book = await _Book.of(request, decision, "sorted", (asked, query.product, query.status))
    policies = book.policies
    if query.policy is not None:
        policies = [each for each in policies if each.number == query.policy]
    if (after := book.opened(query.cursor)) is not None:
        wanted = replace(wanted, after=place_in(after))
    read = book.deps.threads.run
    table, following = await read(sorted_page, book.deps, decision, policies, wanted)
    if query.moved:
        table = await read(with_moved, book.deps, decision, policies, table, wanted)
    cursor = None if following is None else book.cursor(sealed_place(following))
    return await book.answer(masked(table, book.mask), cursor)


def _page(book: _Book, query: SummariesQuery, after: Sealed | None, limit: int) -> tuple[pa.Table, str | None]:
    """(a page, the cursor behind it). It looks at some policies only, so that its time has a bound."""
    left = behind_row(book.policies, after)
    some = some_policies(left, MOST_POLICIES_READ)
    kept, rows = [_NONE], 0
    for page in book.summed(query, some, after):
        kept.append(page)
        rows += len(page)
        if rows > limit:
            break
    table = pa.concat_tables(kept)
    end = _end_of_page(table, limit)
    if end < len(table):
        last = table.slice(end - 1, 1).to_pylist()[0]
        return table.slice(0, end), book.cursor(after_row(last["policy"], last["tenant"], last["period_from"]))
    return table, book.cursor(after_policy(some[-1])) if len(some) < len(left) else None


def _end_of_page(table: pa.Table, limit: int) -> int:
    """``limit``, or some more where one date begins several terms of a policy: a cursor cannot tell them apart."""
    names = ["policy", "tenant", "period_from"]
    end = min(limit, len(table))
    while 0 < end < len(table) and table.select(names).slice(end - 1, 1).equals(table.select(names).slice(end, 1)):
        end += 1
    return end


async def _ranked(book: _Book, query: SummariesQuery) -> pa.Table:
    best, pages = masked(_NONE, book.mask), book.summed(query, book.policies, None)
    while (page := await book.deps.threads.run(next, pages, None)) is not None:
        rows = (best, masked(page, book.mask))
        found = first_of(rows, query.by or "", query.limit or _ROWS, lowest=query.order == "lowest")
        best = best if found is None else found
    return best


@dataclass(frozen=True, slots=True)
class _Book:
    """One request over the policies that its caller may know."""

    request: HttpRequest
    deps: Dependencies
    decision: Decision
    media: str
    name: str
    """What its cursors are sealed for."""
    policies: Sequence[Policy]

    @classmethod
    async def of(cls, request: HttpRequest, decision: Decision, listing: str, asked: tuple[str | None, ...]) -> _Book:
        """The request. The last two of ``asked`` are the product and status of the policies wanted."""
        deps = dependencies_of(request)
        media = chosen(headers_joined(request.scope, b"accept"), OFFERED)
        tenant = "" if decision.identity is None else decision.identity.tenant
        known = await deps.threads.run(deps.known.of, decision, deps.policies.every())
        wanted: Sequence[Policy] = known
        if asked[-2:] != (None, None):
            wanted = [
                policy for policy in known if asked[-2] in (None, policy.product) and asked[-1] in (None, policy.status)
            ]
        return cls(request, deps, decision, media, repr((listing, tenant, asked)), wanted)

    @property
    def mask(self) -> frozenset[str]:
        """The fields whose values do not leave."""
        return self.decision.obligations.hidden

    def opened(self, cursor: str | None) -> Sealed | None:
        """Where the listing goes on."""
        return None if cursor is None else self.deps.cursors.open(self.name, cursor)

    def cursor(self, sealed: Sealed) -> str:
        """The cursor that ``opened`` opens."""
        return self.deps.cursors.seal(self.name, *sealed)

    def listed(self, policies: Sequence[Policy]) -> Iterator[pa.Table]:
        """The policies, some at a time."""
        for first in range(0, len(policies), _POLICIES_AT_ONCE):
            yield listed_policies(policies[first : first + _POLICIES_AT_ONCE], self.decision)

    def summed(self, query: SummariesQuery, policies: Sequence[Policy], after: Sealed | None) -> Iterator[pa.Table]:
        """Summaries of these policies behind a row of the first, with what may leave of them before it is masked."""
        deps, rules = self.deps, self.deps.config.score
        by_number: dict[str, list[Policy]] = {}
        for policy in policies:
            by_number.setdefault(policy.number, []).append(policy)
        period: Any = query.period  # last_12_months is with `sort` alone
        for page in policy_summaries(deps.book_reads, policies, period, rules, query.since, query.until):
            numbers = page["policy"].unique().to_pylist()
            rows = obliged_each(page, self.decision, [policy for number in numbers for policy in by_number[number]])
            if after is not None:
                number, tenant = after[1].split("\0", 1)
                own = pc.and_(pc.equal(rows["policy"], number), pc.equal(rows["tenant"], tenant))
                seen = pc.less_equal(rows["period_from"], pa.scalar(after[0].date(), pa.date32()))
                rows = rows.filter(pc.invert(pc.and_(own, seen)))
            yield rows

    async def answer(self, table: pa.Table, following: str | None) -> ReadyAnswer:
        """A page."""
        body = await self.deps.threads.run(_rendered, self.media, table, following)
        return read_answer(self.deps, self.request.scope, None, body, self.media, following)

    async def stream(self, pages: Iterator[pa.Table], schema: pa.Schema) -> StreamedAnswer:
        """All pages, one at a time. The first is read before the status is sent, so that what stops it is a problem of
        its own; what stops a later one breaks the body off."""
        first = await self.deps.threads.run(next, pages, schema.empty_table())
        pieces = self._pieces(first, pages, schema)
        return StreamedAnswer(HEADERS, self.media, pieces)

    async def _pieces(self, first: pa.Table, pages: Iterator[pa.Table], schema: pa.Schema) -> AsyncIterator[bytes]:
        out, run = rendering(self.media, schema), self.deps.threads.run
        yield await run(out.page, schema.empty_table())
        page: pa.Table | None = first
        while page is not None:
            piece = await run(out.page, page)
            for begin in range(0, len(piece), _SENT_BYTES):
                yield piece[begin : begin + _SENT_BYTES]
            page = await run(next, pages, None)
        yield out.end()


def _rendered(media: str, table: pa.Table, following: str | None) -> bytes:
    return json_items(table, following) if media == JSON else whole(media, table)


def _refuse_groups(decision: Decision) -> None:
    """A purpose that admits answers about groups only gets none here: each row is of one policy."""
    if decision.obligations.minimum_group_size > 1:
        raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)


def _check_ranking(decision: Decision, query: SummariesQuery) -> None:
    if query.by is None:
        return
    if query.by not in _NUMBERS:
        raise ProblemRaised(MALFORMED, f"by: {query.by[:50]!r} is no number of a summary: use {', '.join(_NUMBERS)}")
    if query.cursor is not None:
        raise ProblemRaised(MALFORMED, "a ranking has no cursor: leave out by or cursor")
    if query.by in decision.obligations.hidden:
        raise ProblemRaised(POLICY_FORBIDS, f"by asks for the order of {query.by}, which is masked", decision=decision)


ROUTES: Final = (policies, summaries)
