"""Roots and the Secrets' Application are nobody's service: the guard keeps them healing too, and reverts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.git import Clone, cloned
from journeymesh.delivery.guard import Did, Guard
from tests.unit.delivery.released import Argo, Repository, shown_application

LATE = datetime(2026, 5, 1, 8, 5, tzinfo=UTC)
ROOTS = {
    "root-platform-app": ("argocd", "customization/platform"),
    "root-appbundle-app-dev": ("dev", "customization/apps-children/dev"),
    "secrets-app-dev": ("dev", "customization/secrets/dev"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit("Begin", {"greeter/overlays/dev/kustomization.yaml": "kind: Kustomization\n"})
    return made


@pytest.fixture
def clone(repository: Repository) -> Iterator[Clone]:
    with cloned(str(repository.bare)) as made:
        yield made


def shown(name: str, repository: Repository, **others: Any) -> dict[str, Any]:
    namespace, path = ROOTS[name]
    head = repository.head()
    found = shown_application(good=head, revision=head, repository=str(repository.bare), **others)
    found["metadata"]["name"] = name
    found["spec"]["source"]["path"], found["spec"]["destination"]["namespace"] = path, namespace
    return found


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_whose_heal_failed_is_synced_as_a_whole(name: str, repository: Repository, clone: Clone) -> None:
    """As after `kubectl delete namespace`: the heal began without the Namespace and gave up."""
    argo = Argo(shown(name, repository))
    steps = Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn()
    assert argo.begun_again == [name]
    assert [step.did for step in steps] == [Did.again]
    assert repository.log() == ["Begin"]


@pytest.mark.parametrize("name", ROOTS)
@pytest.mark.parametrize(("phase", "finished"), [("Succeeded", "2026-05-01T08:00:00Z"), ("Running", None)])
def test_a_root_that_is_well_or_under_way_is_left_alone(
    name: str, phase: str, finished: str | None, repository: Repository, clone: Clone
) -> None:
    argo = Argo(shown(name, repository, phase=phase, finished_at=finished))
    assert Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn() == []
    assert argo.begun_again == []


def test_another_environment_s_root_is_its_own_guard_s(repository: Repository, clone: Clone) -> None:
    argo = Argo(shown("root-appbundle-app-dev", repository), shown("secrets-app-dev", repository))
    Guard(clone, argo, "test", push=True, now=lambda: LATE).turn()
    assert argo.begun_again == []


def test_a_root_is_not_begun_again_at_once(repository: Repository, clone: Clone) -> None:
    argo = Argo(shown("root-platform-app", repository))
    Guard(clone, argo, "dev", push=True, now=lambda: datetime(2026, 5, 1, 8, 0, 5, tzinfo=UTC)).turn()
    assert argo.begun_again == []
