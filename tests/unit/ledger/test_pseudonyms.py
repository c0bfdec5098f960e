"""Pseudonyms under a key."""

import hashlib
import hmac
from pathlib import Path

import pytest

from journeymesh.errors import UsageError
from journeymesh.ledger.pseudonyms import Pseudonyms

KEY = bytes(range(32))


def test_the_same_has_the_same_pseudonym_and_another_key_another() -> None:
    pseudonym = Pseudonyms(KEY).of("subject", "keycloak", "ann")
    assert pseudonym == hmac.digest(KEY, b"7:subject8:keycloak3:ann", hashlib.sha256)[:16].hex()
    assert Pseudonyms(KEY).of("subject", "keycloak", "ann") == pseudonym
    assert Pseudonyms(KEY[::-1]).of("subject", "keycloak", "ann") != pseudonym


def test_parts_are_told_apart() -> None:
    keyed = Pseudonyms(KEY)
    parts = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("a", "", "bc"), ("é",), ("e", "́")]
    assert len({keyed.of(*each) for each in parts}) == len(parts)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="has 31 bytes, 32 are needed"):
        Pseudonyms(KEY[1:])


def test_the_key_is_read_from_a_file_and_never_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY.hex() + "\n")
    assert Pseudonyms.from_file(file).of("a") == Pseudonyms(KEY).of("a")
    file.write_text("secret" * 20)
    with pytest.raises(UsageError) as refused:
        Pseudonyms.from_file(file)
    assert "secret" not in str(refused.value)
    assert refused.value.__suppress_context__
    with pytest.raises(UsageError, match="No such file"):
        Pseudonyms.from_file(tmp_path / "none")
    assert "0001" not in repr(Pseudonyms(KEY))
