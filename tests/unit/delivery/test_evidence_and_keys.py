from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from journeymesh.delivery.release.envelopes import EnvelopeInvalid, Statement, seal, unseal
from journeymesh.delivery.release.evidence import NeverReleased, PinnedAt, evidence_path, passed, record_passed
from journeymesh.delivery.release.keys import (
    PASSWORD_VARIABLE,
    KeyUnusable,
    NoTrustedKeys,
    SigningKey,
    make_key_pair,
    public_key,
    trusted_keys,
)
from journeymesh.errors import UsageError
from tests.support.released_trees import ONE, TWO, Checkout, git


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def record(checkout: Checkout, revision: str) -> list[Path]:
    return record_passed(
        checkout.tree, "dev", "journeyapi", PinnedAt(revision, checkout.pins("dev")), checkout.key, ["b", "a"]
    )


def test_evidence_is_the_same_file_each_time_and_is_written_once(checkout: Checkout) -> None:
    written = record(checkout, "c0ffee")
    texts = [path.read_text() for path in written]
    assert record(checkout, "another commit") == []
    for path in written:
        path.unlink()
    assert record(checkout, "c0ffee") == written
    assert [path.read_text() for path in written] == texts


def test_evidence_names_the_commit_and_who_vouches(checkout: Checkout) -> None:
    record(checkout, "c0ffee")
    seen = passed(checkout.tree, "dev", "journeyapi", ONE, checkout.trusted)
    assert (seen.revision, seen.by) == ("c0ffee", "ci.pub")


def test_evidence_with_one_letter_changed_is_refused(checkout: Checkout) -> None:
    record(checkout, "c0ffee")
    path = evidence_path(checkout.tree, "dev", "journeyapi", ONE)
    envelope = json.loads(path.read_text())
    at = len(envelope["payload"]) // 2
    other = "A" if envelope["payload"][at] != "A" else "B"
    envelope["payload"] = envelope["payload"][:at] + other + envelope["payload"][at + 1 :]
    path.write_text(json.dumps(envelope))
    with pytest.raises(EnvelopeInvalid, match="signed by no key"):
        passed(checkout.tree, "dev", "journeyapi", ONE, checkout.trusted)


@pytest.mark.parametrize(
    ("kind", "predicate", "subject", "says"),
    [
        ("https://in-toto.io/attestation/test-result/v0.1", {"result": "FAILED"}, ONE, "has result FAILED"),
        ("https://in-toto.io/attestation/test-result/v0.1", {"result": "PASSED"}, TWO, "is about another digest"),
        ("https://in-toto.io/attestation/test-result/v0.1", {"result": "PASSED"}, ONE, "is about None"),
        ("https://slsa.dev/provenance/v1", {"result": "PASSED"}, ONE, "a statement of type https://slsa.dev"),
    ],
)
def test_a_signed_statement_of_something_else_is_no_evidence(
    checkout: Checkout, kind: str, predicate: dict[str, str], subject: str, says: str
) -> None:
    path = evidence_path(checkout.tree, "dev", "journeyapi", ONE)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(seal(Statement(kind, predicate, {"x": subject}), checkout.key)))
    with pytest.raises(EnvelopeInvalid, match=says):
        passed(checkout.tree, "dev", "journeyapi", ONE, checkout.trusted)


@pytest.mark.parametrize("envelope", [None, [], {}, {"payload": "%", "signatures": [], "payloadType": ""}, "text"])
def test_what_is_no_envelope_is_refused(checkout: Checkout, envelope: object) -> None:
    with pytest.raises(EnvelopeInvalid):
        unseal(envelope, checkout.trusted)


def test_nothing_passes_that_was_never_released(checkout: Checkout) -> None:
    with pytest.raises(NeverReleased):
        record_passed(checkout.tree, "test", "journeyapi", PinnedAt("c0ffee", checkout.pins("test")), checkout.key)


def test_a_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    private, public = make_key_pair(tmp_path / "keys")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signature = SigningKey.read(private).sign(b"words")
    assert public_key(public).verifies(signature, b"words")
    assert not public_key(public).verifies(signature, b"other words")


def test_a_private_key_is_never_made_where_git_takes_it(checkout: Checkout) -> None:
    with pytest.raises(UsageError, match="inside a git repository"):
        make_key_pair(checkout.root / "release" / "keys")
    assert git(checkout.root, "status", "--porcelain") == ""
    checkout.write(".gitignore", "/.keys/\n")
    make_key_pair(checkout.root / ".keys")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key_pair(tmp_path)
    with pytest.raises(UsageError, match="never overwritten"):
        make_key_pair(tmp_path)


def test_a_password_protects_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    private, _ = make_key_pair(tmp_path)
    assert SigningKey.read(private).keyid
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(KeyUnusable, match=PASSWORD_VARIABLE):
        SigningKey.read(private)


def test_a_tree_without_keys_says_how_to_make_them(checkout: Checkout) -> None:
    (checkout.root / "release/keys/ci.pub").unlink()
    with pytest.raises(NoTrustedKeys, match="keys new"):
        trusted_keys(checkout.tree)
