"""What a JSON Web Token says, once its signature, issuer, audience and dates hold. Anything else is refused.

Only what is needed is accepted: compact form, a signature by an asymmetric algorithm, and a key that its provider
publishes. What a token says of keys by itself (``jwk``, ``jku``, ``x5c``, ``x5u``) is never looked at.
"""

from __future__ import annotations

import binascii
import hashlib
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from journeymesh.errors import ExtraMissing
from journeymesh.identity.identity import TokenRefused

if TYPE_CHECKING:
    from joserfc.jwk import Key

ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"}
)
"""Asymmetric ones only: whoever can check a token cannot make one."""

MAX_TOKEN_BYTES: Final = 16 * 1024
"""Longer than a header may be in most servers; what is longer was not made by a provider of ours."""

_NO_DATE_S: Final = 253_402_214_400.0
"""The last day of the calendar, 9999-12-31, with room for leeway. A later instant is no date, and cannot be shown."""

ACCESS_TOKENS: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The types of access tokens. Keycloak's and Kubernetes' are plain ``JWT``."""


class TokenRefusal(StrEnum):
    """Why tokens are refused: all words there are, fit for metrics and the audit."""

    MISSING = "missing"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm_not_accepted"
    CRITICAL_HEADER = "critical_header"
    KIND = "not_an_access_token"
    ISSUER = "issuer_unknown"
    KEY = "key_unknown"
    SIGNATURE = "signature_wrong"
    AUDIENCE = "audience_wrong"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    SUBJECT = "subject_unknown"
    TENANT = "tenant_unclear"
    INACTIVE = "no_longer_active"


class KeySource(Protocol):
    """A provider's public keys."""

    def find(self, kid: str | None, algorithm: str) -> Key:
        """The one key that a token with this header is checked with.

        Raises:
            TokenRefused: there is none, or more than one. ProviderUnavailable: nobody can say at this moment.
        """


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """What a token claims of itself. Good for finding out whom to ask, and for nothing else."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """Who is said to have issued it; empty: not said."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token has to say. ``leeway_s``: how far our clock and the issuer's may differ; ``types``: the ``typ`` that
    its header may have, in lower case."""

    issuer: str
    audience: str
    leeway_s: float = 10.0
    algorithms: frozenset[str] = ALGORITHMS
    types: frozenset[str] = ACCESS_TOKENS

    def __post_init__(self) -> None:
        if not self.algorithms <= ALGORITHMS:
            raise ValueError("only asymmetric algorithms are accepted")


class Bearer(str):
    """A token with its digest: a request's token is looked up several times."""

    __slots__ = ("digest",)
    digest: bytes

    @classmethod
    def of(cls, token: str) -> Bearer:
        """The token, digested once."""
        made = cls(token)
        made.digest = _digest_of(token)
        return made


def token_digest(token: str) -> bytes:
    """Names the token without being it; 32 bytes."""
    return token.digest if type(token) is Bearer else _digest_of(token)


def _digest_of(token: str) -> bytes:
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def read_unverified(token: str) -> UnverifiedToken:
    """Header and claims as the token states them.

    Raises:
        TokenRefused: it is no token in compact form.
    """
    if not token:
        raise TokenRefused(TokenRefusal.MISSING)
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused(TokenRefusal.TOO_LARGE)
    parts = token.split(".")
    if len(parts) != 3 or not all(parts[:2]):
        raise TokenRefused(TokenRefusal.MALFORMED)
    return UnverifiedToken(_json_object(parts[0]), _json_object(parts[1]))


def verified_claims(
    token: str, keys: KeySource, rules: TokenRules, *, now_s: Callable[[], float] = time.time
) -> Mapping[str, Any]:
    """The token's claims. Its signature, issuer, audience and dates hold.

    Raises:
        TokenRefused: something does not hold. ProviderUnavailable: its key cannot be fetched at this moment.
    """
    unverified = read_unverified(token)
    algorithm, kid = _checked_header(unverified.header, rules)
    if unverified.issuer != rules.issuer:  # before a key is looked for: a stranger's token costs no fetch
        raise TokenRefused(TokenRefusal.ISSUER)
    _check_signature(token, keys.find(kid, algorithm), algorithm)
    _check_claims(unverified.claims, rules, now_s())
    return unverified.claims


def expires_at_s(claims: Mapping[str, Any], rules: TokenRules) -> float:
    """Seconds since 1970 UTC after which these verified claims no longer count."""
    return float(claims["exp"]) + rules.leeway_s


def text_claim(claims: Mapping[str, Any], name: str, refusal: TokenRefusal) -> str:
    """A claim that has to be one text: given as such, or as a list of one.

    Raises:
        TokenRefused: it is absent, empty, of another type, or there are several.
    """
    value = claims.get(name)
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if not isinstance(value, str) or not value:
        raise TokenRefused(refusal)
    return value


def texts_claim(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """A claim that is a list of texts, or one text. What is none is left out: it would only have given more."""
    value = claims.get(name)
    values = value if isinstance(value, list) else [value]
    return frozenset(each for each in values if isinstance(each, str) and each)


def _json_object(part: str) -> dict[str, Any]:
    """A token's part as the JSON object that it has to be."""
    try:
        raw = urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (binascii.Error, UnicodeError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise TokenRefused(TokenRefusal.MALFORMED) from error


def _checked_header(header: Mapping[str, Any], rules: TokenRules) -> tuple[str, str | None]:
    """The header's algorithm and key id."""
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise TokenRefused(TokenRefusal.ALGORITHM)
    if "crit" in header:  # extensions that must be understood (RFC 7515, 4.1.11); none is
        raise TokenRefused(TokenRefusal.CRITICAL_HEADER)
    if not isinstance(kind, str) or kind.lower() not in rules.types:
        raise TokenRefused(TokenRefusal.KIND)
    if kid is not None and not isinstance(kid, str):
        raise TokenRefused(TokenRefusal.MALFORMED)
    return algorithm, kid


def _check_signature(token: str, key: Key, algorithm: str) -> None:
    try:
        from joserfc import jws
        from joserfc.errors import JoseError
    except ImportError as error:
        raise ExtraMissing("joserfc", "services") from error
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise TokenRefused(TokenRefusal.SIGNATURE) from error


def _check_claims(claims: Mapping[str, Any], rules: TokenRules, now_s: float) -> None:
    audience = claims.get("aud")
    if rules.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused(TokenRefusal.AUDIENCE)
    check_dates(claims, rules, now_s)


def check_dates(claims: Mapping[str, Any], rules: TokenRules, now_s: float) -> None:
    """Nothing, where the dates hold at ``now_s``, seconds since 1970 UTC.

    Raises:
        TokenRefused: it has expired, is not valid yet, or does not say until when it is.
    """
    expires_s = _seconds(claims, "exp")
    if expires_s is None:  # a token that never ends is none of ours
        raise TokenRefused(TokenRefusal.MALFORMED)
    if now_s >= expires_s + rules.leeway_s:
        raise TokenRefused(TokenRefusal.EXPIRED)
    for name in ("nbf", "iat"):
        begins_s = _seconds(claims, name)
        if begins_s is not None and now_s < begins_s - rules.leeway_s:
            raise TokenRefused(TokenRefusal.NOT_YET_VALID)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """A date of the token; None: it has none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _NO_DATE_S:
        raise TokenRefused(TokenRefusal.MALFORMED)
    return float(value)
