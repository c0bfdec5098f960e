"""The delivery controller: it takes a bad release back in git, and sees to it that healing goes on.

One turn looks at the repository and at Argo CD, does what they ask for, and remembers nothing that matters: a process
that ends anywhere is followed by one that derives the same again. What is kept in memory only spares repetitions.

    repository has a newer commit     ask Argo CD to look now, for its own poll may be minutes away
    a signature is missed             ask Argo CD to verify anew: it remembers a verdict longer than the commit counts
    sync failed, attempts used up     revert the service's own commits since its last good sync (reverting.py), push
    sync failed for another cause     begin it again, at a slow pace: nobody else would, and nothing heals until then
    Application made again            begin a sync, for it has no history to go back to
    revert pushed, no sync of it      begin it: where only its paths are watched, Argo CD may believe it was tried
    sync succeeded, with its tests    record as evidence that its digests passed, once for each
    a root's or the Secrets' failed   begin it again as a whole: a deleted namespace leaves the platform's heal failed
    a root's heal fails and retries   end it: without the Namespace in its list no attempt can succeed
    another was synced well since     begin what failed at once: it may have been what was missing
    a heal makes most objects anew    end it, begin a whole sync: heals run no hooks, so there is no database, no realm
    healed before that was recorded   begin a whole sync: healing overwrote what the tests had said
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from journeymesh.delivery.applications import Application, Operation
from journeymesh.delivery.cluster import Deliveries
from journeymesh.delivery.git import Clone, PushRefused
from journeymesh.delivery.images import PLACEHOLDER_DIGEST, pins_in
from journeymesh.delivery.programs import ProgramFailed, ProgramMissing
from journeymesh.delivery.rendering import rendered
from journeymesh.delivery.reverting import BadRelease, FailedRelease, bad_release, finding, revert
from journeymesh.delivery.tree import ENVIRONMENTS
from journeymesh.errors import JourneymeshError

AGAIN_S: Final = 60.0
"""So long after a sync that failed for another cause it is begun again, unless what it lacked may have come since."""
AFTER_HEAL_S: Final = 10.0
"""So long after a heal that failed, of a root or of what it makes anew, a whole sync is begun."""
MADE_ANEW: Final = "a heal recreates it, and heals run no hooks"
TAKEN_BACK_S: Final = 15.0
"""So long Argo CD has to begin the sync of what was taken back; by its path annotation it may believe it was tried."""


class Evidence(Protocol):
    """What is written down of images that passed their tests in the environment. A digest is ``sha256:…``."""

    def has(self, service: str, digest: str) -> bool:
        """Whether that is written down already."""

    def record(self, service: str, digest: str, revision: str) -> None:
        """Write down that this image of the service passed at this commit.

        Raises:
            JourneymeshError: it could not be; the next turn tries again.
        """


class Did(StrEnum):
    """What a turn did or found."""

    saw = "saw"
    refreshed = "refreshed"
    would_revert = "would revert"
    reverted = "reverted"
    overtaken = "overtaken"
    left = "left"
    again = "again"
    healing = "healing"
    ended = "ended"
    passed = "passed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a turn did or found, in words."""

    did: Did
    application: str
    words: str

    def __str__(self) -> str:
        return f"{self.did}: {self.application}: {self.words}" if self.application else f"{self.did}: {self.words}"


