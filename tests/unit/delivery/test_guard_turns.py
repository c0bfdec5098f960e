"""The guard's turns: refreshing, beginning again, telling who passed, signing, ending anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from journeymesh.delivery.git import Clone, Signing, cloned
from journeymesh.delivery.guard import Did, Guard
from tests.support import programs
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
def clone(repository: Repository) -> Iterator[Clone]:
    with cloned(str(repository.bare)) as made:
        yield made


def test_argo_is_asked_to_look_once_for_each_new_commit(repository: Repository, clone: Clone) -> None:
    begun = repository.head()
    argo = Argo(shown_application(good=begun, revision=begun, phase="Succeeded", repository=str(repository.bare)))
    guard = Guard(clone, argo, "dev")
    guard.turn()
    assert argo.refreshed == []
    repository.commit("Two", {OVERLAY: PINNED + "# two\n"})
    guard.turn()
    guard.turn()
    assert argo.refreshed == ["greeter-app-dev"]


def test_another_repositorys_application_is_not_refreshed(repository: Repository, clone: Clone) -> None:
    argo = Argo(shown_application(revision="f" * 40, repository="https://git.invalid/another.git"))
    Guard(clone, argo, "dev").turn()
    assert argo.refreshed == []


def test_where_a_signature_is_missed_argo_is_asked_to_verify_anew_once_a_while(
    repository: Repository, clone: Clone
) -> None:
    """Argo CD keeps what it rendered of an unsigned commit for as long as nothing that it watches changes."""
    good = repository.head()
    shown = shown_application(good=good, revision=good, phase="Succeeded", repository=str(repository.bare))
    missed = f"Target revision {good} in Git is not signed, but a signature is required"
    shown["status"]["conditions"] = [{"type": "ComparisonError", "message": missed}]
    argo, clock = Argo(shown), [datetime(2026, 5, 1, 8, 0, second, tzinfo=UTC) for second in (0, 30)]
    guard = Guard(clone, argo, "dev", now=lambda: clock[0])
    guard.turn()
    clock.reverse()
    guard.turn()
    assert argo.verified_again == ["greeter-app-dev"]
    clock[0] = datetime(2026, 5, 1, 8, 1, 0, tzinfo=UTC)
    guard.turn()
    assert argo.verified_again == ["greeter-app-dev"] * 2
    shown["status"]["conditions"] = []
    clock[0] = datetime(2026, 5, 1, 8, 9, 0, tzinfo=UTC)
    guard.turn()
    assert argo.verified_again == ["greeter-app-dev"] * 2


def test_a_heal_that_failed_is_begun_again_after_a_while(repository: Repository, clone: Clone) -> None:
    """The revision is good and only its last partial sync failed: nobody else would begin another."""
    good = repository.head()
    argo = Argo(shown_application(good=good, revision=good, finished_at="2026-05-01T08:00:00Z"))
    early = Guard(clone, argo, "dev", now=lambda: datetime(2026, 5, 1, 8, 0, 30, tzinfo=UTC))
    late = Guard(clone, argo, "dev", now=lambda: datetime(2026, 5, 1, 8, 1, 30, tzinfo=UTC))
    assert early.turn() == []
    assert argo.begun_again == []
    assert [step.did for step in late.turn()] == [Did.again]
    assert argo.begun_again == ["greeter-app-dev"]


def test_where_no_resource_failed_the_release_is_not_to_blame(repository: Repository, clone: Clone) -> None:
    """Argo CD's own repo-server restarted: the operation is an error and its revision is not even named."""
    good = repository.head()
    newest = repository.commit("Two", {OVERLAY: "images: []\n"})
    error = shown_application(
        good=good, revision="", phase="Error", resources=[], message="ComparisonError: Unavailable"
    )
    error["status"]["sync"]["revision"] = newest
    argo = Argo(error)
    did = [step.did for step in Guard(clone, argo, "dev", push=True).turn()]
    assert Did.reverted not in did
    assert argo.begun_again == ["greeter-app-dev"]


def test_an_application_that_was_made_again_gets_a_history(repository: Repository, clone: Clone) -> None:
    again = shown_application(revision=repository.head())
    again["status"] |= {"operationState": None, "sync": {"status": "Synced", "revision": repository.head()}}
    argo = Argo(again)
    Guard(clone, argo, "dev", push=True).turn()
    assert argo.begun_again == ["greeter-app-dev"]


