"""Roots and the Secrets' Application are nobody's service: the guard keeps them healing too, and reverts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.git import Clone, cloned
from journeymesh.delivery.guard import Did, Guard
from tests.support.released import Argo, Repository, shown_application

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


def healing(document: dict[str, Any], objects: int) -> dict[str, Any]:
    """The last operation was a heal of so many of three objects; a fourth is a hook."""
    known: list[dict[str, Any]] = [{"kind": "Secret", "name": f"it-{number}"} for number in range(3)]
    document["status"]["resources"] = [*known, {"kind": "Job", "name": "it", "hook": True}]
    document["status"]["operationState"]["operation"]["sync"]["resources"] = known[:objects]
    return document


@pytest.mark.parametrize("name", ROOTS)
def test_a_root_s_heal_that_fails_and_retries_is_ended(name: str, repository: Repository, clone: Clone) -> None:
    """It began while the namespace was going, without the Namespace: no attempt of it can succeed."""
    argo = Argo(healing(shown(name, repository, phase="Running"), 2))
    steps = Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn()
    assert (argo.ended, [step.did for step in steps]) == ([name], [Did.ended])


@pytest.mark.parametrize("name", ROOTS)
def test_a_whole_sync_that_retries_is_left_alone(name: str, repository: Repository, clone: Clone) -> None:
    argo = Argo(shown(name, repository, phase="Running"))
    assert Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn() == []
    assert argo.ended == []


@pytest.mark.parametrize(("objects", "begun"), [(3, True), (2, True), (1, False)])
@pytest.mark.parametrize("service", ["greeter", ""])
def test_what_a_heal_made_anew_altogether_gets_its_hooks_too(
    service: str, objects: int, begun: bool, repository: Repository, clone: Clone
) -> None:
    head = repository.head()
    well = {"phase": "Succeeded", "resources": []}
    known = shown_application(good=head, revision=head, repository=str(repository.bare), **well)
    document = healing(known if service else shown("secrets-app-dev", repository, **well), objects)
    argo = Argo(document)
    Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn()
    assert argo.begun_again == ([document["metadata"]["name"]] if begun else [])


SOON = datetime(2026, 5, 1, 8, 0, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("finished_at", "phase", "partial", "begun"),
    [
        ("2026-05-01T08:00:05Z", "Succeeded", False, True),
        ("2026-05-01T07:59:55Z", "Succeeded", False, False),
        ("2026-05-01T08:00:05Z", "Succeeded", True, False),
        ("2026-05-01T08:00:05Z", "Failed", False, False),
    ],
)
def test_what_failed_is_begun_at_once_where_what_it_lacked_may_have_come(
    finished_at: str, phase: str, partial: bool, begun: bool, repository: Repository, clone: Clone
) -> None:
    head = repository.head()
    outage = {"resources": [], "message": "namespaces dev not found"}
    failed = shown_application(good=head, revision=head, repository=str(repository.bare), **outage)
    platform = shown("root-platform-app", repository, phase=phase, finished_at=finished_at, resources=[])
    argo = Argo(failed, healing(platform, 1) if partial else platform)
    Guard(clone, argo, "dev", push=True, now=lambda: SOON).turn()
    assert argo.begun_again == (["greeter-app-dev"] if begun else [])


@pytest.mark.parametrize(("after_s", "objects", "begun"), [(5, 2, False), (15, 2, True), (15, 0, False), (65, 0, True)])
def test_a_root_s_whole_sync_comes_soon_after_a_heal_that_failed(
    after_s: int, objects: int, begun: bool, repository: Repository, clone: Clone
) -> None:
    argo = Argo(healing(shown("root-platform-app", repository), objects))
    later = datetime(2026, 5, 1, 8, 0, tzinfo=UTC) + timedelta(seconds=after_s)
    Guard(clone, argo, "dev", push=True, now=lambda: later).turn()
    assert bool(argo.begun_again) is begun


@pytest.mark.parametrize(("objects", "ended"), [(2, True), (1, False)])
def test_a_heal_that_makes_a_service_anew_is_ended_for_a_whole_sync(
    objects: int, ended: bool, repository: Repository, clone: Clone
) -> None:
    """It may run for minutes: pods wait for the databases that only hooks make."""
    head = repository.head()
    under_way = {"phase": "Running", "finished_at": None, "resources": []}
    known = shown_application(good=head, revision=head, repository=str(repository.bare), **under_way)
    argo = Argo(healing(known, objects))
    Guard(clone, argo, "dev", push=True, now=lambda: LATE).turn()
    assert argo.ended == (["greeter-app-dev"] if ended else [])
