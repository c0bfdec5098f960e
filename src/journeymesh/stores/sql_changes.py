"""The change feed of a SQL store: each vehicle's last change has a position, given in the transaction that makes it.

Writers take turns, so positions become visible in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.stores import tables
from journeymesh.stores.port import StoreChanges
from journeymesh.stores.positions import changes_page
from journeymesh.stores.sql_bulk import chunks, escape_for, put_rows, read_rows

_CHANGES: Final = "changes"


def advance(connection: sa.Connection, name: str, count: int) -> int:
    """Move a counter of this store on; its new number."""
    counter = tables.sequence.c
    connection.execute(sa.update(tables.sequence).where(counter.name == name).values(last=counter.last + count))
    return int(connection.execute(sa.select(counter.last).where(counter.name == name)).scalar_one())


def note_changes(connection: sa.Connection, vehicles: Iterable[str | None]) -> None:
    """Move these vehicles (None: no vehicle) to the end of the feed, and the store's position in any case."""
    known = [vehicle for vehicle in dict.fromkeys(vehicles) if vehicle is not None]
    count = max(len(known), 1)
    first = advance(connection, _CHANGES, count) - count + 1
    put_rows(connection, tables.vehicle_changes, [(vehicle, first + k) for k, vehicle in enumerate(known)])


def vehicles_of_refusals(connection: sa.Connection, refusal_ids: Sequence[str]) -> list[str | None]:
    """The vehicles that these refusals, as far as they are there, are of."""
    held, found = tables.refusals.c, list[str | None]()
    for part in chunks(refusal_ids):
        ids = [escape_for(connection, key) for key in part]
        found += [
            vehicle for (vehicle,) in read_rows(connection, sa.select(held.vehicle).where(held.refusal_id.in_(ids)))
        ]
    return found


def read_changes(connection: sa.Connection, after: str | None, limit: int) -> StoreChanges:
    """A page of the feed, from the transaction's one state of the store."""
    feed, counter = tables.vehicle_changes.c, tables.sequence.c

    def read(first: int, size: int) -> tuple[int, list[tuple[Any, ...]]]:
        present = connection.execute(sa.select(counter.last).where(counter.name == _CHANGES)).scalar_one()
        later = sa.select(feed.vehicle, feed.position).where(feed.position > first).order_by(feed.position)
        return int(present), read_rows(connection, later.limit(size))

    return changes_page(after, limit, read)


def vehicles_held_after(connection: sa.Connection, after: str | None, limit: int) -> list[str]:
    """Vehicles by name that the store still holds something of: the feed also knows those it no longer does."""
    vehicle = tables.vehicle_changes.c.vehicle
    holding = (
        sa.exists().where(column == vehicle)
        for column in (tables.journeys.c.vehicle, tables.blocks.c.vehicle, tables.refusals.c.vehicle)
    )
    statement = sa.select(vehicle).where(sa.or_(*holding)).order_by(vehicle).limit(limit)
    if after is not None:
        statement = statement.where(vehicle > escape_for(connection, after))
    return [name for (name,) in read_rows(connection, statement)]
