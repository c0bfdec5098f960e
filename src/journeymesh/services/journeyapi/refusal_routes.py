"""Refused fixes and why: of a journey's time, and of a policy's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.journeys.journey import REFUSED_FIX_SCHEMA, Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import TOLD
from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.problems import CURSOR_REFUSED, PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import ENTITY_TAG, IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.journey_answers import about_journey, journey_in_vain, journey_of
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    instant_named,
    look_again,
    obliged,
    oldest_start,
    policies_of_path,
    read_answer,
    refuse_masked,
    remembered_unchanged,
    state_of,
)
from journeymesh.services.journeyapi.rendering import JSON, json_items
from journeymesh.services.journeyapi.schemas import RefusedFixPage
from journeymesh.stores.port import RefusalQuery
from journeymesh.strangler.policy_book import vehicles_of

_TICK: Final = timedelta(microseconds=1)
_LATEST: Final = datetime(9990, 1, 1, tzinfo=UTC)
_POSITION: Final = ("lat_deg", "lon_deg")

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Span = tuple[str, datetime, datetime]
"""A vehicle and a time, ``[from, to)``."""


class JourneyRefusalsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which refused fixes, and what of them."""

    positions: Annotated[
        bool, msgspec.Meta(description="true: with positions, which needs `tracks:read` in place of `journeys:read`")
    ] = False
    reason: Annotated[
        Annotated[str, msgspec.Meta(max_length=200)] | None, msgspec.Meta(description="only of this reason")
    ] = None
    cursor: Annotated[str | None, msgspec.Meta(description="`next` of the page before")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000, description="at most so many")] = 100


class RefusalsQuery(JourneyRefusalsQuery, frozen=True, forbid_unknown_fields=True,
                    rename={"since": "from", "until": "to"}):  # fmt: skip
    """Which refused fixes of a policy, and what of them."""

    since: Annotated[Instant | None, msgspec.Meta(description="of fixes at that time or later")] = None
    until: Annotated[Instant | None, msgspec.Meta(description="of fixes before")] = None


def _capability_of_journey(request: HttpRequest) -> str:
    return _capability(request, JourneyRefusalsQuery)


def _capability_of_policy(request: HttpRequest) -> str:
    return _capability(request, RefusalsQuery)


