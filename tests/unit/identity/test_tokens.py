"""What is accepted as a token, and every way of forging one that is known."""

from __future__ import annotations

import base64
import json

import pytest
from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry

from journeymesh.identity.identity import TokenRefused
from journeymesh.identity.keys import KeyRing
from journeymesh.identity.tokens import (
    ALGORITHMS,
    MAX_TOKEN_BYTES,
    TokenRefusal,
    TokenRules,
    read_unverified,
    text_claim,
    texts_claim,
    token_digest,
    verified_claims,
)
from tests.support.tokens_made import (
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    NOW_S,
    RSA,
    claims,
    jwks,
    part,
    signed,
    signed_with_secret,
    unsigned,
)

RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)


class Published:
    """Keys of a set, as a provider publishes them."""

    def __init__(self, *keys: Key) -> None:
        ring = KeyRing.of_jwks(jwks(*keys))
        assert ring is not None
        self.ring = ring
        self.looked_for: list[str | None] = []

    def find(self, kid: str | None, algorithm: str) -> Key:
        self.looked_for.append(kid)
        key = self.ring.find(kid, algorithm)
        if key is None:
            raise TokenRefused(TokenRefusal.KEY)
        return key


def refusal(token: str, *keys: Key, rules: TokenRules = RULES) -> str:
    with pytest.raises(TokenRefused) as refused:
        verified_claims(token, Published(*(keys or (RSA, EC, ED))), rules, now_s=lambda: NOW_S)
    return refused.value.reason


def accepted(token: str) -> dict[str, object]:
    return dict(verified_claims(token, Published(RSA, EC, ED), RULES, now_s=lambda: NOW_S))


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "Ed25519"])
def test_a_token_of_its_provider_is_accepted(key: Key) -> None:
    assert accepted(signed(key)) == claims()


def test_an_audience_may_be_one_of_several() -> None:
    assert accepted(signed(aud=["account", AUDIENCE]))["aud"] == ["account", AUDIENCE]


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "ES256K", "EdDSA", "RSA1_5"]
)
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_no_algorithm_but_the_asymmetric_ones_is_accepted(algorithm: str, signature: str) -> None:
    assert refusal(unsigned(algorithm, signature)) == TokenRefusal.ALGORITHM


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RSA", "EC", "Ed25519"])
def test_a_public_key_is_no_secret_to_sign_with(key: Key) -> None:
    for secret in (key.as_pem(private=False), json.dumps(key.as_dict(private=False)).encode()):
        assert refusal(signed_with_secret(secret, key.kid)) == TokenRefusal.ALGORITHM


def test_rules_cannot_admit_a_symmetric_algorithm() -> None:
    with pytest.raises(ValueError, match="asymmetric"):
        TokenRules(issuer=ISSUER, audience=AUDIENCE, algorithms=frozenset({"HS256"}))


def test_a_changed_claim_breaks_the_signature() -> None:
    header, _, signature = signed(domains=["pricing"]).split(".")
    assert refusal(f"{header}.{part(claims(domains=['claims']))}.{signature}") == TokenRefusal.SIGNATURE


def test_a_stripped_or_foreign_signature_does_not_hold() -> None:
    header, said, _ = signed().split(".")
    other = signed(jti="other").split(".")[2]
    for signature in ("", "AAAA", other, "=", "!!"):
        assert refusal(f"{header}.{said}.{signature}") == TokenRefusal.SIGNATURE


def test_a_key_of_the_same_name_but_another_hand_does_not_hold() -> None:
    assert refusal(signed(ECKey.generate_key("P-256", {"kid": EC.kid}))) == TokenRefusal.SIGNATURE


def test_a_key_id_does_not_choose_how_another_key_is_used() -> None:
    assert refusal(signed(RSA, {"kid": EC.kid})) == TokenRefusal.KEY
    assert refusal(signed(EC, {"kid": RSA.kid})) == TokenRefusal.KEY
    assert refusal(signed(RSA, {"alg": "PS256"})) == TokenRefusal.KEY  # the provider published it for RS256
    assert refusal(signed(ECKey.generate_key("P-384", {"kid": EC.kid}), {"alg": "ES384"})) == TokenRefusal.KEY


@pytest.mark.parametrize("kid", ["../../../etc/passwd", "' OR 1=1 --", "", "EC-1", "x" * 4000])
def test_a_strange_key_id_is_only_a_key_that_is_not_known(kid: str) -> None:
    assert refusal(signed(EC, {"kid": kid})) == TokenRefusal.KEY


def test_a_key_id_that_is_no_text_is_malformed() -> None:
    text = f"{part({'alg': 'ES256', 'kid': ['ec-1']})}.{part(claims())}.AAAA"
    assert refusal(text) == TokenRefusal.MALFORMED


