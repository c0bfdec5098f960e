"""What the routes about a policy's data share: the policy that a request is about, and what may leave of it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from litestar import Request

from journeymesh.access.apply import admits, applied, masked
from journeymesh.access.decision import Decision
from journeymesh.governance.obligations import Obligations
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.journeys.policy_table import policy_table
from journeymesh.services.http.answers import ReadyAnswer, raw_headers
from journeymesh.services.http.conditions import is_unchanged, tag_of
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.problems import GROUP_TOO_SMALL, POLICY_FORBIDS, ProblemRaised, hidden
from journeymesh.services.http.requests import Scope
from journeymesh.services.journeyapi.book import KnownPolicies
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.kept_answers import KeptAnswers
from journeymesh.services.journeyapi.ports import FixTaker, Policies, Product, Reads, Versions
from journeymesh.services.journeyapi.reading import ReadingThreads
from journeymesh.services.journeyapi.schemas import LISTED_POLICIES
from journeymesh.services.journeyapi.summary_cache import EncodedCache
from journeymesh.stores.policy_summaries import JourneysOfMany

HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "private, no-cache",
    "vary": "authorization, data-purpose, accept, accept-encoding",
}
"""Of every answer about a policy: the caller's own cache may keep it, and asks before it uses it."""
_RAW: Final = raw_headers(HEADERS.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the routes work with, in ``request.app.state["parts"]``."""

    config: JourneyapiConfig
    reads: Reads
    book_reads: JourneysOfMany
    policies: Policies
    versions: Versions
    product: Product
    taker: FixTaker | None
    kept: KeptAnswers | None
    cursors: Cursors
    threads: ReadingThreads
    encoded: EncodedCache
    places: Places
    digests: Digests
    tags: Tags
    taking: ReadingThreads
    known: KnownPolicies = field(default_factory=KnownPolicies)
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one large batch of fixes that is worked on."""


@dataclass(slots=True)
class Places:
    """Which term of which policy a journey is of, remembered for the latest. Belongs to one event loop."""

    most: int
    _terms: OrderedDict[str, PolicyTerm] = field(default_factory=OrderedDict)

    def get(self, journey_id: str) -> PolicyTerm | None:
        """The policy's term; None: it is not remembered."""
        return self._terms.get(journey_id)

    def put(self, journey_id: str, term: PolicyTerm) -> None:
        """Remember it."""
        self._terms[journey_id] = term
        if len(self._terms) > self.most:
            self._terms.popitem(last=False)

    def forget(self, journey_id: str) -> None:
        """It is of another term now, or gone."""
        self._terms.pop(journey_id, None)


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


@dataclass(slots=True)
class Tags:
    """The entity tags of answers that were read, for as long as nothing changed that they could be of. Belongs to one
    event loop."""

    most: int = 65_536
    _of: OrderedDict[str, str] = field(default_factory=OrderedDict)

    def get(self, state: str) -> str | None:
        """The tag of the answer in this state; None: it has to be read."""
        tag = self._of.get(state)
        if tag is not None:
            self._of.move_to_end(state)
        return tag

    def put(self, state: str, tag: str) -> None:
        """Remember it."""
        self._of[state] = tag
        if len(self._of) > self.most:
            self._of.popitem(last=False)


def parts_of(request: Request[Any, Any, Any]) -> Parts:
    """What the request's route works with."""
    parts: Parts = request.app.state["parts"]
    return parts


@dataclass(frozen=True, slots=True)
class Admitted:
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


async def policies_of_path(request: Request[Any, Any, Any]) -> Sequence[Policy]:
    """The terms of the policies, one of each tenant at most, whose number the path has."""
    return parts_of(request).policies.known(request.path_params["policy"])


async def look_again(request: Request[Any, Any, Any]) -> None:
    """Let the policies be looked for again soon: the one that was sought is not there, or not to be known of."""
    parts_of(request).policies.look_again()


def admitted(decision: Decision) -> Admitted:
    """The policy that the decision is about, where an answer about it may leave.

    Raises:
        ProblemRaised: there is none, or none that the caller may know of: the same answer for both.
    """
    if decision.obligations.minimum_group_size > 1:
        raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)
    terms = tuple(policy for policy in decision.terms if admits(decision.obligations, policy))
    if not terms:
        raise hidden(decision)
    return Admitted(terms, decision.all_terms and len(terms) == len(decision.terms))


