"""A policy's journeys and summaries."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.period_sums import Period
from journeymesh.journeys.summaries import SUMMED_COLUMNS, summarise_each
from journeymesh.services.http.answers import ReadyAnswer, Sendable, StreamedAnswer
from journeymesh.services.http.conditions import is_unchanged
from journeymesh.services.http.negotiation import chosen
from journeymesh.services.http.problems import (
    CURSOR_REFUSED,
    MALFORMED,
    NOT_ACCEPTABLE,
    PRECONDITION_FAILED,
    RULES_CONFLICT,
    ProblemRaised,
)
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest, Scope, headers_joined
from journeymesh.services.http.routes import ENTITY_TAG, IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.policy_answers import (
    HEADERS,
    Admitted,
    Dependencies,
    TaggedAnswer,
    admitted,
    content_tag,
    dependencies_of,
    instant_named,
    look_again,
    obliged,
    oldest_start,
    policies_of_path,
    read_answer,
    refuse_masked_instants,
    remembered_unchanged,
    sent,
    state_of,
    tagged,
    unchanged,
)
from journeymesh.services.journeyapi.rendering import (
    ARROW,
    EXPORTS,
    JSON,
    OFFERED,
    json_items,
    rendering,
    tables,
    whole,
)
from journeymesh.services.journeyapi.schemas import Journey, JourneyPage, Summary, SummaryPage
from journeymesh.stores.port import JourneyQuery

MOST_AT_ONCE: Final = 1_000
_KEYS: Final = ("journey_id", "policy", "tenant", "policy_from", "product", "started_at")
"""What a listing needs of each journey, chosen or not: its cursor, and what obligations look at."""
_SENT_BYTES: Final = 256 << 10
_TAGGED: Final = {**ENTITY_TAG, "Cache-Control": "private"}

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Order(StrEnum):
    """By start, and among equal ones by id."""

    ASC = "asc"
    DESC = "desc"


class JourneysQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    """Which of a policy's journeys, and what of them."""

    since: Annotated[Instant | None, msgspec.Meta(description="journeys that start then or later")] = None
    until: Annotated[Instant | None, msgspec.Meta(description="journeys that start before")] = None
    cursor: Annotated[str | None, msgspec.Meta(description="`next` of the page before")] = None
    limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=MOST_AT_ONCE)] | None,
        msgspec.Meta(description="at most so many; left out, 100 as JSON and all in every other media type"),
    ] = None
    fields: Annotated[str | None, msgspec.Meta(description="names of fields, with commas; left out, all")] = None
    order: Annotated[Order, msgspec.Meta(description="by start: `desc` begins with the newest")] = Order.ASC


class SummaryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}):
    """Over which periods, and of which journeys."""

    period: Annotated[Period, msgspec.Meta(description="in the policy's time zone; weeks begin on Monday")] = "month"
    since: Annotated[Instant | None, msgspec.Meta(description="of journeys that start then or later")] = None
    until: Annotated[Instant | None, msgspec.Meta(description="of journeys that start before")] = None


def _export_or_read(request: HttpRequest) -> str:
    try:
        return "journeys:export" if _media(request) in EXPORTS else "journeys:read"
    except ProblemRaised:  # the route says so itself, once it is decided who asks
        return "journeys:read"


@HttpRoute(
    "GET",
    "/v1/policies/{policy}/journeys",
    summary="A policy's journeys",
    tag="policies",
    capability="journeys:read",
    about=policies_of_path,
    in_vain=look_again,
    instead=("journeys:export", _export_or_read),
    answers=(
        Answer(
            200,
            "Journeys by start",
            tables(JourneyPage, Journey),
            {**_TAGGED, "Next-Cursor": "where a page that is not JSON goes on"},
        ),
        Answer(304, "The caller has them already", {}, _TAGGED),
    ),
    query=JourneysQuery,
    path_told={"policy": "the number of a policy of the caller's tenant"},
    headers={**IF_NONE_MATCH, "Accept": ("the media type of the answer", False)},
    problems=(CURSOR_REFUSED, NOT_ACCEPTABLE, PRECONDITION_FAILED),
)
async def journeys(request: HttpRequest, decision: Decision) -> Sendable:
    """Journeys in order of start, or the newest first, a page as JSON or all of them as NDJSON, Arrow, Parquet or
    CSV, which need the capability `journeys:export`."""
    deps = dependencies_of(request)
    policy = admitted(decision)
    listing = _Listing.of(deps, decision, policy, query_of(request.scope, JourneysQuery), _media(request))
    state = state_of(deps, decision, policy, "journeys", listing.representation)
    if (held := remembered_unchanged(deps, request.scope, state)) is not None:
        return held
    if listing.limit is None:
        return await listing.whole(request.scope, state)
    body, following = await deps.threads.run(listing.page)
    return read_answer(deps, request.scope, state, body, listing.media, following)