def test_where_argo_takes_the_revert_for_what_had_failed_its_sync_is_begun(
    repository: Repository, clone: Clone
) -> None:
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    Guard(clone, Argo(shown_application(good=good, revision=bad)), "dev", push=True).turn()
    stuck = shown_application(good=good, revision=bad, finished_at="2026-05-01T08:00:00Z")
    stuck["status"]["sync"] = {"status": "OutOfSync", "revision": repository.head()}
    argo = Argo(stuck)
    Guard(clone, argo, "dev", push=True, now=lambda: datetime(2026, 5, 1, 8, 0, 10, tzinfo=UTC)).turn()
    assert argo.begun_again == []
    Guard(clone, argo, "dev", push=True, now=lambda: datetime(2026, 5, 1, 8, 0, 20, tzinfo=UTC)).turn()
    assert argo.begun_again == ["greeter-app-dev"]


def test_after_a_revert_it_says_that_healing_is_back(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    argo = Argo(shown_application(good=good, revision=bad))
    guard = Guard(clone, argo, "dev", push=True)
    guard.turn()
    reverted = repository.head()
    argo.shown = [shown_application(good=reverted, revision=reverted, phase="Succeeded", resources=[PASSED])]
    assert [step.did for step in guard.turn()] == [Did.healing]
    assert guard.turn() == []


class Notebook:
    """Evidence that is kept in memory."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def has(self, service: str, digest: str) -> bool:
        return any(each[:2] == (service, digest) for each in self.told)

    def record(self, service: str, digest: str, revision: str) -> None:
        self.told.append((service, digest, revision))


def test_what_passed_is_told_once_with_its_digest_and_revision(repository: Repository, clone: Clone) -> None:
    good = repository.head()
    notes = Notebook()
    argo = Argo(shown_application(good=good, revision=good, phase="Succeeded", resources=[PASSED]))
    guard = Guard(clone, argo, "dev", evidence=notes)
    guard.turn()
    guard.turn()
    assert notes.told == [("greeter", DIGEST, good)]


def test_where_a_heal_came_before_evidence_the_tests_are_run_again(repository: Repository, clone: Clone) -> None:
    """It is a partial sync and runs no hooks, and what it leaves behind stands where the tests' outcome stood."""
    good = repository.head()
    healed = shown_application(good=good, revision=good, phase="Succeeded", resources=[PASSED])
    healed["status"]["operationState"] |= {"finishedAt": "2026-05-01T08:00:00Z"}
    healed["status"]["operationState"]["operation"]["sync"]["resources"] = [{"kind": "Service", "name": "greeter"}]
    argo, notes = Argo(healed), Notebook()
    early, late = (datetime(2026, 5, 1, 8, minute, 0, tzinfo=UTC) for minute in (0, 1))
    assert Guard(clone, argo, "dev", evidence=notes, now=lambda: early).turn() == []
    assert Guard(clone, argo, "dev", now=lambda: late).turn() == []
    assert argo.begun_again == []
    assert [step.did for step in Guard(clone, argo, "dev", evidence=notes, now=lambda: late).turn()] == [Did.again]
    assert argo.begun_again == ["greeter-app-dev"]
    assert notes.told == []
    notes.record("greeter", DIGEST, good)
    assert Guard(clone, argo, "dev", evidence=notes, now=lambda: late).turn() == []


def test_what_cannot_be_rendered_is_reverted_though_no_sync_ever_began(
    repository: Repository, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from journeymesh.delivery import guard as under_test
    from journeymesh.delivery.programs import ProgramFailed

    def refuse(folder: Path) -> str:
        if "broken" in (folder / "kustomization.yaml").read_text():
            raise ProgramFailed("kustomize build ended with 1: no such file")
        return ""

    monkeypatch.setattr(under_test, "rendered", refuse)
    good = repository.head()
    repository.commit("Break it", {OVERLAY: "broken"})
    conditions = [{"type": "ComparisonError", "message": "kustomize build failed"}]
    argo = Argo(
        shown_application(
            good=good, revision=good, phase="Succeeded", sync={"status": "Unknown"}, conditions=conditions
        )
    )
    assert Did.reverted in [step.did for step in Guard(clone, argo, "dev", push=True).turn()]
    assert repository.log()[0] == 'Revert "Break it"'
    assert Did.reverted not in [step.did for step in Guard(clone, argo, "dev", push=True).turn()]


def test_a_service_that_is_taken_away_stays_away(
    repository: Repository, clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until its Application is pruned, Argo CD cannot render the folder that is gone: that is no bad release."""
    from journeymesh.delivery import guard as under_test
    from journeymesh.delivery.programs import ProgramFailed

    def refuse(folder: Path) -> str:
        raise ProgramFailed("kustomize build ended with 1: no such file")

    monkeypatch.setattr(under_test, "rendered", refuse)
    application = "../apps-children/dev/greeter-app-dev.yaml"
    good = repository.commit("Want it", {application: "a: 1\n", "../apps-children/dev/payer-app-dev.yaml": "a: 1\n"})
    away = repository.commit("Take it away", {application: None, OVERLAY: None})
    conditions = [{"type": "ComparisonError", "message": "app path does not exist"}]
    leaving = shown_application(good=good, revision=good, phase="Succeeded", conditions=conditions)
    Guard(clone, Argo(leaving), "dev", push=True).turn()
    failed = shown_application(good=good, revision=away)
    Guard(clone, Argo(failed), "dev", push=True).turn()
    assert repository.head() == away


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
def test_a_revert_is_signed_with_a_files_openpgp_key(repository: Repository, tmp_path: Path) -> None:
    """As a Secret holds it: git itself knows OpenPGP keys by name only."""
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-gen-key", "guard", "ed25519", "sign", "never"], check=True)
    key = tmp_path / "signing-key"
    key.write_bytes(subprocess.run([*gpg, "--armor", "--export-secret-keys"], check=True, capture_output=True).stdout)
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    with cloned(str(repository.bare), signing=Signing(key=str(key))) as signer:
        Guard(signer, Argo(shown_application(good=good, revision=bad)), "dev", push=True).turn()
        assert signer.signing.home != str(home)
    verified = subprocess.run(
        ["git", "-C", str(repository.bare), "verify-commit", repository.head()],
        env={"PATH": os.environ["PATH"], "GNUPGHOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    assert "Good signature" in verified.stderr


def test_a_revert_is_signed(repository: Repository, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "guard.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    with cloned(str(repository.bare), signing=Signing(key=str(key))) as signer:
        Guard(signer, Argo(shown_application(good=good, revision=bad)), "dev", push=True).turn()
        trusted = tmp_path / "trusted"
        trusted.write_text(f"{Signing().email} {key.with_suffix('.key.pub').read_text()}")
        signer.git("-c", f"gpg.ssh.allowedSignersFile={trusted}", "verify-commit", "HEAD")
    assert repository.log()[0] == 'Revert "Two"'


KILLED = """
import sys
from pathlib import Path
from journeymesh.delivery import git
from journeymesh.delivery.guard import Guard
from tests.support.released import Argo, shown_application

bare, good, bad, at = sys.argv[1:]
shown = shown_application(good=good, revision=bad)

def stand(*_):
    print("here", flush=True)
    import time
    time.sleep(60)

with git.cloned(bare) as clone:
    argo = Argo(shown)
    if at == "push":
        git.Clone.push = stand
    else:
        argo.refresh = lambda name, hard=False: stand() if clone.newest() != bad else None
    Guard(clone, argo, "dev", push=True).turn()
"""


@pytest.mark.parametrize("at", ["push", "refresh"])
def test_a_guard_killed_before_or_after_the_push_is_followed_by_one_that_ends_the_work(
    repository: Repository, at: str
) -> None:
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    argv = [sys.executable, "-c", KILLED, str(repository.bare), good, bad, at]
    victim = programs.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "here\n"
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    argo = Argo(shown_application(good=good, revision=bad, repository=str(repository.bare)))
    with cloned(str(repository.bare)) as clone:
        Guard(clone, argo, "dev", push=True).turn()
    assert repository.log() == ['Revert "Two"', "Two", "Begin"]
    assert "greeter-app-dev" in argo.refreshed


def test_two_guards_at_once_push_one_revert(repository: Repository) -> None:
    good = repository.head()
    bad = repository.commit("Two", {OVERLAY: "images: []\n"})
    shown = shown_application(good=good, revision=bad)
    with cloned(str(repository.bare)) as one, cloned(str(repository.bare), signing=Signing("Another")) as two:
        guards = [Guard(each, Argo(shown), "dev", push=True) for each in (one, two)]
        pushed, first = Clone.push, True

        def racing(clone: Clone) -> str:
            nonlocal first
            if first:
                first = False
                guards[1].turn()
            return pushed(clone)

        Clone.push = racing  # type: ignore[method-assign]
        try:
            did = [step.did for step in guards[0].turn()]
        finally:
            Clone.push = pushed  # type: ignore[method-assign]
        assert Did.overtaken in did
        guards[0].turn()
    assert repository.log() == ['Revert "Two"', "Two", "Begin"]
