"""All identity providers behind one question, with what they said kept for a short while.

A token is its issuer's affair and nobody else's: who is asked is settled by the token's issuer, and among providers of
one issuer by the tenant, before anything is believed. There is never a union of what several providers say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, TimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from journeymesh.errors import JourneymeshError, SettingsInvalid
from journeymesh.identity.identity import Identity, IdentityProvider, ProviderState, ProviderUnavailable, TokenRefused
from journeymesh.identity.tokens import MAX_TOKEN_BYTES, TokenRefusal, read_unverified, token_digest
from journeymesh.lru import LruCache

MAX_CAPABILITIES_AGE_S: Final = 30.0
"""A revoked capability is gone everywhere after this long at most."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheTimes:
    """How long answers are kept, in seconds, and how many of each kind.

    - ``identity_s``: a verified token, though never beyond its expiry; a withdrawn key counts so much longer
    - ``capabilities_s``: what somebody is capable of, at most 30
    - ``patience_s``: how long to wait for an answer that another thread has asked for
    """

    identity_s: float = 300.0
    capabilities_s: float = MAX_CAPABILITIES_AGE_S
    patience_s: float = 10.0
    entries: int = 20_000

    def __post_init__(self) -> None:
        if not 0 <= self.capabilities_s <= MAX_CAPABILITIES_AGE_S:
            raise SettingsInvalid(
                f"capabilities cannot be cached for {self.capabilities_s:g} s",
                todo=f"choose from 0 to {MAX_CAPABILITIES_AGE_S:g} s: a revoked one has to end",
            )


