"""Of how many documents something is refused, vehicle by vehicle, as the control database has it.

A count is set to what a target is about to hold, never added to, and before the target is written: a change that is
delivered twice, or again after a crash in between, counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager

import sqlalchemy as sa

from journeymesh.stores.port import JourneyStore, RefusalQuery
from journeymesh.strangler.control import put_row
from journeymesh.strangler.control_tables import of_feed, refused_documents
from journeymesh.strangler.desired_state import NAMELESS, POLICY_REASONS, document_of


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
