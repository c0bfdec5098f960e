"""What is recorded of the documents that a feed read and refused for a slice: for `status`, gates and metrics."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import mismatches, of_target, reads
from journeymesh.strangler.mismatches import ACCEPTED, RESOLVED
from journeymesh.strangler.refusal_questions import question_id


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
