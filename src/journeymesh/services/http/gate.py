"""The decision before every guarded route: no route that declares a capability runs without one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from journeymesh.access.decision import Ask, Decision, Reason
from journeymesh.identity.capabilities import JOURNEYS, capability
from journeymesh.identity.identity import Identity
from journeymesh.identity.tokens import Bearer
from journeymesh.journeys.policies import Policy
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
from journeymesh.services.http.requests import DECISION_IDS, bearer_token, client_address, header
from journeymesh.services.http.waking import Waking

DECLARES: Final = "declares"
"""The key under which a route's options say what it needs."""
OPEN_ROUTES: Final = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json"})
"""The routes that need no decision. They tell nothing of a policy."""
BEARER_ONLY: Final = "bearer_only"
"""The key under which a route's options say that it needs a token that holds and tells only of its bearer."""
Decided = NamedDependency[SkipValidation[Decision]]
"""The type of a guarded route's parameter ``decision``: the decision that allowed the request, its record durable."""
_LONGEST_PURPOSE: Final = 200


class Decisions(Protocol):
    """Who decides. ``access``'s decider is one."""

    def decide(self, token: str | None, ask: Ask) -> Decision:
        """The decision. Never raises: whatever goes wrong denies."""

    def without_token(self, ask: Ask) -> Decision:
        """The denial of a request without a token, which nothing waits for."""

    def would_block(self, token: str | None, ask: Ask) -> bool:
        """Whether deciding may wait for a network, so that an event loop lets a thread do it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a route needs: a capability of a product, about the insurance policies whose terms ``about`` finds: every
    tenant's of one number, of which the caller means their own tenant's. Where there is none that the caller may know
    of, ``in_vain`` is called, and the route is not run.

    ``instead``: another capability that some requests to it need, and what says which a request needs.
    """

    capability: str
    product: str
    about: Callable[[Request[Any, Any, Any]], Awaitable[Sequence[Policy]]] | None = None
    instead: tuple[str, Callable[[Request[Any, Any, Any]], str]] | None = None


def needs(
    name: str,
    *,
    product: str = JOURNEYS,
    about: Callable[[Request[Any, Any, Any]], Awaitable[Sequence[Policy]]] | None = None,
    in_vain: Callable[[Request[Any, Any, Any]], Awaitable[None]] | None = None,
    instead: tuple[str, Callable[[Request[Any, Any, Any]], str]] | None = None,
    opt: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Keywords of a route that needs this capability; its function takes the ``decision: Decided`` that allowed it.
    ``opt`` are the route's options besides.

    Raises:
        ValueError: there is no such capability, so nobody could ever use the route.
    """
    for each in (name, *(instead or ())[:1]):
        if capability(product, str(each)) is None:
            raise ValueError(f"{product} has no capability {each!r}")
    declared = Declared(name, product, about, instead)

    async def decided(request: Request[Any, Any, Any]) -> Decision:
        gate: Gate = request.app.state["gate"]
        wanted = name if instead is None else instead[1](request)
        gate.refuse_without_token(request.scope, product, wanted)
        terms = None if about is None else await about(request)
        decision = await gate.decided(request.scope, product, wanted, terms)
        if terms is None or decision.terms:
            return decision
        if in_vain is not None:
            await in_vain(request)
        if decision.obligations.minimum_group_size > 1:
            raise ProblemRaised(GROUP_TOO_SMALL, decision=decision)
        raise hidden(decision)

    return {"dependencies": {"decision": Provide(decided)}, "opt": {**(opt or {}), DECLARES: declared}}


@dataclass(slots=True)
class Gate:
    """Asks for decisions, and keeps clients to their rates. One per application; belongs to its event loop."""

    decisions: Decisions
    config: HttpConfig
    metrics: HttpMetrics
    clients: Rates = field(init=False)
    strangers: Rates = field(init=False)
    _known: OrderedDict[bytes, tuple[str, str]] = field(default_factory=OrderedDict)
    _tenants: OrderedDict[bytes, str] = field(default_factory=OrderedDict)
    _waking: Waking = field(default_factory=Waking)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "decisions"))

    def __post_init__(self) -> None:
        config = self.config
        self.clients = Rates(config.requests_per_s, config.burst, config.clients_remembered)
        self.strangers = Rates(config.strangers_per_s, config.strangers_burst, config.clients_remembered)

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
        leave = self._admitted(scope, token)
        decision = await self._decide(token, ask)
        told: list[str] = scope.get(DECISION_IDS, [])
        told.append(decision.decision_id)
        if leave is not None:
            leave(decision)
        if decision.reason is Reason.ALLOWED:
            identity = decision.identity
            if token is not None and identity is not None:
                self._tenants[token.digest] = identity.tenant
                self._tenants.move_to_end(token.digest)
                if len(self._tenants) > self.config.clients_remembered:
                    self._tenants.popitem(last=False)
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
        """Whose the request's token was when it was allowed something last. It vouches for nothing now: what is looked
        up by it is looked up faster, and decided about all the same. None: it is not remembered."""
        token = bearer_token(scope)
        return None if token is None else self._tenants.get(token.digest)

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
            self._take(self.clients, client)
            return None
        address = client_address(scope, self.config.trusted_proxies)
        self._take(self.strangers, address)

        def learn(decision: Decision) -> None:
            if decision.identity is None:
                return
            identity = decision.identity
            self._known[digest] = known = (identity.provider, identity.subject)
            if len(self._known) > self.config.clients_remembered:
                self._known.popitem(last=False)
            self._take(self.clients, known)  # before the address gets its own back: new tokens do not begin anew
            self.strangers.give_back(address)

        return learn

    def _take(self, rates: Rates, client: object, count: int = 1) -> None:
        wait_s = rates.take(client, count)
        if wait_s is not None:
            raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
