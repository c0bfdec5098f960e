"""The decision before every guarded route: no route that declares a capability runs without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from journeymesh.access.decision import Ask, Decision
from journeymesh.identity.identity import Identity
from journeymesh.identity.tokens import Bearer
from journeymesh.journeys.policies import Policy
from journeymesh.lru import LruCache
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.limits import Rates
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.problems import (
    GROUP_TOO_SMALL,
    MALFORMED,
    TOO_MANY_REQUESTS,
    ProblemRaised,
    hidden,
    of_decision,
)
from journeymesh.services.http.requests import DECISION_IDS, HttpRequest, bearer_token, client_address, header
from journeymesh.services.http.routes import HttpRoute
from journeymesh.services.http.waking import Waking
from journeymesh.wire.identity import Reason

_LONGEST_PURPOSE: Final = 200

Client = tuple[tuple[str, str], str]
"""An identity's provider and its name there, which its rate is of, and its tenant."""


class Decisions(Protocol):
    """Who decides. ``access``'s decider is one."""

    def decide(self, token: str | None, ask: Ask) -> Decision:
        """The decision. Never raises: whatever goes wrong denies."""

    def without_token(self, ask: Ask) -> Decision:
        """The denial of a request without a token, which nothing waits for."""

    def would_block(self, token: str | None, ask: Ask) -> bool:
        """Whether deciding may wait for a network, so that an event loop lets a thread do it."""


@dataclass(slots=True)
class Gate:
    """Asks for decisions, and keeps clients to their rates. One per application; belongs to its event loop."""

    decisions: Decisions
    config: HttpConfig
    metrics: HttpMetrics
    clients: Rates = field(init=False)
    strangers: Rates = field(init=False)
    _known: LruCache[bytes, Client] = field(init=False)
    _waking: Waking = field(default_factory=Waking)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "decisions"))

    def __post_init__(self) -> None:
        config = self.config
        self.clients = Rates(config.requests_per_s, config.burst, config.clients_remembered)
        self.strangers = Rates(config.strangers_per_s, config.strangers_burst, config.clients_remembered)
        self._known = LruCache(config.clients_remembered)

    def before(self, route: HttpRoute) -> Callable[[HttpRequest], Awaitable[Decision]]:
        """What makes the decision before this route's function runs: the one that allowed the request, its audit
        record durable."""
        capability, product, about, instead = route.capability, route.product, route.about, route.instead
        assert capability is not None

        async def decide(request: HttpRequest) -> Decision:
            wanted = capability if instead is None else instead[1](request)
            self.refuse_without_token(request.scope, product, wanted)
            terms = None if about is None else await about(request)
            decision = await self.decided(request.scope, product, wanted, terms)
            if terms is None or decision.terms:
                return decision
            if route.in_vain is not None:
                await route.in_vain(request)
            if decision.obligations.minimum_group_size > 1:
                raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)
            raise hidden(decision)

        return decide

    async def decided(
        self, scope: Mapping[str, Any], product: str, capability: str, terms: Sequence[Policy] | None = None
    ) -> Decision:
        """The decision that allows using this capability of the product, for the purpose that the request names; its
        audit record is durable.

        ``terms``: of insurance policies, where one is sought. What is decided about one that the caller may not know of
        is what is decided where there is none: nobody learns from it that there is one.

        Raises:
            ProblemRaised: it is denied, or the client asks too much. AuditUnwritable: nothing may leave.
        """
        token = bearer_token(scope)
        purpose = header(scope, b"data-purpose")
        if purpose is not None and len(purpose) > _LONGEST_PURPOSE:
            raise ProblemRaised(MALFORMED, "the data-purpose header is too long")
        ask = Ask(
            product=product,
            capability=capability,
            purpose=purpose or None,
            terms=None if terms is None else tuple(terms),
        )
        learn = self._admitted(scope, token)
        decision = await self._decide(token, ask)
        told: list[str] = scope.get(DECISION_IDS, [])
        told.append(decision.decision_id)
        if learn is not None:
            learn(decision)
        if decision.reason is Reason.ALLOWED:
            return decision
        raise of_decision(decision)

    def refuse_without_token(self, scope: Mapping[str, Any], product: str, capability: str) -> None:
        """Refuse a request without a token, before anything is looked up for it.

        Raises:
            ProblemRaised: there is none, or its address asks too much.
        """
        if bearer_token(scope) is not None:
            return
        self._take(self.strangers, client_address(scope, self.config.trusted_proxies))
        decision = self.decisions.without_token(Ask(product=product, capability=capability))
        self.metrics.decided(capability, decision.reason)
        told: list[str] = scope.get(DECISION_IDS, [])
        told.append(decision.decision_id)
        raise of_decision(decision)

    def charge(self, identity: Identity | None, further: int) -> None:
        """Take so many more from the rate of who asks: for a request that stands for several.

        Raises:
            ProblemRaised: they ask too much.
        """
        if identity is not None and further > 0:
            self._take(self.clients, (identity.provider, identity.subject), further)

    def tenant_of(self, scope: Mapping[str, Any]) -> str | None:
        """Whose the request's token was when it was seen to hold. It vouches for nothing now: what is looked
        up by it is looked up faster, and decided about all the same. None: it is not remembered."""
        token = bearer_token(scope)
        known = None if token is None else self._known.get(token.digest)
        return None if known is None else known[1]

    async def _decide(self, token: Bearer | None, ask: Ask) -> Decision:
        if self.decisions.would_block(token, ask):
            loop = asyncio.get_running_loop()
            decision = await loop.run_in_executor(self._threads, self.decisions.decide, token, ask)
        else:
            decision = self.decisions.decide(token, ask)
        self.metrics.decided(ask.capability, decision.reason)
        await self._waking.until(decision.recorded)
        return decision

    def _admitted(self, scope: Mapping[str, Any], token: Bearer | None) -> Callable[[Decision], None] | None:
        """Take one from the client's rate; what is returned is told the decision, where one can be learnt from."""
        digest = b"" if token is None else token.digest
        client = self._known.get(digest)
        if client is not None:
            self._take(self.clients, client[0])
            return None
        address = client_address(scope, self.config.trusted_proxies)
        self._take(self.strangers, address)

        def learn(decision: Decision) -> None:
            if decision.identity is None:
                return
            identity = decision.identity
            known = (identity.provider, identity.subject)
            self._known.put(digest, (known, identity.tenant))
            self._take(self.clients, known)  # before the address gets its own back: new tokens do not begin anew
            self.strangers.give_back(address)

        return learn

    def _take(self, rates: Rates, client: object, count: int = 1) -> None:
        wait_s = rates.take(client, count)
        if wait_s is not None:
            raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
