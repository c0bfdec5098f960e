"""What is recorded of the documents that a feed read and refused for a slice: for `status`, gates and metrics.

When a share of refused documents is sudden: larger than the share before by more than chance and custom explain.

A legacy collection always has some documents that cannot be used: a receiver without a fix, a clock of 1970. That
share is its custom, and no reason to stop. What has to be seen is a change: an application that writes a field as text
from today on, a mapping that lost a path. So the documents of a window are held against the share before it:

    excess = refused - share before * documents

It is sudden where it is at least ``gates.refused_documents``, so that one broken recorder is none; at least
``gates.refused_share`` of the window's documents; and four standard deviations of what the share before gives by
chance, so that where 40 % are refused by custom a window of 45 % is not called sudden for its smallness.

A target that is filled for the first time has no share before: there it is sudden where more than half of all
documents are refused, as with a wrong mapping.

The question that a sudden share of refused documents asks, as a row among the mismatches: `diff` lists it, `accept`
lets it stand for a while, and until then it closes gates of its own.

Of how many documents something is refused, vehicle by vehicle, as the control database has it.

A count is set to what a target is about to hold, never added to, and before the target is written: a change that is
delivered twice, or again after a crash in between, counts once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from journeymesh.stores.port import JourneyStore, RefusalQuery
from journeymesh.strangler.control import (
    Control,
    mismatches,
    now_us,
    of_feed,
    of_target,
    put_row,
    reads,
    refused_documents,
)
from journeymesh.strangler.desired_state import NAMELESS, POLICY_REASONS, document_of
from journeymesh.strangler.mismatches import ACCEPTED, OPEN, REFUSED, RESOLVED

FIRST_SHARE: Final = 0.5
_DEVIATIONS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a share sudden: at least so many documents, and this share of a window of so many seconds."""

    documents: int = 20
    share: float = 0.05
    window_s: float = 3600.0

    @property
    def least_window(self) -> int:
        """Documents of the smallest window in which the share could show."""
        return math.ceil(self.documents / self.share)


@dataclass(frozen=True, slots=True)
class RefusalWindow:
    """Documents read since an instant, how many more are refused since then, and the share that was refused before;
    None: nothing was read before."""

    documents: int
    refused: int
    share_before: float | None

    @property
    def share(self) -> float:
        """The share of refused documents, 0 to 1."""
        return min(self.refused / self.documents, 1.0) if self.documents else float(self.refused > 0)


def sudden(window: RefusalWindow, limits: Limits) -> bool:
    """Whether more of the window is refused than the share before explains."""
    documents, before = max(window.documents, window.refused, 0), window.share_before
    return window.refused - (before or 0.0) * documents >= _least(documents, before, limits)


def still_refused(window: RefusalWindow, refused_now: int, limits: Limits) -> bool:
    """Whether so many of a window that was sudden stand refused that it would still be."""
    return sudden(RefusalWindow(window.documents, refused_now, window.share_before), limits)


def _least(documents: int, before: float | None, limits: Limits) -> float:
    """The smallest excess that is sudden."""
    share = limits.share if before is not None else max(FIRST_SHARE, limits.share)
    known = min(max(before or 0.0, 0.0), 1.0)
    return max(limits.documents, share * documents, _DEVIATIONS * math.sqrt(documents * known * (1.0 - known)))


class Refusals(msgspec.Struct, frozen=True, kw_only=True):
    """Documents read and refused for a slice, those that name no vehicle among them.

    ``documents`` were read since the target was last filled; None: it was filled before they were counted. Of
    ``refused`` something stands refused: the document, one of its fixes, or a value. ``window_s`` is the age of the
    window, in which ``window_documents`` were read and ``window_refused`` more came to be refused (fewer: negative);
    ``share_before`` is the share before it, None: there was none. ``question`` is the cause of the open question that a
    sudden share asks, ``accepted`` that of one that an operator lets stand; None: there is none.
    """

    documents: int | None
    refused: int
    window_s: float
    window_documents: int
    window_refused: int
    share_before: float | None
    question: str | None
    accepted: str | None

    @property
    def share(self) -> float | None:
        """The share of all documents that stands refused, 0 to 1; None: unknown."""
        return min(self.refused / self.documents, 1.0) if self.documents else None

    @property
    def window_share(self) -> float | None:
        """The share of the window's documents that came to be refused, 0 to 1; None: none were read."""
        return min(max(self.window_refused, 0) / self.window_documents, 1.0) if self.window_documents else None


