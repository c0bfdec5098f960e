"""What the routes about a policy's data share: the policy that a request is about, and what may leave of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pyarrow as pa

from journeymesh.access.apply import OnePolicy, admits, applied, masked
from journeymesh.access.decision import Decision
from journeymesh.governance.obligations import Obligations
from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.journeys.policy_table import LISTED_POLICIES, policy_table
from journeymesh.lru import LruCache
from journeymesh.services.http.answers import RawHeaders, ReadyAnswer, raw_headers
from journeymesh.services.http.conditions import is_unchanged
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.problems import GROUP_TOO_SMALL, POLICY_FORBIDS, ProblemRaised, hidden
from journeymesh.services.http.requests import HttpRequest, Scope
from journeymesh.services.journeyapi.book import ComparedBooks, KnownPolicies
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.kept_answers import KeptAnswers
from journeymesh.services.journeyapi.ports import FixTaker, Policies, Product, Reads, Versions
from journeymesh.services.journeyapi.reading import ReadingThreads
from journeymesh.services.journeyapi.summary_cache import EncodedCache
from journeymesh.stores.figure_port import FigureReads
from journeymesh.stores.policy_summaries import JourneysOfMany

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "private, no-cache",
    "vary": "authorization, data-purpose, accept, accept-encoding",
}
"""Of every answer about a policy: the caller's own cache may keep it, and asks before it uses it."""
_RAW: Final = raw_headers(HEADERS.items())
MOST_TAGS: Final = 65_536
"""Entity tags that are remembered."""
_LONGEST_STATE: Final = 160
"""Characters of a state that is remembered as it is; of a longer one its digest is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """What the routes work with, in ``request.state["dependencies"]``."""

    config: JourneyapiConfig
    reads: Reads
    book_reads: JourneysOfMany
    figures: FigureReads | None
    policies: Policies
    versions: Versions
    product: Product
    taker: FixTaker | None
    kept: KeptAnswers | None
    cursors: Cursors
    threads: ReadingThreads
    encoded: EncodedCache[TaggedAnswer]
    terms: LruCache[str, PolicyTerm]
    """By a journey's id, the policy's term that it was given out for."""
    digests: Digests
    tags: LruCache[str, str]
    """By the state of what an answer is of, the entity tag of that answer when it was read."""
    taking: ReadingThreads
    known: KnownPolicies = field(default_factory=KnownPolicies)
    compared: ComparedBooks = field(default_factory=ComparedBooks)
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one large batch of fixes that is worked on."""


@dataclass(slots=True)
class Digests:
    """Of policies as they are at hand, remembered for as long as they are the same objects: to look one up by its value
    would take comparing all its fields. Belongs to one event loop."""

    most: int = 65_536
    _of: dict[PolicyTerm, tuple[Policy, str]] = field(default_factory=dict)

    def of(self, policy: Policy) -> str:
        """Equal policies, equal digest."""
        held = self._of.get(policy.term)
        if held is None or held[0] is not policy:
            if len(self._of) >= self.most:
                self._of.clear()
            held = self._of[policy.term] = policy, hashlib.blake2b(repr(policy).encode(), digest_size=12).hexdigest()
        return held[1]


def dependencies_of(request: HttpRequest) -> Dependencies:
    """What the request's route works with."""
    deps: Dependencies = request.state["dependencies"]
    return deps


class TaggedAnswer(ReadyAnswer):
    """An answer with its entity tag. It may be sent many times."""

    def __init__(self, tag: str, headers: RawHeaders, body: bytes) -> None:
        super().__init__(200, headers, body)
        self.tag = tag


class Admitted(msgspec.Struct, frozen=True):
    """A policy of which an answer may leave: those of its terms that may be told of, the latest last. ``whole`` says
    whether it has no others."""

    terms: tuple[Policy, ...]
    whole: bool

    @property
    def number(self) -> str:
        """The policy's number."""
        return self.terms[-1].number

    @property
    def tenant(self) -> str:
        """The policy's tenant."""
        return self.terms[-1].tenant

    @property
    def begins(self) -> tuple[datetime, ...] | None:
        """The beginnings of the terms whose journeys are asked for; None: of all that there are."""
        return None if self.whole else tuple(policy.valid_from for policy in self.terms)


async def policies_of_path(request: HttpRequest) -> Sequence[Policy]:
    """The terms of the policies, one of each tenant at most, whose number the path has."""
    return dependencies_of(request).policies.known(request.path_params["policy"])


async def look_again(request: HttpRequest) -> None:
    """Let the policies be looked for again soon: the one that was sought is not there, or not to be known of."""
    dependencies_of(request).policies.look_again()


def admitted(decision: Decision) -> Admitted:
    """The policy that the decision is about, where an answer about it may leave.

    Raises:
        ProblemRaised: there is none, or none that the caller may know of: the same answer for both.
    """
    if decision.obligations.minimum_group_size > 1:
        raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)
    terms = tuple([policy for policy in decision.terms if admits(decision.obligations, policy)])
    if not terms:
        raise hidden(decision)
    return Admitted(terms, decision.all_terms and len(terms) == len(decision.terms))


def obliged(table: pa.Table, decision: Decision, policy: Admitted) -> pa.Table:
    """The table as it may leave."""
    return applied(
        table, decision.obligations, now=datetime.now(UTC), of=OnePolicy(policy.terms, policy.whole),
        tenant=_tenant_of(decision),
    )  # fmt: skip


