"""A provider's public keys: fetched as a JSON Web Key Set, kept, renewed when they rotate, given up when too old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from journeymesh.errors import ExtraMissing
from journeymesh.identity.answers import ProviderAnswer
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.tokens import TokenRefusal

if TYPE_CHECKING:
    from joserfc.jwk import Key

MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048

_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "Ed25519": "Ed25519"}
"""The curve that each algorithm is for (RFC 7518, 3.4; RFC 9864)."""


class KeyRing:
    """Some public keys to look among."""

    def __init__(self, keys: Iterable[tuple[str | None, str | None, Key]]) -> None:
        """Takes (key id, the algorithm that it is for or None, key)."""
        self._keys = tuple(keys)

    @classmethod
    def of_jwks(cls, jwks: object) -> KeyRing | None:
        """The usable keys of a JSON Web Key Set. None: it is no such set, or nothing of it is usable."""
        listed = jwks.get("keys") if isinstance(jwks, dict) else None
        if not isinstance(listed, list) or len(listed) > MAX_KEYS:
            return None
        keys = [key for each in listed if (key := _usable(each)) is not None]
        return cls(keys) if keys else None

    def knows(self, kid: str | None) -> bool:
        """Whether a key of this id is among them; none named: whether there are keys at all."""
        return any(kid in (None, held_kid) for held_kid, _, _ in self._keys)

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key that fits. None: none does, or several do, so that nobody can say which one is meant."""
        fitting = [
            key
            for held_kid, held_algorithm, key in self._keys
            if (kid is None or kid == held_kid) and held_algorithm in (None, algorithm) and _fits(key, algorithm)
        ]
        return fitting[0] if len(fitting) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """How often keys are fetched and how long they are trusted, in seconds.

    - ``refresh_after_s``: keys this old are fetched again at the next need. A key that the provider withdrew holds
      no longer than this, plus what an identity is cached for
    - ``max_stale_s``: where fetching fails, keys this old no longer count and nobody gets in
    - ``burst`` and ``refill_s``: fetches for the sake of unknown key ids: so many at once, then one in so many seconds
    - ``pause_s``: after a failed fetch the next one waits so long
    """

    refresh_after_s: float = 300.0
    max_stale_s: float = 3600.0
    burst: int = 5
    refill_s: float = 2.0
    pause_s: float = 1.0


@dataclass(frozen=True, slots=True)
class _Held:
    ring: KeyRing
    fetched_at_s: float


