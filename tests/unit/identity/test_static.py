"""People in a file: what it may say, what it may not, and tokens minted from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from journeymesh.errors import UsageError
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.static import (
    PeopleInvalid,
    PersonUnknown,
    StaticProvider,
    StaticSettings,
    create_key,
    read_people,
)

ANNA = """
people:
  anna:
    tenant: northgate
    domains: [pricing]
    capabilities:
      journeys: [product:read, journeys:read]
"""


def provider(folder: Path, text: str = ANNA, now_s: float = 1000.0) -> StaticProvider:
    (folder / "people.yaml").write_text(text)
    if not (folder / "key.pem").exists():
        create_key(folder / "key.pem")
    return StaticProvider(
        "static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem"), now_s=lambda: now_s
    )


def test_a_minted_token_holds_until_it_expires(tmp_path: Path) -> None:
    minted = provider(tmp_path).mint("anna", ttl_s=60)
    assert provider(tmp_path, now_s=1069).identify(minted).expires_at_s == 1070
    with pytest.raises(TokenRefused, match="expired"):
        provider(tmp_path, now_s=1070).identify(minted)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521"])
def test_a_key_on_an_elliptic_curve_does_as_well(tmp_path: Path, curve: str) -> None:
    (tmp_path / "key.pem").write_bytes(ECKey.generate_key(curve).as_pem(private=True))  # type: ignore[arg-type]
    static = provider(tmp_path)
    assert static.identify(static.mint("anna")).subject == "anna"


def test_with_a_public_key_tokens_are_checked_but_not_minted(tmp_path: Path) -> None:
    token = provider(tmp_path).mint("anna")
    whole = OKPKey.import_key((tmp_path / "key.pem").read_bytes())
    (tmp_path / "key.pem").write_bytes(whole.as_pem(private=False))
    static = provider(tmp_path)
    assert static.identify(token).subject == "anna"
    with pytest.raises(UsageError, match="public key"):
        static.mint("anna")


def test_only_people_of_the_file_get_a_token_and_none_for_ever(tmp_path: Path) -> None:
    static = provider(tmp_path)
    with pytest.raises(PersonUnknown, match="known: anna"):
        static.mint("bert")
    for ttl_s in (0, -1, 86_401, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="cannot hold"):
            static.mint("anna", ttl_s=ttl_s)


def test_a_file_that_becomes_wrong_lets_nobody_in_until_it_is_mended(tmp_path: Path) -> None:
    static = provider(tmp_path)
    token = static.mint("anna")
    (tmp_path / "people.yaml").write_text("people: [")
    with pytest.raises(ProviderUnavailable, match="cannot be used"):
        static.identify(token)
    assert not static.state().ready
    (tmp_path / "people.yaml").write_text(ANNA)
    assert static.identify(token).subject == "anna"
    assert static.state().ready


def test_who_moves_to_another_tenant_is_not_judged_by_the_former_one(tmp_path: Path) -> None:
    static = provider(tmp_path)
    token = static.mint("anna")
    identity = static.identify(token)
    (tmp_path / "people.yaml").write_text(ANNA.replace("northgate", "southgate"))
    with pytest.raises(TokenRefused, match="no_longer_active"):
        static.capabilities(token, identity, "journeys")
    assert static.identify(token).tenant == "southgate"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("people: {anna: {}}", "tenant"),
        ("people: {anna: {tenant: ''}}", "a name and a tenant are needed"),
        ("people: {anna: {tenant: n, role: analyst}}", "role"),
        ("people: {anna: {tenant: n, capabilities: {journeys: ['journeys:*']}}}", "there is no capability journeys:"),
        ("people: {anna: {tenant: n, capabilities: {everything: ['journeys:read']}}}", "journeys, platform"),
        ("people: {anna: {tenant: n, domains: pricing}}", "domains"),
        ("persons: {}", "persons"),
        ("[]", "object"),
        ("people: !!python/object/apply:os.getcwd []", "not YAML"),
        ("people: {1: {tenant: n}}", "str"),
    ],
)
def test_a_wrong_file_is_told_by_what_is_wrong_in_it(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "people.yaml").write_text(text)
    with pytest.raises(PeopleInvalid, match=r"people\.yaml: .*") as raised:
        read_people(tmp_path / "people.yaml")
    assert told in str(raised.value)


def test_an_absent_file_and_a_key_of_another_kind_say_so(tmp_path: Path) -> None:
    with pytest.raises(PeopleInvalid, match="cannot be read"):
        read_people(tmp_path / "absent.yaml")
    for pem in (b"no key", RSAKey.generate_key(2048).as_pem(private=True), b""):
        (tmp_path / "key.pem").write_bytes(pem)
        with pytest.raises(PeopleInvalid, match="not an EC or Ed25519 key"):
            provider(tmp_path)
    (tmp_path / "key.pem").unlink()
    with pytest.raises(PeopleInvalid, match="cannot be read"):
        StaticProvider("static", StaticSettings(people=tmp_path / "people.yaml", key=tmp_path / "key.pem"))


def test_a_new_key_is_its_owners_only_and_never_replaces_one(tmp_path: Path) -> None:
    create_key(tmp_path / "key.pem")
    assert os.stat(tmp_path / "key.pem").st_mode & 0o777 == 0o600
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        create_key(tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_bytes() == before
    with pytest.raises(UsageError, match="cannot be written"):
        create_key(tmp_path / "absent" / "key.pem")


def test_a_token_that_names_a_key_is_not_of_this_provider(tmp_path: Path) -> None:
    from joserfc import jwt

    key = OKPKey.import_key((provider(tmp_path), (tmp_path / "key.pem").read_bytes())[1])
    said = {"iss": "https://static.journeymesh.invalid", "aud": "journeymesh", "sub": "anna", "exp": 2000}
    token = jwt.encode({"alg": "Ed25519", "kid": "other"}, said, key, algorithms=["Ed25519"])
    with pytest.raises(TokenRefused, match="key_unknown"):
        provider(tmp_path).identify(token)