def test_a_token_without_key_id_holds_only_where_one_key_fits() -> None:
    assert refusal(signed(EC, {"kid": None}), EC, ECKey.generate_key("P-256", {"kid": "ec-2"})) == TokenRefusal.KEY
    assert accepted(signed(EC, {"kid": None})) == claims()


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_keys_that_a_token_brings_along_are_not_looked_at(name: str) -> None:
    strangers = ECKey.generate_key("P-256", {"kid": "ec-1"})
    brought = {
        "jwk": strangers.as_dict(private=False),
        "jku": "https://stranger.example/keys",
        "x5u": "https://stranger.example/certificate",
        "x5c": ["MIIB"],
    }[name]
    assert refusal(signed(strangers, {name: brought})) == TokenRefusal.SIGNATURE
    assert accepted(signed(EC, {name: brought})) == claims()  # ignored, not believed


@pytest.mark.parametrize("critical", [["exp"], ["b64"], ["http://example.invalid/unknown"], [], "b64", None])
def test_a_header_that_must_be_understood_is_not(critical: object) -> None:
    header = {"alg": "ES256", "kid": "ec-1", "crit": critical, "b64": False}
    assert refusal(f"{part(header)}.{part(claims())}.AAAA") == TokenRefusal.CRITICAL_HEADER
    if critical:
        assert refusal(signed(EC, {"crit": critical})) == TokenRefusal.CRITICAL_HEADER


def test_other_kinds_of_tokens_are_not_access_tokens() -> None:
    for kind in ("logout+jwt", "dpop+jwt", "JWE", 7):
        assert refusal(signed(EC, {"typ": kind}) if isinstance(kind, str) else _typed(kind)) == TokenRefusal.KIND
    assert accepted(signed(EC, {"typ": "at+jwt"})) == claims()
    assert accepted(signed(EC, {"typ": None})) == claims()


def _typed(kind: object) -> str:
    return f"{part({'alg': 'ES256', 'kid': 'ec-1', 'typ': kind})}.{part(claims())}.AAAA"


@pytest.mark.parametrize(
    "issuer", ["https://identity.example/realms/other", ISSUER + "/", ISSUER.upper(), "", None, [ISSUER], 7]
)
def test_another_issuer_is_refused_before_a_key_is_looked_for(issuer: object) -> None:
    keys = Published(EC)
    with pytest.raises(TokenRefused) as refused:
        verified_claims(signed(iss=issuer), keys, RULES, now_s=lambda: NOW_S)
    assert refused.value.reason == TokenRefusal.ISSUER
    assert keys.looked_for == []


@pytest.mark.parametrize(
    "audience", ["account", "", None, [], ["account"], [[AUDIENCE]], {AUDIENCE: 1}, "journeymesh2"]
)
def test_a_token_for_somebody_else_is_refused(audience: object) -> None:
    assert refusal(signed(aud=audience)) == TokenRefusal.AUDIENCE


def test_dates_hold_with_ten_seconds_of_difference_between_clocks() -> None:
    assert accepted(signed(exp=NOW_S - 9))
    assert refusal(signed(exp=NOW_S - 10)) == TokenRefusal.EXPIRED
    assert accepted(signed(nbf=NOW_S + 10))
    assert refusal(signed(nbf=NOW_S + 11)) == TokenRefusal.NOT_YET_VALID
    assert refusal(signed(iat=NOW_S + 11)) == TokenRefusal.NOT_YET_VALID


@pytest.mark.parametrize("expires", [None, "2100-01-01", True, [NOW_S + 9], {}, "1900000000"])
def test_a_token_that_does_not_say_when_it_ends_is_malformed(expires: object) -> None:
    assert refusal(signed(exp=expires)) == TokenRefusal.MALFORMED


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "-Infinity", "9" * 400, "-" + "9" * 400])
def test_a_date_without_end_is_malformed(number: str) -> None:
    said = json.dumps(claims(exp="AT")).replace('"AT"', number)
    header = part({"alg": "ES256", "kid": "ec-1"})
    text = f"{header}.{base64.urlsafe_b64encode(said.encode()).decode().rstrip('=')}"
    signature = JWSRegistry(algorithms=["ES256"]).get_alg("ES256").sign(text.encode(), EC)
    token = f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert refusal(token) == TokenRefusal.MALFORMED


@pytest.mark.parametrize(
    "garbage",
    ["x", "..", "a.b", "a.b.c.d", "....", " . . ", "é.é.é", "\ud800.a.a", "e30.e30.", "W10.W10.AA", "bnVsbA.e30.AA"],
)
def test_what_is_no_token_is_malformed(garbage: str) -> None:
    assert refusal(garbage) in (TokenRefusal.MALFORMED, TokenRefusal.ALGORITHM)