@HttpRoute(
    "GET",
    "/v1/policies/{policy}/summary",
    summary="What a policy's journeys add up to",
    tag="policies",
    capability="summaries:read",
    about=policies_of_path,
    in_vain=look_again,
    answers=(
        Answer(
            200,
            "Summaries by period",
            tables(SummaryPage, Summary),
            _TAGGED,
        ),
        Answer(304, "The caller has them already", {}, _TAGGED),
    ),
    query=SummaryQuery,
    path_told={"policy": "the number of a policy of the caller's tenant"},
    headers={**IF_NONE_MATCH, "Accept": ("the media type of the answer", False)},
    problems=(NOT_ACCEPTABLE, PRECONDITION_FAILED, RULES_CONFLICT),
)
async def summary(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """One summary for each period in which the policy has journeys, in the policy's time zone."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    media, query = _media(request), query_of(scope, SummaryQuery)
    refuse_masked_instants(decision, query.since, query.until)
    state = state_of(deps, decision, policy, "summary", media, str(scope["query_string"], "latin-1"))
    if state is not None:
        if (kept := deps.encoded.get(state)) is not None:
            return unchanged(kept.tag) if is_unchanged(scope, kept.tag) else kept
        if (same := remembered_unchanged(deps, scope, state)) is not None:
            return same

    def read() -> Awaitable[TaggedAnswer]:
        return deps.threads.run(_summed, deps, decision, policy, query, media)

    answer = await (read() if state is None else deps.encoded.made(state, read))
    return sent(deps, scope, state, answer)


def _summed(deps: Dependencies, decision: Decision, policy: Admitted, query: SummaryQuery, media: str) -> TaggedAnswer:
    found = deps.reads.journeys(
        JourneyQuery(
            policy=policy.number,
            tenant=policy.tenant,
            terms=policy.begins,
            started_from=query.since,
            started_to=query.until,
            columns=SUMMED_COLUMNS,
        )
    )
    table = summarise_each(found, policy.terms, query.period, deps.config.score)
    return tagged(whole(media, obliged(table, decision, policy)), media)


class _Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One request for journeys: what is asked of the store, and how it leaves."""

    deps: Any
    decision: Any
    policy: Any
    media: str
    query: JourneysQuery
    chosen: tuple[str, ...]
    name: str
    """What its cursors are sealed for."""
    after: tuple[datetime, str] | None

    @classmethod
    def of(cls, deps: Dependencies, decision: Decision, policy: Admitted, query: JourneysQuery, media: str) -> _Listing:
        refuse_masked_instants(decision, query.since, query.until)
        name = f"{policy.number}\0{policy.tenant}\0{instant_named(query.since)}\0{instant_named(query.until)}"
        if query.order is Order.DESC:
            name += "\0desc"
        after = None if query.cursor is None else deps.cursors.open(name, query.cursor)
        return cls(
            deps=deps, decision=decision, policy=policy, media=media, query=query, chosen=_fields(query.fields),
            name=name, after=after,
        )  # fmt: skip

    @property
    def limit(self) -> int | None:
        """Rows of the page; None: all, streamed."""
        return self.query.limit or (100 if self.media == JSON else None)

    @property
    def representation(self) -> str:
        """All that tells this answer from others of the same data."""
        after = self.after and f"{rfc3339(self.after[0])} {self.after[1]}"
        return "\0".join((self.media, self.name, str(after), str(self.limit), ",".join(self.chosen)))

    def page(self) -> tuple[bytes, str | None]:
        """(the page, the cursor behind it)."""
        limit = self.limit or MOST_AT_ONCE
        found = self._read(self.after, limit + 1)
        following = self._cursor(found.slice(limit - 1, 1)) if len(found) > limit else None
        table = self._leaving(found.slice(0, limit))
        return (json_items(table, following) if self.media == JSON else whole(self.media, table)), following

    async def whole(self, scope: Scope, state: str | None) -> ReadyAnswer | StreamedAnswer:
        """All of them: at once where they are few, else some rows at a time. To know the entity tag of many they are
        read once before, where nobody has since the last change."""
        deps, run = self.deps, self.deps.threads.run
        first = await run(self._read, self.after, deps.config.stream_rows)
        if len(first) < deps.config.stream_rows:
            return read_answer(deps, scope, state, await run(self._rendered, first), self.media)
        known = None if state is None else deps.tags.get(state)
        if state is not None and known is None:
            known = content_tag(*[piece async for piece in self._digests(first)])
            deps.tags.put(state, known)
            if is_unchanged(scope, known):
                return unchanged(known)
        headers = {**HEADERS, **({} if known is None else {"etag": known})}
        return StreamedAnswer(headers, self.media, self._pieces(first))

    def _rendered(self, found: pa.Table) -> bytes:
        table = self._leaving(found)
        out = rendering(self.media, table.schema)
        body: bytes = out.page(table) + out.end()
        return body

    async def _pages(self, first: pa.Table) -> AsyncIterator[pa.Table]:
        rows, found = self.deps.config.stream_rows, first
        while True:
            yield found
            if len(found) < rows:
                return
            last = found.slice(len(found) - 1, 1)
            after = last["started_at"][0].as_py(), last["journey_id"][0].as_py()
            found = await self.deps.threads.run(self._read, after, rows)

    async def _digests(self, first: pa.Table) -> AsyncIterator[bytes]:
        """What tells the pages from others of the same representation."""
        yield self.representation.encode()
        async for found in self._pages(first):
            yield await self.deps.threads.run(self._digest, found)

    def _digest(self, found: pa.Table) -> bytes:
        return hashlib.blake2b(whole(ARROW, self._leaving(found)), digest_size=16).digest()

    async def _pieces(self, first: pa.Table) -> AsyncIterator[bytes]:
        out = None
        async for found in self._pages(first):
            table = self._leaving(found)
            out = out or rendering(self.media, table.schema)
            piece = await self.deps.threads.run(out.page, table)
            for begin in range(0, len(piece), _SENT_BYTES):
                yield piece[begin : begin + _SENT_BYTES]
        if out is not None:
            yield out.end()

    def _read(self, after: tuple[datetime, str] | None, limit: int) -> pa.Table:
        since, oldest = self.query.since, oldest_start(self.decision.obligations)
        if oldest is not None:
            since = oldest if since is None else max(since, oldest)
        found: pa.Table = self.deps.reads.journeys(
            JourneyQuery(
                policy=self.policy.number,
                tenant=self.policy.tenant,
                terms=self.policy.begins,
                started_from=since,
                started_to=self.query.until,
                after=after,
                limit=limit,
                columns=tuple(dict.fromkeys((*self.chosen, *_KEYS))),
                newest_first=self.query.order is Order.DESC,
            )
        )
        return found

    def _leaving(self, found: pa.Table) -> pa.Table:
        return obliged(found, self.decision, self.policy).select(list(self.chosen))

    def _cursor(self, last: pa.Table) -> str:
        sealed: str = self.deps.cursors.seal(self.name, last["started_at"][0].as_py(), last["journey_id"][0].as_py())
        return sealed


def _media(request: HttpRequest) -> str:
    return chosen(headers_joined(request.scope, b"accept"), OFFERED)


def _fields(fields: str | None) -> tuple[str, ...]:
    names = JOURNEY_SCHEMA.names
    if fields is None:
        return tuple(names)
    wanted = tuple(dict.fromkeys(name.strip() for name in fields.split(",")))
    for name in wanted:
        if name not in names:
            raise ProblemRaised(MALFORMED, f"a journey has no field {name[:50]!r}; it has {', '.join(names)}")
    return wanted


ROUTES: Final = (journeys, summary)