def _capability(request: HttpRequest, kind: type[JourneyRefusalsQuery]) -> str:
    try:
        return "tracks:read" if query_of(request.scope, kind).positions else "journeys:read"
    except ProblemRaised:  # the route says so itself, once it is decided who asks
        return "journeys:read"


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}/refusals",
    summary="The refused fixes of a journey's time, and why",
    tag="journeys",
    capability="journeys:read",
    about=about_journey(_capability_of_journey),
    in_vain=journey_in_vain(_capability_of_journey),
    instead=("tracks:read", _capability_of_journey),
    answers=(
        Answer(200, "Refused fixes by time", {JSON: RefusedFixPage}, ENTITY_TAG),
        Answer(304, "The caller has them already", {}, ENTITY_TAG),
    ),
    query=JourneyRefusalsQuery,
    path_told={"journey": "the journey's id; one that a late fix made obsolete leads to its successor"},
    headers=IF_NONE_MATCH,
    problems=(CURSOR_REFUSED, PRECONDITION_FAILED),
)
async def journey_refusals(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """What the quarantine has of the journey's vehicle from its first fix to its last, its silences included: the
    entries that its field `quarantined` counts. Nothing of the input itself; positions, which are the track's, with
    `positions=true`."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    journey_id, query = request.path_params["journey"], query_of(scope, JourneyRefusalsQuery)
    listing = _Listing.of(deps, decision, policy, query, f"journey {journey_id}")
    if (held := remembered_unchanged(deps, scope, listing.state)) is not None:
        return held
    row = await journey_of(deps, scope, journey_id, policy)
    vehicle, first, last = (row[name][0].as_py() for name in ("vehicle", "started_at", "ended_at"))
    return await listing.answer(request, [(vehicle, first, last + _TICK)])


@HttpRoute(
    "GET",
    "/v1/policies/{policy}/refusals",
    summary="The refused fixes of a policy's terms, and why",
    tag="policies",
    capability="journeys:read",
    about=policies_of_path,
    in_vain=look_again,
    instead=("tracks:read", _capability_of_policy),
    answers=(
        Answer(200, "Refused fixes by time", {JSON: RefusedFixPage}, ENTITY_TAG),
        Answer(304, "The caller has them already", {}, ENTITY_TAG),
    ),
    query=RefusalsQuery,
    path_told={"policy": "the number of a policy of the caller's tenant"},
    headers=IF_NONE_MATCH,
    problems=(CURSOR_REFUSED, PRECONDITION_FAILED),
)
async def policy_refusals(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """What the quarantine has of the policy's vehicle and device within its terms, whether or not a journey was under
    way. What has no readable device clock is of no term, and is not among it. Nothing of the input itself; positions,
    which are the track's, with `positions=true`."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    query = query_of(scope, RefusalsQuery)
    refuse_masked(decision, {name: "fixed_at" for name, at in (("from", query.since), ("to", query.until)) if at})
    times = f"{instant_named(query.since)}\0{instant_named(query.until)}"
    listing = _Listing.of(deps, decision, policy, query, f"policy {times}")
    if (held := remembered_unchanged(deps, scope, listing.state)) is not None:
        return held
    spans = [
        (vehicle, first if query.since is None else max(first, query.since),
         end if query.until is None else min(end, query.until))
        for vehicle, first, end in spans_of(policy.terms)
    ]  # fmt: skip
    return await listing.answer(request, spans)


def spans_of(terms: Sequence[Policy]) -> list[Span]:
    """When these terms cover which vehicle or device; terms that follow on each other at once are one span."""
    found: list[Span] = []
    held = [
        (name, term.valid_from, _LATEST if term.valid_to is None else min(term.valid_to, _LATEST))
        for term in terms
        for name in vehicles_of(term)
    ]
    for name, first, end in sorted(held):
        last = found[-1] if found else None
        if last is not None and last[0] == name and first <= last[2]:
            found[-1] = name, last[1], max(end, last[2])
        else:
            found.append((name, first, end))
    return found


def told_id(refusal_id: str, key: bytes) -> str:
    """What tells an entry from others outside, the same at every replica. The quarantine's own id is a digest of what
    the fix reported: whoever knows its vehicle and time could try positions until one gives that."""
    return hashlib.blake2b(refusal_id.encode(), digest_size=13, key=key, person=b"told refusal").hexdigest()


class _Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One request for refused fixes. ``name``: what its cursors are sealed for; ``state``: as ``state_of`` has it."""

    deps: Any
    decision: Any
    policy: Any
    query: JourneyRefusalsQuery
    name: str
    after: tuple[datetime, str] | None
    state: str | None

    @classmethod
    def of(
        cls, deps: Dependencies, decision: Decision, policy: Admitted, query: JourneyRefusalsQuery, about: str
    ) -> _Listing:
        name = f"refusals\0{policy.number}\0{policy.tenant}\0{about}\0{query.reason}"
        after = None if query.cursor is None else deps.cursors.open(name, query.cursor)
        state = state_of(deps, decision, policy, name, repr((query.positions, query.limit, after)))
        return cls(
            deps=deps, decision=decision, policy=policy, query=query, name=name, after=after, state=state
        )  # fmt: skip

    async def answer(self, request: HttpRequest, spans: Sequence[Span]) -> ReadyAnswer:
        """The page of what was refused in these times."""
        body, following = await self.deps.threads.run(self._page, spans)
        return read_answer(self.deps, request.scope, self.state, body, JSON, following)

    def _page(self, spans: Sequence[Span]) -> tuple[bytes, str | None]:
        limit, oldest = self.query.limit, oldest_start(self.decision.obligations)
        found: list[tuple[datetime, str, Refusal]] = []
        for vehicle, first, end in spans:
            begin = first if oldest is None else max(first, oldest)
            if begin >= end:
                continue
            wanted = RefusalQuery(
                reason=self.query.reason, vehicle=vehicle, fixed_from=begin, fixed_to=end, by_time=True,
                after_time=self.after, limit=limit + 1,
            )  # fmt: skip
            found += [
                (refusal.fixed_at, refusal_id, refusal)
                for refusal_id, refusal in self.deps.reads.refusals(wanted)
                if refusal.fixed_at is not None
            ]
        found.sort(key=lambda each: each[:2])
        following = self.deps.cursors.seal(self.name, *found[limit - 1][:2]) if len(found) > limit else None
        table = obliged(self._table(found[:limit]), self.decision, self.policy)
        return json_items(table, following), following

    def _table(self, found: Sequence[tuple[datetime, str, Refusal]]) -> pa.Table:
        positions, key = self.query.positions, self.deps.config.cursor_key
        rows = [
            {
                "refusal_id": told_id(refusal_id, key),
                "reason": refusal.reason,
                "explanation": TOLD.get(refusal.reason, ""),
                "fixed_at": fixed_at,
                **{name: getattr(refusal, name) if positions else None for name in _POSITION},
            }
            for fixed_at, refusal_id, refusal in found
        ]
        return pa.Table.from_pylist(rows, schema=REFUSED_FIX_SCHEMA)


ROUTES: Final = (journey_refusals, policy_refusals)