def test_no_token_is_missing_and_a_huge_one_is_not_read() -> None:
    assert refusal("") == TokenRefusal.MISSING
    assert refusal("a" * (MAX_TOKEN_BYTES + 1)) == TokenRefusal.TOO_LARGE
    assert refusal(signed(padding="x" * MAX_TOKEN_BYTES)) == TokenRefusal.TOO_LARGE


def test_a_deeply_nested_token_is_malformed_and_harms_nobody() -> None:
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}").decode().rstrip("=")
    assert refusal(f"{part({'alg': 'ES256'})}.{deep}.AA") == TokenRefusal.MALFORMED
    assert refusal(f"{deep}.{part(claims())}.AA") == TokenRefusal.MALFORMED


def test_an_encrypted_token_is_no_access_token() -> None:
    assert refusal(".".join([part({"alg": "dir", "enc": "A128GCM"}), "", "AA", "AA", "AA"])) == TokenRefusal.MALFORMED


@pytest.mark.filterwarnings("ignore:Key size")
def test_weak_secret_and_foreign_keys_of_a_set_are_left_out() -> None:
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    private = EC.as_dict(private=True)
    ring = KeyRing.of_jwks(
        {
            "keys": [
                {**weak.as_dict(private=False), "kid": "weak"},
                {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
                {**RSA.as_dict(private=False), "kid": "encryption", "use": "enc"},
                {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-curve"},
                {**private, "kid": "whole"},
                "no key",
                None,
            ]
        }
    )
    assert ring is not None
    for kid, algorithm in (("weak", "RS256"), ("secret", "HS256"), ("encryption", "RS256"), ("off-curve", "ES256")):
        assert ring.find(kid, algorithm) is None
    found = ring.find("whole", "ES256")
    assert found is not None
    assert not found.is_private


@pytest.mark.parametrize(
    "garbage", [None, [], "x", {}, {"keys": None}, {"keys": []}, {"keys": [{}] * 65}, {"keys": [1]}]
)
def test_what_is_no_key_set_is_none(garbage: object) -> None:
    assert KeyRing.of_jwks(garbage) is None


def test_a_key_that_is_published_for_no_algorithm_in_particular_serves_those_of_its_kind() -> None:
    ring = KeyRing.of_jwks({"keys": [{**key.as_dict(private=False), "kid": key.kid} for key in (RSA, EC, ED)]})
    assert ring is not None
    fitting = {
        (kid, algorithm)
        for kid in ("rsa-1", "ec-1", "ed-1")
        for algorithm in (*ALGORITHMS, "HS256", "none", "EdDSA", "")
        if ring.find(kid, algorithm) is not None
    }
    rsa = {("rsa-1", f"{family}{bits}") for family in ("RS", "PS") for bits in (256, 384, 512)}
    assert fitting == rsa | {("ec-1", "ES256"), ("ed-1", "Ed25519")}


def test_two_keys_of_one_name_are_nobodys() -> None:
    ring = KeyRing.of_jwks(jwks(EC, ECKey.generate_key("P-256", {"kid": EC.kid})))
    assert ring is not None
    assert ring.find(EC.kid, "ES256") is None


def test_a_text_claim_is_one_text_or_refused() -> None:
    assert text_claim({"tenant": "north"}, "tenant", TokenRefusal.TENANT) == "north"
    assert text_claim({"tenant": ["north"]}, "tenant", TokenRefusal.TENANT) == "north"
    for value in (None, "", [], ["north", "south"], 7, [7], {"north": 1}):
        with pytest.raises(TokenRefused, match="tenant_unclear"):
            text_claim({"tenant": value}, "tenant", TokenRefusal.TENANT)


def test_a_claim_of_texts_leaves_out_what_is_none() -> None:
    assert texts_claim({"domains": ["pricing", 7, "", "claims"]}, "domains") == {"pricing", "claims"}
    assert texts_claim({"domains": "pricing"}, "domains") == {"pricing"}
    assert texts_claim({}, "domains") == frozenset()


def test_a_digest_names_a_token_and_is_no_part_of_it() -> None:
    assert len(token_digest("a.b.c")) == 32
    assert token_digest("a.b.c") != token_digest("a.b.d")
    assert len(token_digest("\ud800")) == 32


def test_what_is_unverified_is_read_only_to_find_out_whom_to_ask() -> None:
    assert read_unverified(unsigned()).issuer == ISSUER
    assert read_unverified(unsigned(iss=["a", "b"])).issuer == ""


def test_a_refusal_says_nothing_of_the_token() -> None:
    token = signed(sub="anna.person@insurer.example", exp=NOW_S - 100)
    with pytest.raises(TokenRefused) as refused:
        verified_claims(token, Published(EC), RULES, now_s=lambda: NOW_S)
    assert str(refused.value) == "the token is refused: expired: ask the identity provider for a new token"
