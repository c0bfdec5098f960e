"""What a record's digest is taken over."""

import hashlib

import pytest

from journeymesh.ledger.chain import canonical, genesis, link


def test_the_digest_can_be_reckoned_by_hand() -> None:
    first = genesis("api")
    assert first == hashlib.sha256(b"journeymesh audit 1\napi").digest()
    line = b"1 17 13 2 decision.maded1\n"
    assert link(first, 1, 17, "decision.made", "d1", b"{}") == hashlib.sha256(first + line + b"{}").digest()
    assert link(first, 1, 17, "k", None, b"{}") == hashlib.sha256(first + b"1 17 1 -1 k\n{}").digest()


def test_nothing_can_move_from_one_column_to_the_next() -> None:
    forms = [
        (11, 7, "ab", "c", b"d"),
        (1, 17, "ab", "c", b"d"),
        (1, 7, "a", "bc", b"d"),
        (1, 7, "abc", "", b"d"),
        (1, 7, "abc", None, b"d"),
        (1, 7, "ab", "c\nd", b""),
        (1, 7, "ab", "c", b"\nd"),
    ]
    assert len({link(b"", *form) for form in forms}) == len(forms)


def test_equal_bodies_have_equal_bytes() -> None:
    assert canonical({"b": 1, "a": {"d": 2, "c": 3}}) == canonical({"a": {"c": 3, "d": 2}, "b": 1})
    assert canonical({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(TypeError):
        canonical({"a": object()})
