"""What passed its tests is recorded in git by the guard, signed, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.delivery.git import cloned
from journeymesh.delivery.guard import Did, Guard
from journeymesh.delivery.passing import recorder
from journeymesh.delivery.release.evidence import passed
from journeymesh.delivery.release.keys import KeyUnusable, NoTrustedKeys, SigningKey, make_key_pair, trusted_keys
from journeymesh.delivery.tree import Tree
from tests.unit.delivery.released import PASSED, Argo, Repository, shown_application

OVERLAY = "greeter/overlays/dev/kustomization.yaml"
DIGEST = f"sha256:{'7' * 64}"
PINNED = f"images:\n- name: greeter\n  newName: registry.invalid/greeter\n  digest: {DIGEST}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit("Begin", {OVERLAY: PINNED})
    return made


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.read(make_key_pair(tmp_path / "keys")[0])


def trust(repository: Repository, tmp_path: Path) -> None:
    public = (tmp_path / "keys").glob("*.pub")
    repository.commit("Trust the guard", {"../../release/keys/guard.pub": next(public).read_text()})


def test_evidence_is_pushed_once_and_holds(repository: Repository, key: SigningKey, tmp_path: Path) -> None:
    trust(repository, tmp_path)
    synced = repository.head()
    argo = Argo(shown_application(good=synced, revision=synced, phase="Succeeded", resources=[PASSED]))
    with cloned(str(repository.bare)) as clone:
        for _ in range(2):
            guard = Guard(clone, argo, "dev", push=True, on_passed=recorder(clone, "dev", key))
            assert Did.passed in [step.did for step in guard.turn()]
        tree = Tree(clone.folder)
        assert passed(tree, "dev", "greeter", DIGEST, trusted_keys(tree)).revision == synced
    assert repository.log() == ["Record that greeter passed in dev", "Trust the guard", "Begin"]


def test_a_key_that_nobody_trusts_is_refused_at_once(repository: Repository, key: SigningKey) -> None:
    with cloned(str(repository.bare)) as clone, pytest.raises((KeyUnusable, NoTrustedKeys)):
        recorder(clone, "dev", key)


def test_evidence_that_could_not_be_pushed_is_told_and_tried_again(repository: Repository) -> None:
    from journeymesh.delivery.git import PushRefused

    refusals = [PushRefused("somebody was faster")]

    def record(service: str, digest: str, revision: str) -> None:
        if refusals:
            raise refusals.pop()

    synced = repository.head()
    argo = Argo(shown_application(good=synced, revision=synced, phase="Succeeded", resources=[PASSED]))
    with cloned(str(repository.bare)) as clone:
        guard = Guard(clone, argo, "dev", push=True, on_passed=record)
        assert [step.did for step in guard.turn()] == [Did.left]
        assert [step.did for step in guard.turn()] == [Did.passed]
