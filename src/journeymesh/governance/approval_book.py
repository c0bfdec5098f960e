"""The approvals in force, in this process's memory, a second behind the database at most."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from journeymesh.errors import JourneymeshError
from journeymesh.following import Follower
from journeymesh.governance.approval_records import MOST_AT_ONCE, ApprovalRecords, Change, now_utc
from journeymesh.governance.approvals import Approval
from journeymesh.wire.identity import State

FOLLOW_EVERY_S: Final = 0.25
STALE_AFTER_S: Final = 1.0
"""What was read longer ago does not count: a revoked approval ends within this time, or nothing is approved at all."""

_log = logging.getLogger(__name__)

_Use = tuple[str, int, str, str, str]
"""product, major version, purpose, tenant, domain."""


class ApprovalsUnreadable(JourneymeshError):
    """What is known of approvals is too old to rely on. Nothing that needs one is allowed."""

    exit_code = 5

    def __init__(self, age_s: float | None) -> None:
        age = "were never read" if age_s is None else f"were last read {age_s:.1f} s ago"
        super().__init__(f"approvals {age}", todo="check the database of approvals; this passes when it answers again")


class ApprovalBook(Follower):
    """Looks approvals up in microseconds and follows the records. Safe for several threads.

    The first read happens here, and a thread goes on reading every ``every_s`` seconds. A database that cannot be read
    raises nothing here: ``live`` does.
    """

    def __init__(
        self,
        records: ApprovalRecords,
        *,
        every_s: float = FOLLOW_EVERY_S,
        stale_after_s: float = STALE_AFTER_S,
        clock: Callable[[], datetime] = now_utc,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records, self._clock, self._clock_s = records, clock, clock_s
        self.every_s, self._stale_after_s = every_s, stale_after_s
        self._by_use: dict[_Use, tuple[Approval, ...]] = {}
        self._steps: Counter[str] = Counter()
        self._last: Change | None = None
        self._read_at_s: float | None = None
        self._readable = True
        self._reading = threading.Lock()
        self.start()

    def live(self, product: str, major: int, purpose: str, tenant: str, domains: frozenset[str]) -> Approval | None:
        """The approval in force now of exactly this use for one of the domains, the one that lasts longest; None: none.

        Raises:
            ApprovalsUnreadable: what is known is older than ``stale_after_s``.
        """
        age_s = self.age_s
        if age_s is None or age_s > self._stale_after_s:
            raise ApprovalsUnreadable(age_s)
        now = self._clock()
        found: Approval | None = None
        for domain in domains:
            for approval in self._by_use.get((product, major, purpose, tenant, domain), ()):
                if approval.valid_from <= now < approval.valid_to and (found is None or _outlasts(approval, found)):
                    found = approval
        return found

    def steps_of(self, tenant: str) -> int:
        """How many steps the tenant's approvals have had: another number says that something changed."""
        return self._steps[tenant]

    @property
    def age_s(self) -> float | None:
        """How long ago the records were read; None: they never were."""
        read_at_s = self._read_at_s
        return None if read_at_s is None else self._clock_s() - read_at_s

    def fault(self) -> str:
        """Why nothing that needs an approval is allowed at this moment; empty: it is known what is approved."""
        age_s = self.age_s
        return "" if age_s is not None and age_s <= self._stale_after_s else ApprovalsUnreadable(age_s).what

    def __len__(self) -> int:
        """Approvals that are acknowledged and neither revoked nor known to be over."""
        return sum(len(held) for held in self._by_use.values())

    def refresh(self) -> bool:
        """Read what has changed; whether that was possible."""
        with self._reading:
            began_s = self._clock_s()
            try:
                self._read()
            except JourneymeshError as error:
                if self._readable:
                    _log.warning("approvals cannot be read: %s", error)
                self._readable = False
            else:
                if not self._readable:
                    _log.info("approvals can be read again")
                self._readable = True
                self._read_at_s = began_s  # what was committed after that may not be in it
            return self._readable

    def tick(self) -> None:
        """Read what has changed, where that is possible. Once nobody does, nothing is approved any more."""
        self.refresh()

    def _read(self) -> None:
        """Take in what was recorded since the last change that is known."""
        last = self._last
        changes = self._records.changes(0 if last is None else last.entry)
        if last is not None and (not changes or not _is_same(changes[0], last)):
            last, changes = None, self._records.changes(0)  # another database stands there now: restored, or replaced
        by_use, steps = ({}, Counter()) if last is None else (self._by_use, self._steps)
        while changes:
            for change in changes:
                if last is None or change.entry > last.entry:
                    steps[change.approval.tenant] += 1
                _take_in(by_use, change.approval, self._clock().astimezone(UTC))
            last = changes[-1]
            if by_use is self._by_use:
                self._last = last
            if len(changes) < MOST_AT_ONCE:
                break
            changes = self._records.changes(last.entry + 1)
        self._by_use, self._steps, self._last = by_use, steps, last


def _is_same(change: Change, known: Change) -> bool:
    """Whether it is the change that is known, recorded then."""
    return (change.entry, change.approval) == (known.entry, known.approval)


def _take_in(by_use: dict[_Use, tuple[Approval, ...]], approval: Approval, now: datetime) -> None:
    """The approval replaces what is known of it; one that is not acknowledged, or over, is not kept."""
    use = (approval.product, approval.product_major, approval.purpose, approval.tenant, approval.domain)
    held = tuple(each for each in by_use.get(use, ()) if each.id != approval.id and now < each.valid_to)
    if approval.recorded is State.ACKNOWLEDGED and now < approval.valid_to:
        held = (*held, approval)
    if held:
        by_use[use] = held
    else:
        by_use.pop(use, None)


def _outlasts(approval: Approval, other: Approval) -> bool:
    return (approval.valid_to, approval.id) > (other.valid_to, other.id)
