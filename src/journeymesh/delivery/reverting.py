"""Taking a bad release back in git: which commits it was, and the commits that undo it.

Everything is derived from the repository and from what Argo CD says: which revision failed and which was the last good
one. Nothing is remembered, so that it does not matter when a process ends:

    the folder is as in the last good revision at the newest commit    it was taken back: nothing to do
    the folder differs between the failed revision and the newest      a newer release is on its way: wait for it
    the folder is the same in the failed and in the last good one      the cause is elsewhere: a person's
    otherwise                                                          its changes since then are undone
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from journeymesh.delivery.applications import Application
from journeymesh.delivery.git import Clone
from journeymesh.delivery.programs import ProgramFailed

REASON_CHARACTERS: Final = 600


@dataclass(frozen=True, slots=True)
class BadRelease:
    """A revision whose sync failed, of a service that had synced well before."""

    application: str
    service: str
    environment: str
    revision: str
    good: str
    reason: str

    @property
    def folder(self) -> str:
        """The service's folder, all environments in it."""
        return f"customization/services/{self.service}/"

    @property
    def base(self) -> str:
        return f"{self.folder}base"

    @property
    def owned(self) -> tuple[str, str]:
        """What decides over this service in this environment and over no other service."""
        return self.base, f"{self.folder}overlays/{self.environment}"


class FailedRelease(StrEnum):
    """What a bad release asks for."""

    revert = "revert"
    taken_back = "taken back"
    newer = "a newer release is on its way"
    elsewhere = "the cause is elsewhere"
    unknown = "the repository does not have its revisions"


def bad_release(application: Application, attempts: int = 0) -> BadRelease | None:
    """The bad release that an Application shows; None: none, or none that could be taken back.

    ``attempts``: so many failed ones are enough; 0: as many as Argo CD makes. A first release has no good one before
    it, and only a service's overlay has commits that are its own. An operation in which no resource failed says nothing
    of the release: Argo CD could not reach the repository, or its own parts were away.
    """
    last = application.operation
    if last is None or not application.service or not application.good or not last.revision:
        return None
    exhausted = last.failed or (attempts > 0 and last.waits and last.attempts_failed >= attempts)
    if not exhausted or last.revision == application.good or not any(each.failed for each in last.outcomes):
        return None
    environment = application.path.strip("/").rpartition("/")[2]
    return BadRelease(application.name, application.service, environment, last.revision, application.good, last.reason)


def finding(clone: Clone, bad: BadRelease) -> FailedRelease:
    """What is to be done, judged at the commit that the clone stands at."""
    if not clone.has(bad.revision) or not clone.has(bad.good):
        return FailedRelease.unknown
    if clone.same(bad.good, bad.revision, bad.owned):
        return FailedRelease.elsewhere
    if clone.same(bad.good, "HEAD", bad.owned):
        return FailedRelease.taken_back
    if not clone.same(bad.revision, "HEAD", bad.owned):
        return FailedRelease.newer
    return FailedRelease.revert


def offending(clone: Clone, bad: BadRelease) -> list[str]:
    """The branch's own commits that made the folder bad, newest first: those after it last was as in the good one."""
    found = []
    for commit in _mainline(clone, bad):
        if clone.same(bad.good, commit, bad.owned):
            break
        found.append(commit)
    return found


def revert(clone: Clone, bad: BadRelease) -> list[str]:
    """Commit what takes the release back: a revert for each offending commit, else one that restores the folder.

    Returns:
        The subjects of the commits made, oldest first. Afterwards the folder is as in the last good revision.
    """
    before = clone.head()
    subjects = []
    for commit in offending(clone, bad):
        subject = _revert_one(clone, bad, commit)
        if subject is None:
            break
        subjects += [subject] if subject else []
    if subjects and clone.same(bad.good, "HEAD", bad.owned):
        return subjects
    clone.git("reset", "--quiet", "--hard", before)
    return [_restore(clone, bad)]


def _mainline(clone: Clone, bad: BadRelease) -> Iterator[str]:
    if clone.asked("merge-base", "--is-ancestor", bad.good, "HEAD"):
        yield from clone.git("rev-list", "--first-parent", f"{bad.good}..HEAD", "--", *bad.owned).split()


def _revert_one(clone: Clone, bad: BadRelease, commit: str) -> str | None:
    """Undo one commit's changes to the service and nobody else's. None: it cannot be done without a conflict."""
    is_merge = len(clone.git("rev-list", "--parents", "-n", "1", commit).split()) > 2
    touched = clone.git("diff", "--name-only", "--no-renames", f"{commit}^1", commit).splitlines()
    own = _own(bad, touched)
    try:
        clone.git("revert", "--no-commit", *(["-m", "1"] if is_merge else []), commit)
    except ProgramFailed:
        if not clone.git("ls-files", "--unmerged"):
            return None
    outside = [path for path in touched if not path.startswith(own)]
    if outside:
        clone.git(
            "restore", "--source=HEAD", "--staged", "--worktree", "--", ":/", *(f":(exclude){each}" for each in own)
        )
    if clone.git("ls-files", "--unmerged"):
        return None
    if clone.asked("diff", "--cached", "--quiet"):
        clone.git("revert", "--quit")
        return ""
    subject = f'Revert "{clone.git("log", "-1", "--format=%s", commit)}"'
    part = f", of it what is in {' and '.join(own)}" if outside else ""
    _commit(clone, subject, f"This reverts commit {commit}{part}.", bad)
    return subject


def _own(bad: BadRelease, touched: Sequence[str]) -> tuple[str, ...]:
    """A change of the base belongs with what the same commit did to the overlays; else it is this overlay alone."""
    if any(path.startswith(f"{bad.base}/") for path in touched):
        return (bad.folder,)
    return tuple(f"{each}/" for each in bad.owned)


def _restore(clone: Clone, bad: BadRelease) -> str:
    clone.git("rm", "-r", "--quiet", "--force", "--ignore-unmatch", "--", *bad.owned)
    for path in bad.owned:
        if clone.git("ls-tree", "--name-only", bad.good, "--", path):
            clone.git("checkout", "--quiet", bad.good, "--", path)
    subject = f"Restore {bad.service} in {bad.environment} to {bad.good[:12]}"
    body = (
        f"The commits since then could not be reverted one by one, so {' and '.join(bad.owned)}\n"
        f"are again what they were in {bad.good}."
    )
    _commit(clone, subject, body, bad)
    return subject


def _commit(clone: Clone, subject: str, body: str, bad: BadRelease) -> None:
    reason = " ".join(bad.reason.split())[:REASON_CHARACTERS] or "no reason given"
    message = (
        f"{subject}\n\n{body}\n\n"
        f"The sync of {bad.application} to {bad.revision} failed:\n{reason}\n\n"
        f"Journeymesh-Application: {bad.application}\n"
        f"Journeymesh-Failed-Revision: {bad.revision}\n"
        f"Journeymesh-Good-Revision: {bad.good}\n"
    )
    clone.git("commit", "--quiet", "--no-verify", "--cleanup=verbatim", "--file=-", given=message)