class RemoteKeys:
    """The keys that a provider publishes at a URL. Safe for several threads: one fetches, the others wait for it.

    An unknown key id makes them be fetched again, so that a rotated key works at once; strangers who invent key ids
    cause a bounded number of fetches.
    """

    def __init__(
        self,
        provider: str,
        fetch: Callable[[], ProviderAnswer],
        *,
        patience_s: float,
        times: KeyTimes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fetch`` asks for the set. ``patience_s``: how long to wait for a fetch that another thread makes."""
        self._provider = provider
        self._fetch = fetch
        self._patience_s = patience_s
        self._times = times or KeyTimes()
        self._clock = clock
        self._lock = threading.Lock()
        self._held: _Held | None = None
        self._began_at_s = float("-inf")
        self._failure: ProviderUnavailable | None = None
        self._failed_at_s = float("-inf")
        self._fetches_left = float(self._times.burst)
        self._counted_at_s = clock()

    @property
    def age_s(self) -> float | None:
        """How long ago the keys were fetched; None: not yet."""
        held = self._held
        return None if held is None else self._clock() - held.fetched_at_s

    @property
    def trusted(self) -> bool:
        """Whether there are keys, young enough to count."""
        return self._trusted(self._clock()) is not None

    def renew(self) -> None:
        """Fetch the keys now, unless that was tried a moment ago.

        Raises:
            ProviderUnavailable: they cannot be fetched.
        """
        self._renewed(self._clock())

    def find(self, kid: str | None, algorithm: str) -> Key:
        """The key for a token with this header. Raises as ``Keys.find``."""
        now_s = self._clock()
        held = self._trusted(now_s)
        if held is None:
            held = self._renewed(now_s)
        elif now_s - held.fetched_at_s >= self._times.refresh_after_s:
            held = self._renewed_if_possible(now_s, held)
        key = held.ring.find(kid, algorithm)
        if key is None and held.fetched_at_s < now_s and not held.ring.knows(kid):  # they may have rotated since
            key = self._renewed(now_s).ring.find(kid, algorithm)
        if key is None:
            raise TokenRefused(TokenRefusal.KEY)
        return key

    def _trusted(self, now_s: float) -> _Held | None:
        held = self._held
        return held if held is not None and now_s - held.fetched_at_s < self._times.max_stale_s else None

    def _renewed_if_possible(self, now_s: float, held: _Held) -> _Held:
        """Keys that are due but still count: whoever comes first renews them, nobody waits, a failure is no harm."""
        if not self._lock.acquire(blocking=False):
            return held
        try:
            return self._renew(now_s)
        except ProviderUnavailable:
            return held
        finally:
            self._lock.release()

    def _renewed(self, now_s: float) -> _Held:
        """Keys from a fetch that began after ``now_s``, by this thread or another."""
        if not self._lock.acquire(timeout=self._patience_s):
            raise ProviderUnavailable(self._provider, "its keys do not arrive in time")
        try:
            return self._renew(now_s)
        finally:
            self._lock.release()

    def _renew(self, asked_at_s: float) -> _Held:
        now_s = self._clock()
        if self._held is not None and self._held.fetched_at_s >= asked_at_s:
            return self._held
        if self._failure is not None and now_s - self._failed_at_s < self._times.pause_s:
            raise ProviderUnavailable(self._provider, "its keys cannot be fetched") from self._failure
        self._take_a_fetch(now_s)
        try:
            answer = self._fetch()
            ring = KeyRing.of_jwks(answer.body) if answer.status == 200 else None
            if ring is None:
                raise ProviderUnavailable(self._provider, "it does not publish keys that can be used")
        except ProviderUnavailable as failure:
            self._failure, self._failed_at_s = failure, self._clock()
            raise
        self._failure = None
        self._held = _Held(ring, now_s)
        return self._held

    def _take_a_fetch(self, now_s: float) -> None:
        gained = (now_s - self._counted_at_s) / self._times.refill_s
        self._fetches_left = min(float(self._times.burst), self._fetches_left + gained)
        self._counted_at_s = now_s
        if self._fetches_left < 1.0:
            wait_s = (1.0 - self._fetches_left) * self._times.refill_s
            raise ProviderUnavailable(self._provider, "its keys were requested too often", retry_after_s=wait_s)
        self._fetches_left -= 1.0


def _usable(jwk: object) -> tuple[str | None, str | None, Key] | None:
    """A public key for signatures, with its id and algorithm. None: it is none of a kind that is accepted."""
    if not isinstance(jwk, dict) or jwk.get("kty") not in ("RSA", "EC", "OKP") or jwk.get("use", "sig") != "sig":
        return None
    kid, algorithm = jwk.get("kid"), jwk.get("alg")
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    key = _imported(jwk)
    if key is None or (jwk["kty"] == "RSA" and _rsa_bits(key) < MIN_RSA_BITS):
        return None
    return kid, algorithm, key


def _imported(jwk: Mapping[str, Any]) -> Key | None:
    try:
        from joserfc.errors import JoseError
        from joserfc.jwk import import_key
    except ImportError as error:
        raise ExtraMissing("joserfc", "services") from error
    public = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
    try:
        key: Key = import_key(public)
        key.get_op_key("verify")  # a point that is not on its curve shows itself here
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key


def _rsa_bits(key: Key) -> int:
    return int(getattr(key.get_op_key("verify"), "key_size", 0))


def _fits(key: Key, algorithm: str) -> bool:
    """Whether the algorithm is made for such a key: a token must not choose how its key is used."""
    if algorithm[:2] in ("RS", "PS"):
        return key.key_type == "RSA"
    return getattr(key, "curve_name", None) == _CURVES.get(algorithm, "")
