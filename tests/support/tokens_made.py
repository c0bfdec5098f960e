"""Tokens of a provider that exists only here, and of those who pretend to be it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

ISSUER = "https://identity.example/realms/insurer"
AUDIENCE = "journeymesh"
NOW_S = 1_800_000_000.0

RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
ALGORITHM_OF = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}


def claims(**others: Any) -> dict[str, Any]:
    """What an analyst's token says, with changes; a value of None leaves the claim out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "anna",
        "exp": NOW_S + 300,
        "iat": NOW_S,
        "tenant": "northgate",
        "domains": ["pricing"],
        **others,
    }
    return {name: value for name, value in said.items() if value is not None}


def signed(key: Key = EC, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token that this key signed. ``header`` changes the header likewise."""
    algorithm = (header or {}).get("alg") or ALGORITHM_OF[key.key_type]
    whole = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **(header or {})}
    whole = {name: value for name, value in whole.items() if value is not None}
    crit_free = {name: value for name, value in whole.items() if name != "crit"}
    if "crit" in whole:  # the library refuses to write what nobody understands; so it is written by hand
        return _by_hand(whole, claims(**changed), key)
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jws.serialize_compact(crit_free, json.dumps(claims(**changed)).encode(), key, registry=registry)


def signed_with_secret(secret: bytes, kid: str | None, **changed: Any) -> str:
    """An HS256 token, made by hand: libraries refuse a public key as a secret."""
    header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
    text = f"{part(header)}.{part(claims(**changed))}"
    return f"{text}.{_encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def unsigned(algorithm: str = "none", signature: str = "", **changed: Any) -> str:
    """A token that nobody signed."""
    return f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': EC.kid})}.{part(claims(**changed))}.{signature}"


def part(said: object) -> str:
    """A token's part that says this."""
    return _encoded(json.dumps(said).encode())


def jwks(*keys: Key) -> dict[str, Any]:
    """The set of public keys that a provider publishes."""
    return {
        "keys": [
            {**key.as_dict(private=False), "kid": key.kid, "use": "sig", "alg": ALGORITHM_OF[key.key_type]}
            for key in keys
        ]
    }


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _by_hand(header: dict[str, Any], said: dict[str, Any], key: Key) -> str:
    from joserfc.jws import JWSRegistry

    text = f"{part(header)}.{part(said)}"
    algorithm = JWSRegistry(algorithms=[header["alg"]]).get_alg(header["alg"])
    return f"{text}.{_encoded(algorithm.sign(text.encode(), key))}"
