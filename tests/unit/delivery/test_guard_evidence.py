"""What passed its tests is recorded in git by the guard, signed, once."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from journeymesh.delivery.git import cloned
from journeymesh.delivery.guard import Did, Guard
from journeymesh.delivery.passing import EvidenceInGit
from journeymesh.delivery.release.evidence import passed
from journeymesh.delivery.release.keys import KeyUnusable, NoTrustedKeys, SigningKey, make_key_pair, trusted_keys
from journeymesh.delivery.tree import Tree
from tests.support.released import PASSED, Argo, Repository, shown_application

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
            evidence = EvidenceInGit(clone, "dev", key)
            assert Did.passed in [step.did for step in Guard(clone, argo, "dev", push=True, evidence=evidence).turn()]
            assert evidence.has("greeter", DIGEST)
        tree = Tree(clone.folder)
        assert passed(tree, "dev", "greeter", DIGEST, trusted_keys(tree)).revision == synced
    assert repository.log() == ["Record that greeter passed in dev", "Trust the guard", "Begin"]


def test_a_key_that_nobody_trusts_is_refused_at_once(repository: Repository, key: SigningKey) -> None:
    with cloned(str(repository.bare)) as clone, pytest.raises((KeyUnusable, NoTrustedKeys)):
        EvidenceInGit(clone, "dev", key)


def test_evidence_that_could_not_be_pushed_is_told_and_tried_again(
    repository: Repository, key: SigningKey, tmp_path: Path
) -> None:
    from journeymesh.delivery.git import PushRefused

    class Overtaken(EvidenceInGit):
        refusals: ClassVar = [PushRefused("somebody was faster")]

        def record(self, service: str, digest: str, revision: str) -> None:
            if self.refusals:
                raise self.refusals.pop()
            super().record(service, digest, revision)

    trust(repository, tmp_path)
    synced = repository.head()
    argo = Argo(shown_application(good=synced, revision=synced, phase="Succeeded", resources=[PASSED]))
    with cloned(str(repository.bare)) as clone:
        guard = Guard(clone, argo, "dev", push=True, evidence=Overtaken(clone, "dev", key))
        assert [step.did for step in guard.turn()] == [Did.left]
        assert [step.did for step in guard.turn()] == [Did.passed]