class Providers:
    """Says who bears a token and what they are capable of. Safe for several threads; any fault is no."""

    def __init__(
        self,
        providers: Iterable[IdentityProvider],
        *,
        times: CacheTimes | None = None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``now_s`` judges expiry, ``clock`` ages caches.

        Raises:
            SettingsInvalid: two providers have one name, or could both vouch for one token.
        """
        self._providers = tuple(providers)
        self._by_name = {provider.name: provider for provider in self._providers}
        self._by_issuer = _routes(self._providers)
        self._times = times or CacheTimes()
        self._now_s = now_s
        self._identities: _AnswerCache[bytes, Identity] = _AnswerCache(self._times, clock)
        self._capabilities: _AnswerCache[tuple[bytes, str, Hashable], frozenset[str]] = _AnswerCache(self._times, clock)

    def identify(self, token: str | None) -> Identity:
        """Who bears this token.

        Raises:
            TokenRefused: it is missing or does not hold. ProviderUnavailable: nobody can say at this moment.
        """
        if not token:
            raise TokenRefused(TokenRefusal.MISSING)
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenRefused(TokenRefusal.TOO_LARGE)
        digest = token_digest(token)
        identity = self._identities.get(digest)
        if identity is None:
            identity = self._identities.get_or_ask(digest, self._times.identity_s, lambda: self._identified(token))
        if self._now_s() >= identity.expires_at_s:
            self._identities.forget(digest)
            raise TokenRefused(TokenRefusal.EXPIRED)
        return identity

    def capabilities(self, token: str, product: str, version: Hashable = None) -> frozenset[str]:
        """The names of the product's capabilities that the token's bearer has, as of ≤ 30 s ago.

        ``version``: of the access policies; another version asks anew. Raises as ``identify``.
        """
        identity = self.identify(token)
        key = (identity.token_digest, product, version)
        held = self._capabilities.get(key)
        if held is not None:
            return held
        try:
            keep_s = self._times.capabilities_s - self._by_name[identity.provider].staleness_s
            return self._capabilities.get_or_ask(key, keep_s, lambda: self._asked(token, identity, product))
        except TokenRefused:
            self._identities.forget(identity.token_digest)  # its provider takes it back before it expires
            raise

    def would_block(self, token: str | None, product: str, version: Hashable = None) -> bool:
        """Whether an answer may take a provider's time, so that an event loop should ask in a thread."""
        if not token or len(token) > MAX_TOKEN_BYTES:
            return False
        digest = token_digest(token)
        return self._identities.get(digest) is None or self._capabilities.get((digest, product, version)) is None

    def states(self) -> tuple[ProviderState, ...]:
        """How each provider is doing."""
        return tuple(provider.state() for provider in self._providers)

    def close(self) -> None:
        """Release every provider's connections. Idempotent."""
        for provider in self._providers:
            provider.close()

    def _identified(self, token: str) -> Identity:
        routed = self._by_issuer.get(read_unverified(token).issuer, ())
        refused = TokenRefused(TokenRefusal.ISSUER)
        for provider in routed:
            try:
                identity = _or_unavailable(provider, partial(provider.identify, token))
            except TokenRefused as error:
                refused = error
                continue
            if provider.tenants is None or identity.tenant in provider.tenants:
                return identity
            refused = TokenRefused(TokenRefusal.TENANT)
        raise refused

    def _asked(self, token: str, identity: Identity, product: str) -> frozenset[str]:
        provider = self._by_name[identity.provider]
        return _or_unavailable(provider, partial(provider.capabilities, token, identity, product))


def _routes(providers: tuple[IdentityProvider, ...]) -> dict[str, tuple[IdentityProvider, ...]]:
    """Providers by issuer. Those of one issuer name their tenants, and no tenant twice."""
    names = [provider.name for provider in providers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsInvalid(f"identity provider {twice[0]} is named twice", todo="give each its own name")
    routes: dict[str, tuple[IdentityProvider, ...]] = {}
    for provider in providers:
        for issuer in provider.issuers:
            for other in routes.get(issuer, ()):
                if provider.tenants is None or other.tenants is None or provider.tenants & other.tenants:
                    raise SettingsInvalid(
                        f"identity providers {other.name} and {provider.name} could both vouch for tokens of {issuer}",
                        todo="name the tenants of each, and no tenant twice",
                    )
            routes[issuer] = (*routes.get(issuer, ()), provider)
    return routes


def _or_unavailable(provider: IdentityProvider, ask: Callable[[], Value]) -> Value:
    """What the provider says. A fault that it did not foresee is no answer either."""
    try:
        return ask()
    except (TokenRefused, ProviderUnavailable):
        raise
    except JourneymeshError as error:
        raise ProviderUnavailable(provider.name, error.what) from error
    except Exception as error:
        raise ProviderUnavailable(provider.name, f"it failed ({type(error).__name__})") from error


class _AnswerCache(Generic[Key, Value]):
    """Answers by key, each until its time; the least recently used go first. Of threads that miss one, one asks."""

    def __init__(self, times: CacheTimes, clock: Callable[[], float]) -> None:
        self._times = times
        self._clock = clock
        self._lock = threading.Lock()
        self._kept = LruCache[Key, tuple[float, Value]](times.entries)
        self._asking: dict[Key, Future[Value]] = {}

    def get(self, key: Key) -> Value | None:
        """The answer, if one is kept that is young enough."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and self._clock() < kept[0] else None

    def forget(self, key: Key) -> None:
        """Keep it no longer."""
        self._kept.discard(key)

    def get_or_ask(self, key: Key, keep_s: float, ask: Callable[[], Value]) -> Value:
        """The answer that is kept, or the one that is being asked for, or a new one. Faults are not kept."""
        with self._lock:
            if (value := self.get(key)) is not None:
                return value
            asked = self._asking.get(key)
            if asked is None:
                mine: Future[Value] = Future()
                self._asking[key] = mine
        if asked is not None:
            return self._awaited(asked)
        began_at_s = self._clock()  # what is true now may change while the provider answers
        try:
            value = ask()
        except BaseException as error:
            self._settle(key)
            mine.set_exception(error)
            raise
        self._settle(key, (began_at_s + keep_s, value))
        mine.set_result(value)
        return value

    def _awaited(self, asked: Future[Value]) -> Value:
        try:
            return asked.result(self._times.patience_s)
        except TimeoutError as error:
            raise ProviderUnavailable("requested by another thread", "it does not answer in time") from error

    def _settle(self, key: Key, kept: tuple[float, Value] | None = None) -> None:
        with self._lock:
            self._asking.pop(key, None)
            if kept is not None:
                self._kept.put(key, kept)
