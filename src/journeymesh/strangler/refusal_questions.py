"""The question that a sudden share of refused documents asks, as a row among the mismatches: `diff` lists it, `accept`
lets it stand for a while, and until then it closes gates of its own.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.strangler.control import now_us, put_row
from journeymesh.strangler.control_tables import mismatches
from journeymesh.strangler.mismatches import ACCEPTED, OPEN, REFUSED, RESOLVED
from journeymesh.strangler.refusal_share import Window

FEED: Final = "feed"


def question_id(slice_name: str, target: str) -> str:
    """The cause under which the question is recorded."""
    return hashlib.blake2b(f"{slice_name}\0{target}\0{REFUSED}".encode(), digest_size=13).hexdigest()


def ask_again(
    connection: sa.Connection, slice_name: str, target: str, window: Window, share_before: float | None
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