def obliged(table: pa.Table, decision: Decision, policy: Admitted) -> pa.Table:
    """The table as it may leave."""
    return applied(
        table, decision.obligations, now=datetime.now(UTC), of=policy.terms, all_terms=policy.whole,
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


def refuse_masked_instants(decision: Decision, *instants: datetime | None) -> None:
    """Asking for ever narrower times would tell what the mask hides."""
    if "started_at" in decision.obligations.hidden and any(at is not None for at in instants):
        raise ProblemRaised(POLICY_FORBIDS, "from and to ask about started_at, which is masked", decision=decision)


def oldest_start(obligations: Obligations) -> datetime | None:
    """What began before may not leave; None: all may."""
    if obligations.retention_days is None:
        return None
    return datetime.now(UTC) - timedelta(days=obligations.retention_days)


def state_of(parts: Parts, decision: Decision, policy: Admitted, *representation: str) -> str | None:
    """What the answer follows from, without reading it: while it is the same, so is the answer. None: nobody knows
    whether the data changed.

    It is of the data's version, the policy as it is at hand, the obligations, and the representation asked for. Under
    a retention also of the hour, because there the same data becomes less by itself: periods do so at full hours.
    It never leaves: a version is of a vehicle, which may be driven for another policy or another tenant as well, and
    of fields that the caller may not see.
    """
    versions = [parts.versions.of(term) for term in policy.terms]
    known = [version for version in versions if version is not None]
    if len(known) < len(versions):
        return None
    version, terms = "+".join(known), "+".join([str(policy.whole), *map(parts.digests.of, policy.terms)])
    obligations = decision.obligations
    hour = "" if obligations.retention_days is None else str(int(time.time() // 3600))
    return tag_of(parts.config.epoch, version, terms, obligations.digest, hour, *representation)


def content_tag(*body: bytes) -> str:
    """The entity tag of an answer: of what the caller sees, so that nothing else can be told from it."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in body:
        digest.update(piece)
    return f'W/"c{digest.hexdigest()}"'


def answer(body: bytes, media: str, tag: str | None, headers: Mapping[str, str] | None = None) -> ReadyAnswer:
    """The answer about a policy."""
    more = [
        (b"content-type", media.encode()),
        *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
    ]
    if tag is not None:
        more.append((b"etag", tag.encode()))
    return ReadyAnswer(200, (*_RAW, *more), body)


def read_answer(
    parts: Parts, scope: Scope, state: str | None, body: bytes, media: str, following: str | None = None
) -> ReadyAnswer:
    """The answer that was read, or that the caller has it. ``following`` is the cursor behind it, which is another one
    every time and says nothing of the content."""
    cut = () if following is None else (following.encode(),)
    found = content_tag(*(body.split(cut[0]) if cut else (body,)))
    if state is not None:
        parts.tags.put(state, found)
    headers = None if following is None else {"next-cursor": following}
    return unchanged(found) if is_unchanged(scope, found) else answer(body, media, found, headers)


def remembered_unchanged(parts: Parts, scope: Scope, state: str | None) -> ReadyAnswer | None:
    """That the caller has the answer, where that is known without reading it; None: it has to be read."""
    tag = None if state is None else parts.tags.get(state)
    return unchanged(tag) if tag is not None and is_unchanged(scope, tag) else None


def unchanged(tag: str) -> ReadyAnswer:
    """The answer to a caller who has it already."""
    return ReadyAnswer(304, (*_RAW, (b"etag", tag.encode())))