def refusals_of(control: Control, slice_name: str, target: str) -> Refusals | None:
    """What is recorded; None: the slice was not fed since this is recorded."""
    cause, at_us = question_id(slice_name, target), now_us()
    with control.reading() as connection:
        row = connection.execute(sa.select(reads).where(of_target(reads, slice_name, target))).first()
        open_or_not = sa.and_(mismatches.c.cause == cause, mismatches.c.state != RESOLVED)
        question = connection.execute(sa.select(mismatches.c.state, mismatches.c.expires_us).where(open_or_not)).first()
    if row is None:
        return None
    accepted = question is not None and question.state == ACCEPTED and question.expires_us > at_us
    return Refusals(
        documents=row.documents if row.whole else None,
        refused=row.refused,
        window_s=(at_us - row.window_us) / 1e6,
        window_documents=row.documents - row.window_documents,
        window_refused=row.refused - row.window_refused,
        share_before=row.share_before,
        question=cause if question is not None and not accepted else None,
        accepted=cause if accepted else None,
    )


def refused_text(found: Refusals) -> str:
    """``410 of 1,000 documents (41.0 %), 0.2 % before``: of the window."""
    share = found.window_share
    before = "nothing read" if found.share_before is None else f"{100 * found.share_before:.1f} %"
    lately = f"{max(found.window_refused, 0):,} of {found.window_documents:,} documents"
    return f"{lately}{'' if share is None else f' ({100 * share:.1f} %)'}, {before} before"


FEED: Final = "feed"


def question_id(slice_name: str, target: str) -> str:
    """The cause under which the question is recorded."""
    return hashlib.blake2b(f"{slice_name}\0{target}\0{REFUSED}".encode(), digest_size=13).hexdigest()


def ask_again(
    connection: sa.Connection, slice_name: str, target: str, window: RefusalWindow, share_before: float | None
) -> None:
    """Record the question as open, with the figures that it asks about."""
    at_us = now_us()
    values: dict[str, Any] = {
        "state": OPEN, "last_seen_us": at_us, "seen": mismatches.c.seen + 1,
        "source_value": json.dumps(f"{window.refused:,} of {max(window.documents, window.refused):,} refused"),
        "target_value": json.dumps("none read before" if share_before is None else f"{share_before:.1%} before"),
    }  # fmt: skip
    at_first = {
        "slice": slice_name, "policy": "", "subject": "documents", "classification": REFUSED, "field": "",
        "found_by": FEED, "first_seen_us": at_us, "seen": 1,
    }  # fmt: skip
    put_row(connection, mismatches, {"cause": question_id(slice_name, target)}, values, at_first)


def is_accepted(connection: sa.Connection, slice_name: str, target: str) -> bool:
    """Whether an operator lets it stand, and that has not run out."""
    held = mismatches.c
    this = sa.and_(held.cause == question_id(slice_name, target), held.state == ACCEPTED, held.expires_us > now_us())
    return connection.execute(sa.select(held.cause).where(this)).first() is not None


def note_gone(connection: sa.Connection, slice_name: str, target: str) -> None:
    """Record that there is nothing to ask any more."""
    this = sa.and_(mismatches.c.cause == question_id(slice_name, target), mismatches.c.state != RESOLVED)
    connection.execute(sa.update(mismatches).where(this).values(state=RESOLVED, dealt_us=now_us()))


def put_refused(
    writing: AbstractContextManager[sa.Connection], upstream: str, target: str, counts: Mapping[str, int]
) -> None:
    """Set the counts of these vehicles."""
    held = refused_documents
    with writing as connection:
        for vehicle, documents in counts.items():
            if documents:
                key = {"upstream": upstream, "target": target, "vehicle": vehicle}
                put_row(connection, held, key, {"documents": documents})
            else:
                this = sa.and_(of_feed(held, upstream, target), held.c.vehicle == vehicle)
                connection.execute(sa.delete(held).where(this))


def clear_refused(connection: sa.Connection, upstream: str, target: str) -> None:
    """Forget every count of a target."""
    connection.execute(sa.delete(refused_documents).where(of_feed(refused_documents, upstream, target)))


def refused_among(connection: sa.Connection, upstream: str, target: str, vehicles: Collection[str] | None) -> int:
    """How many documents are refused of these vehicles, and of those that name none; ``vehicles`` None: of all."""
    held = refused_documents
    rows = connection.execute(sa.select(held.c.vehicle, held.c.documents).where(of_feed(held, upstream, target)))
    return sum(number for name, number in rows if vehicles is None or name == NAMELESS or name in vehicles)


def refused_in(store: JourneyStore) -> dict[str, int]:
    """The counts of what a store holds refused."""
    found: dict[str, set[str]] = {}
    for _, refusal in store.refusals(RefusalQuery()):
        if refusal.reason not in POLICY_REASONS:
            found.setdefault(refusal.vehicle or NAMELESS, set()).add(document_of(refusal.origin))
    return {vehicle: len(documents) for vehicle, documents in found.items()}