@dataclass(slots=True)
class Guard:
    """The controller of one environment. ``attempts``: so many failed ones are enough; 0: all that Argo CD makes."""

    clone: Clone
    deliveries: Deliveries
    environment: str
    push: bool = False
    attempts: int = 0
    again_s: float = AGAIN_S
    evidence: Evidence | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _asked: set[tuple[str, str]] = field(default_factory=set)
    _verified: dict[str, datetime] = field(default_factory=dict)
    _unwell: dict[str, str] = field(default_factory=dict)
    _passed: set[tuple[str, str]] = field(default_factory=set)
    _came: dict[str, str] = field(default_factory=dict)

    def turn(self) -> list[Step]:
        """Look once and act.

        Raises:
            RepositoryUnreadable, ClusterUnavailable: the next turn may find them back.
        """
        return list(self._turn())

    def _turn(self) -> Iterator[Step]:
        applications = self.deliveries.applications()
        newest = self.clone.newest()
        if newest != self.clone.head():
            self.clone.freshen()
            yield Step(Did.saw, "", f"commit {newest[:12]}: {self.clone.git('log', '-1', '--format=%s')}")
        self._refresh(applications, newest)
        self._came = {each.name: it.finished_at for each in applications for it in self._whole(each)}
        for each in applications:
            mine = each.environment == self.environment and each.service and self._reads_this(each)
            if mine and self._is_wanted(each):
                yield from self._guard(each)
            elif self._is_minded(each) and self._reads_this(each):
                yield from self._mind(each)

    def _refresh(self, applications: list[Application], newest: str) -> None:
        """Once for each Application and commit. Those of no environment (the platform's) are everybody's."""
        for each in applications:
            concerned = self._concerns(each)
            behind = concerned and each.revision != newest
            if behind and (each.name, newest) not in self._asked and self._reads_this(each):
                self._asked.add((each.name, newest))
                self.deliveries.refresh(each.name)
            if concerned and each.misses_signature and self._reads_this(each):
                self._verify_again(each.name)

    def _verify_again(self, name: str) -> None:
        """Where only watched paths count, what was rendered of an unsigned commit stands for signed ones after it."""
        before = self._verified.get(name)
        if before is None or (self.now() - before).total_seconds() >= self.again_s:
            self._verified[name] = self.now()
            self.deliveries.refresh(name, hard=True)

    def _concerns(self, each: Application) -> bool:
        return each.environment == self.environment or each.environment not in ENVIRONMENTS

    def _is_minded(self, each: Application) -> bool:
        """Whether it is a root or the Secrets', of this environment or the platform: nothing is reverted."""
        return self._concerns(each) and not each.service and bool(each.path) and each.operation is not None

    def _whole(self, each: Application) -> Iterator[Operation]:
        """Its last operation, where that was a whole sync that succeeded, and others here may have waited for it."""
        last = each.operation
        if last is not None and last.succeeded and not last.partial and last.finished_at and self._concerns(each):
            yield last

    def _mind(self, each: Application) -> Iterator[Step]:
        last = each.operation
        assert last is not None
        if last.failed:
            yield from self._begin_again(each, min(self.again_s, AFTER_HEAL_S) if last.partial else self.again_s)
        elif last.waits and last.partial:
            self.deliveries.end(each.name)
            yield Step(Did.ended, each.name, f"its heal, which had failed: {last.reason}")
        elif last.succeeded and each.was_made_anew:
            yield from self._begin_again(each, 0.0, MADE_ANEW)

    def _reads_this(self, each: Application) -> bool:
        """By a commit of it, for one repository has many addresses."""
        return each.repository == self.clone.url or any(self.clone.has(it) for it in (each.revision, each.good))

    def _is_wanted(self, each: Application) -> bool:
        """Whether the newest commit still has its Application: what was taken away on purpose fails on its way out."""
        place = self.clone.folder / "customization" / "apps-children" / self.environment
        return not place.is_dir() or (place / f"{each.name}.yaml").is_file()

    def _guard(self, each: Application) -> Iterator[Step]:
        bad = bad_release(each, self.attempts) or self._unrenderable(each)
        if bad is not None:
            if not (self.clone.has(bad.revision) and self.clone.has(bad.good)):
                self.clone.freshen()
            yield from self._deal(bad)
        last = each.operation
        if last is None:
            yield from self._begin_first(each)
        elif last.succeeded and each.was_made_anew:
            yield from self._begin_again(each, 0.0, MADE_ANEW)
        elif last.succeeded and last.partial:
            yield from self._test_again(each)
        elif last.succeeded:
            yield from self._see_it_well(each)
        elif last.failed:
            found = finding(self.clone, bad) if bad is not None else FailedRelease.elsewhere
            if found in (FailedRelease.elsewhere, FailedRelease.taken_back):
                after_s = AFTER_HEAL_S if each.was_made_anew else self.again_s
                yield from self._begin_again(each, after_s if found is FailedRelease.elsewhere else TAKEN_BACK_S)
        elif last.phase == "Running" and each.was_made_anew:
            self.deliveries.end(each.name)
            yield Step(Did.ended, each.name, f"its heal: {MADE_ANEW}")

    def _deal(self, bad: BadRelease) -> Iterator[Step]:
        found = finding(self.clone, bad)
        self._unwell[bad.application] = bad.revision
        told = f"sync to {bad.revision[:12]} failed ({bad.reason})"
        if found is not FailedRelease.revert:
            yield Step(Did.left, bad.application, f"{told}; {found}")
            return
        before = self.clone.head()
        subjects = revert(self.clone, bad)
        if not self.push:
            self.clone.git("reset", "--quiet", "--hard", before)
            yield Step(Did.would_revert, bad.application, f"{told}; would push: {'; '.join(subjects)}")
            return
        try:
            pushed = self.clone.push()
        except PushRefused as refused:
            self.clone.freshen()
            yield Step(Did.overtaken, bad.application, f"{told}; {refused.what}")
            return
        yield Step(Did.reverted, bad.application, f"{told}; pushed {pushed[:12]}: {'; '.join(subjects)}")
        self._asked.add((bad.application, pushed))
        self.deliveries.refresh(bad.application)

    def _unrenderable(self, each: Application) -> BadRelease | None:
        """Argo CD cannot render the newest commit, and neither can we: no operation ever begins, and nothing heals."""
        said = next((text for text in each.conditions if text.startswith("ComparisonError")), "")
        if not said or not each.good or each.good == self.clone.head():
            return None
        try:
            rendered(self.clone.folder / each.path)
        except ProgramMissing:
            return None
        except ProgramFailed as fault:
            environment = each.path.strip("/").rpartition("/")[2]
            reason = f"it cannot be rendered: {fault.what}".replace(f"{self.clone.folder}/", "")
            return BadRelease(each.name, each.service, environment, self.clone.head(), each.good, reason)
        return None

    def _begin_again(self, each: Application, after_s: float, why: str = "") -> Iterator[Step]:
        """Argo CD begins nothing by itself where it believes that it has tried this already."""
        last = each.operation
        assert last is not None
        if not each.heals_itself or not last.finished_at or each.revision != self.clone.head():
            return
        came = any(at > last.finished_at for name, at in self._came.items() if name != each.name)
        if not came and (self.now() - datetime.fromisoformat(last.finished_at)).total_seconds() < after_s:
            return
        if last.failed:
            self._unwell[each.name] = last.revision
            why = f"the last, to {last.revision[:12] or 'no revision'}, had failed: {last.reason}"
        self.deliveries.sync_again(each.name)
        yield Step(Did.again, each.name, f"began a sync to {each.revision[:12]}; {why}")

    def _begin_first(self, each: Application) -> Iterator[Step]:
        """An Application that was deleted and made again finds all in place and syncs nothing: it knows no good one."""
        if each.heals_itself and each.sync == "Synced" and each.revision == self.clone.head():
            self.deliveries.sync_again(each.name)
            yield Step(Did.again, each.name, f"began a sync to {each.revision[:12]}: it has no history to go back to")

    def _see_it_well(self, each: Application) -> Iterator[Step]:
        last = each.operation
        assert last is not None
        if self._unwell.pop(each.name, None):
            yield Step(Did.healing, each.name, f"synced to {last.revision[:12]}; Argo CD heals it again")
        tested = any(out.hook and out.kind == "Job" and "e2e" in out.name and not out.failed for out in last.outcomes)
        if self.evidence is None or not tested:
            return
        for name, image in self._pins(each, last.revision).items():
            if (each.service, image) not in self._passed:
                try:
                    self.evidence.record(each.service, image, last.revision)
                except JourneymeshError as fault:  # the next turn tells it again
                    self.clone.freshen()
                    yield Step(Did.left, each.name, f"{name}@{image} passed and is not recorded: {fault}")
                    continue
                self._passed.add((each.service, image))
                yield Step(Did.passed, each.name, f"{name}@{image} passed at {last.revision[:12]}")

    def _test_again(self, each: Application) -> Iterator[Step]:
        """A sync passed while nobody looked, and a heal came after it: only its own tests can say that it passed."""
        if self.evidence is None:
            return
        digests = self._pins(each, each.revision).values()
        if any(not self.evidence.has(each.service, digest) for digest in digests):
            yield from self._begin_again(each, self.again_s, "a heal came before its tests' outcome was recorded")

    def _pins(self, each: Application, revision: str) -> dict[str, str]:
        text = self.clone.text(revision, f"{each.path.strip('/')}/kustomization.yaml") if revision else None
        pins = {name: image.digest for name, image in pins_in(text).items()} if text else {}
        return {name: digest for name, digest in pins.items() if digest not in (PLACEHOLDER_DIGEST, "")}
