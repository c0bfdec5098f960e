"""Of how many documents something is refused, vehicle by vehicle, as the control database has it.

A count is set to what a target is about to hold, never added to, and before the target is written: a change that is
delivered twice, or again after a crash in between, counts once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager

import sqlalchemy as sa

from journeymesh.stores.port import JourneyStore, RefusalQuery
from journeymesh.strangler.contents import NAMELESS, POLICY_REASONS, document_of
from journeymesh.strangler.control_tables import refused_documents


def put_refused(
    writing: AbstractContextManager[sa.Connection], upstream: str, target: str, counts: Mapping[str, int]
) -> None:
    """Set the counts of these vehicles."""
    held = refused_documents
    with writing as connection:
        for vehicle, documents in counts.items():
            this = sa.and_(held.c.upstream == upstream, held.c.target == target, held.c.vehicle == vehicle)
            if not documents:
                connection.execute(sa.delete(held).where(this))
            elif connection.execute(sa.update(held).where(this).values(documents=documents)).rowcount == 0:
                values = {"upstream": upstream, "target": target, "vehicle": vehicle, "documents": documents}
                connection.execute(sa.insert(held).values(values))


def clear_refused(connection: sa.Connection, upstream: str, target: str) -> None:
    """Forget every count of a target."""
    held = refused_documents
    connection.execute(sa.delete(held).where(held.c.upstream == upstream, held.c.target == target))


def refused_among(connection: sa.Connection, upstream: str, target: str, vehicles: Collection[str] | None) -> int:
    """How many documents are refused of these vehicles, and of those that name none; ``vehicles`` None: of all."""
    held = refused_documents
    this = sa.and_(held.c.upstream == upstream, held.c.target == target)
    rows = connection.execute(sa.select(held.c.vehicle, held.c.documents).where(this))
    return sum(number for name, number in rows if vehicles is None or name == NAMELESS or name in vehicles)


def refused_in(store: JourneyStore) -> dict[str, int]:
    """The counts of what a store holds refused."""
    found: dict[str, set[str]] = {}
    for _, refusal in store.refusals(RefusalQuery()):
        if refusal.reason not in POLICY_REASONS:
            found.setdefault(refusal.vehicle or NAMELESS, set()).add(document_of(refusal.origin))
    return {vehicle: len(documents) for vehicle, documents in found.items()}
