"""What the guard does about a release whose sync failed, with real repositories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journeymesh.delivery.git import Clone, cloned
from journeymesh.delivery.guard import Did, Guard
from journeymesh.delivery.reverting import BadRelease, revert
from tests.support.released import Argo, Repository, shown_application

OVERLAY = "greeter/overlays/dev/kustomization.yaml"
BASE = "greeter/base/deployment.yaml"
TEST_OVERLAY = "greeter/overlays/test/kustomization.yaml"
OTHER = "payer/overlays/dev/kustomization.yaml"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.commit(
        "Begin", {OVERLAY: "image: one\n", BASE: "replicas: 2\n", TEST_OVERLAY: "image: one\n", OTHER: "a: 1\n"}
    )
    return made


@pytest.fixture
def clone(repository: Repository) -> Iterator[Clone]:
    with cloned(str(repository.bare)) as made:
        yield made


def guarded(clone: Clone, *shown: dict, push: bool = True) -> tuple[list[Did], Argo]:
    """One turn of a guard that begins anew, as after a restart."""
    argo = Argo(*shown)
    return [step.did for step in Guard(clone, argo, "dev", push=push).turn()], argo


def test_a_release_whose_sync_failed_is_reverted_with_its_reason(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    did, argo = guarded(clone, shown_application(good=good, revision=bad))
    assert Did.reverted in did
    assert repository.shown(OVERLAY) == "image: one"
    assert repository.log() == ['Revert "Release two"', "Release two", "Begin"]
    message = repository.message()
    assert f"This reverts commit {bad}." in message
    assert "greeter-app-dev" in message
    assert "Job greeter-e2e-candidate: Job has reached the specified backoff limit" in message
    assert "greeter-app-dev" in argo.refreshed


def test_a_second_turn_and_a_second_guard_do_nothing_more(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    shown = shown_application(good=good, revision=bad)
    guarded(clone, shown)
    after = repository.head()
    with cloned(str(repository.bare)) as another:
        assert Did.reverted not in guarded(clone, shown)[0] + guarded(another, shown)[0]
    assert repository.head() == after


def test_without_push_it_says_what_it_would_do_and_changes_nothing(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    did, _ = guarded(clone, shown_application(good=good, revision=bad), push=False)
    assert Did.would_revert in did
    assert repository.head() == bad == clone.head()


def test_others_changes_since_then_stay(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    repository.commit("Pay more", {OTHER: "a: 2\n"})
    guarded(clone, shown_application(good=good, revision=bad))
    assert (repository.shown(OVERLAY), repository.shown(OTHER)) == ("image: one", "a: 2")
    assert repository.log()[:2] == ['Revert "Release two"', "Pay more"]


def test_of_a_commit_for_two_services_only_the_failed_ones_part_is_undone(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release both", {OVERLAY: "image: two\n", OTHER: "a: 2\n"})
    guarded(clone, shown_application(good=good, revision=bad))
    assert (repository.shown(OVERLAY), repository.shown(OTHER)) == ("image: one", "a: 2")
    assert "of it what is in customization/services/greeter/base/ and" in repository.message()


def test_a_conflict_in_anothers_part_does_not_matter(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release both", {OVERLAY: "image: two\n", OTHER: "a: 2\n"})
    repository.commit("Pay otherwise", {OTHER: "a: 3\n"})
    repository.commit("Note", {"greeter/overlays/prod/note.txt": "later\n"})
    guarded(clone, shown_application(good=good, revision=bad))
    assert (repository.shown(OVERLAY), repository.shown(OTHER)) == ("image: one", "a: 3")
    assert repository.log()[0] == 'Revert "Release both"'
    assert repository.shown("greeter/overlays/prod/note.txt") == "later"


def test_a_change_of_the_base_takes_its_overlays_along(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Rename the port", {BASE: "replicas: 3\n", TEST_OVERLAY: "image: one\nport: 1\n"})
    guarded(clone, shown_application(good=good, revision=bad))
    assert (repository.shown(BASE), repository.shown(TEST_OVERLAY)) == ("replicas: 2", "image: one")


def test_files_that_the_release_added_or_deleted_are_gone_or_back(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Reshape", {"greeter/overlays/dev/patch.yaml": "x: 1\n", BASE: None})
    guarded(clone, shown_application(good=good, revision=bad))
    assert repository.shown("greeter/overlays/dev/patch.yaml") is None
    assert repository.shown(BASE) == "replicas: 2"


def test_all_commits_since_the_last_good_sync_are_reverted_newest_first(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    repository.commit("Release two", {OVERLAY: "image: two\n"})
    bad = repository.commit("Release three", {OVERLAY: "image: three\n"})
    guarded(clone, shown_application(good=good, revision=bad))
    assert repository.shown(OVERLAY) == "image: one"
    assert repository.log()[:2] == ['Revert "Release two"', 'Revert "Release three"']


def test_what_was_already_taken_back_is_not_reverted_again(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    first = repository.commit("Release two", {OVERLAY: "image: two\n"})
    guarded(clone, shown_application(good=good, revision=first))
    repository.pull()
    second = repository.commit("Release three", {OVERLAY: "image: three\n"})
    guarded(clone, shown_application(good=good, revision=second))
    assert repository.log() == [
        'Revert "Release three"',
        "Release three",
        'Revert "Release two"',
        "Release two",
        "Begin",
    ]


def test_a_release_that_is_tried_once_more_is_taken_back_once_more(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    first = repository.commit("Release two", {OVERLAY: "image: two\n"})
    guarded(clone, shown_application(good=good, revision=first))
    repository.pull()
    again = repository.commit("Release two after all", {OVERLAY: "image: two\n"})
    assert Did.reverted not in guarded(clone, shown_application(good=good, revision=again, phase="Running"))[0]
    guarded(clone, shown_application(good=good, revision=again))
    assert repository.shown(OVERLAY) == "image: one"


def test_a_merge_is_reverted_against_the_branch_it_came_to(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    repository.git("checkout", "-q", "-b", "topic")
    repository.commit("Two, first half", {OVERLAY: "image: half\n"}, push=False)
    repository.commit("Two, second half", {OVERLAY: "image: two\n"}, push=False)
    repository.git("checkout", "-q", "main")
    repository.commit("Pay more", {OTHER: "a: 2\n"})
    repository.git("merge", "-q", "--no-ff", "-m", "Merge two", "topic")
    repository.git("push", "-q", "origin", "main")
    guarded(clone, shown_application(good=good, revision=repository.head()))
    assert repository.log()[0] == 'Revert "Merge two"'
    assert (repository.shown(OVERLAY), repository.shown(OTHER)) == ("image: one", "a: 2")


def test_where_reverting_conflicts_the_folder_is_restored_in_one_commit(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    repository.git("checkout", "-q", "-b", "topic")
    repository.commit("Aside", {OVERLAY: "image: aside\n"}, push=False)
    repository.git("checkout", "-q", "main")
    repository.commit("Release two", {OVERLAY: "image: two\n"})
    repository.git("merge", "-q", "-s", "ours", "--no-ff", "-m", "Merge nothing", "topic")
    bad = repository.commit("Release three", {OVERLAY: "image: three\n"})
    found = BadRelease("greeter-app-dev", "greeter", "dev", bad, repository.git("rev-parse", "topic"), "it fell over")
    clone.freshen()
    assert revert(clone, found) == [f"Restore greeter in dev to {found.good[:12]}"]
    assert clone.text("HEAD", f"customization/services/{OVERLAY}") == "image: aside"
    assert clone.same("HEAD", good, ["customization/services/payer"])
    assert "could not be reverted one by one" in clone.git("log", "-1", "--format=%B")


def test_nobody_is_overtaken(repository: Repository, clone: Clone) -> None:
    """Somebody pushes a mend while the revert is being made: the push is refused and the mend stays."""
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    argo = Argo(shown_application(good=good, revision=bad))
    guard = Guard(clone, argo, "dev", push=True)
    pushed = clone.push

    def late() -> str:
        repository.commit("Mend two", {OVERLAY: "image: mended\n"})
        return pushed()

    type(clone).push, kept = lambda _: late(), type(clone).push  # type: ignore[method-assign]
    try:
        did = [step.did for step in guard.turn()]
    finally:
        type(clone).push = kept  # type: ignore[method-assign]
    assert Did.overtaken in did
    assert Did.reverted not in [step.did for step in guard.turn()]
    assert repository.log()[0] == "Mend two"


def test_a_newer_release_is_waited_for(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    mend = repository.commit("Mend two", {OVERLAY: "image: mended\n"})
    did, _ = guarded(clone, shown_application(good=good, revision=bad))
    assert Did.left in did
    assert repository.head() == mend


def test_a_failure_that_the_service_did_not_cause_is_left_to_people(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    moved = repository.commit("Pay more", {OTHER: "a: 2\n"})
    did, argo = guarded(clone, shown_application(good=good, revision=moved))
    assert Did.left in did
    assert repository.head() == moved
    assert argo.begun_again == ["greeter-app-dev"]


def test_a_first_release_has_nothing_to_go_back_to(repository: Repository, clone: Clone) -> None:
    did, _ = guarded(clone, shown_application(revision=repository.head()))
    assert not {Did.reverted, Did.would_revert} & set(did)


def test_another_environments_application_is_not_its_business(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {TEST_OVERLAY: "image: two\n"})
    did, _ = guarded(clone, shown_application(good=good, revision=bad, environment="test"))
    assert Did.reverted not in did
    assert repository.head() == bad


def test_a_running_sync_is_left_alone_until_its_attempts_are_used_up(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Release two", {OVERLAY: "image: two\n"})
    waits = shown_application(good=good, revision=bad, phase="Running", retries=1)
    assert Did.reverted not in guarded(clone, waits)[0]
    patient = Guard(clone, Argo(waits), "dev", push=True, attempts=2)
    assert Did.reverted not in [step.did for step in patient.turn()]
    hasty = Guard(clone, Argo(waits), "dev", push=True, attempts=1)
    assert Did.reverted in [step.did for step in hasty.turn()]