def obliged_each(table: pa.Table, decision: Decision, policies: Sequence[Policy]) -> pa.Table:
    """The rows of a table about several policies that may leave, before they are masked."""
    unmasked = replace(decision.obligations, mask=frozenset())
    return applied(table, unmasked, now=datetime.now(UTC), policies=policies, tenant=_tenant_of(decision))


def _tenant_of(decision: Decision) -> str:
    """Whose rows may leave: the identity's tenant's, once more, whatever the obligations admit."""
    return "" if decision.identity is None else decision.identity.tenant


def listed_policies(policies: Sequence[Policy], decision: Decision) -> pa.Table:
    """The policies, as they may leave."""
    table = policy_table(policies)
    return masked(table.rename_columns(LISTED_POLICIES.names), decision.obligations.hidden)


def refuse_masked(decision: Decision, used: Mapping[str, str]) -> None:
    """Which rows a question leaves, and their order, would tell what the mask hides. ``used``: the field that each
    parameter asks about.

    Raises:
        ProblemRaised: one is masked.
    """
    for parameter, name in used.items():
        if name in decision.obligations.hidden:
            raise ProblemRaised(POLICY_FORBIDS, f"{parameter} asks about {name}, which is masked", decision=decision)


def refuse_masked_filters(decision: Decision, **filters: str | None) -> None:
    """``refuse_masked`` for filters that have the name of their field, of which None is not given."""
    refuse_masked(decision, {name: name for name, value in filters.items() if value is not None})


def instant_named(at: datetime | None) -> str:
    """The instant in what a cursor or an entity tag is made for; empty: none was given."""
    return "" if at is None else rfc3339(at)


def refuse_masked_instants(decision: Decision, *instants: datetime | None) -> None:
    """Asking for ever narrower times would tell what the mask hides."""
    if "started_at" in decision.obligations.hidden and any(at is not None for at in instants):
        raise ProblemRaised(POLICY_FORBIDS, "from and to ask about started_at, which is masked", decision=decision)


def oldest_start(obligations: Obligations) -> datetime | None:
    """What began before may not leave; None: all may."""
    if obligations.retention_days is None:
        return None
    return datetime.now(UTC) - timedelta(days=obligations.retention_days)


def state_of(deps: Dependencies, decision: Decision, policy: Admitted, *representation: str) -> str | None:
    """What the answer follows from, without reading it: while it is the same, so is the answer. None: nobody knows
    whether the data changed.

    It is of the data's version, the policy as it is at hand, the obligations, and the representation asked for. Under
    a retention also of the hour, because there the same data becomes less by itself: periods do so at full hours.
    It never leaves: a version is of a vehicle, which may be driven for another policy or another tenant as well, and
    of fields that the caller may not see.
    """
    obligations = decision.obligations
    parts = [obligations.digest, "whole" if policy.whole else "", retention_hour(decision)]
    for term in policy.terms:
        version = deps.versions.of(term)
        if version is None:
            return None
        parts += (version, deps.digests.of(term))
    state = "\0".join((*parts, "", *representation))
    return state if len(state) <= _LONGEST_STATE else hashlib.blake2b(state.encode(), digest_size=16).hexdigest()


def retention_hour(decision: Decision) -> str:
    """The hour, under a retention, because there the same data becomes less by itself; empty: under none."""
    return "" if decision.obligations.retention_days is None else str(int(time.time() // 3600))


def content_tag(*body: bytes) -> str:
    """The entity tag of an answer: of what the caller sees, so that nothing else can be told from it."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in body:
        digest.update(piece)
    return f'W/"c{digest.hexdigest()}"'


def tagged(body: bytes, media: str, following: str | None = None) -> TaggedAnswer:
    """The answer about a policy. ``following`` is the cursor behind it, which is another one every time and is no part
    of the content."""
    cursor = () if following is None else (following.encode(),)
    tag = content_tag(*(body.split(cursor[0]) if cursor else (body,)))
    more = [(b"next-cursor", cursor[0])] if cursor else []
    return TaggedAnswer(tag, (*_RAW, (b"content-type", media.encode()), *more, (b"etag", tag.encode())), body)


def read_answer(
    deps: Dependencies, scope: Scope, state: str | None, body: bytes, media: str, following: str | None = None
) -> ReadyAnswer:
    """The answer that was read, or that the caller has it. ``following``: as of ``tagged``."""
    return sent(deps, scope, state, tagged(body, media, following))


def sent(deps: Dependencies, scope: Scope, state: str | None, answer: TaggedAnswer) -> ReadyAnswer:
    """The answer, or that the caller has it. Its tag is remembered for this state."""
    if state is not None:
        deps.tags.put(state, answer.tag)
    return unchanged(answer.tag) if is_unchanged(scope, answer.tag) else answer


def remembered_unchanged(deps: Dependencies, scope: Scope, state: str | None) -> ReadyAnswer | None:
    """That the caller has the answer, where that is known without reading it; None: it has to be read."""
    tag = None if state is None else deps.tags.get(state)
    return unchanged(tag) if tag is not None and is_unchanged(scope, tag) else None


def unchanged(tag: str) -> ReadyAnswer:
    """The answer to a caller who has it already."""
    return ReadyAnswer(304, (*_RAW, (b"etag", tag.encode())))
