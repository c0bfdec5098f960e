"""Refusals get the id of their input instead of that of its vehicle, instant and position, which several shared."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.former_refusals import PASSED, ROWS_AT_ONCE, renamed
from journeymesh.stores.records import REFUSAL_COLUMNS
from journeymesh.stores.row_batches import move_in_feed
from journeymesh.stores.sql_bulk import read_rows
from journeymesh.stores.sql_rows import SqlRows

revision = "0003"
down_revision = "0002"

REFUSALS = sa.table("refusals", *(sa.column(name) for name in REFUSAL_COLUMNS))


def upgrade() -> None:
    """Rename them, page by page; their vehicles have changed for whoever follows the store."""
    connection, held = op.get_bind(), REFUSALS.c
    ours = sa.or_(held.reason.in_(PASSED), sa.and_(held.vehicle.is_not(None), held.fixed_at_us.is_not(None)))
    statement = sa.select(REFUSALS).where(ours).order_by(held.refusal_id).limit(ROWS_AT_ONCE)
    change = sa.update(REFUSALS).where(held.refusal_id == sa.bindparam("former"))
    vehicles: set[str] = set()
    after = ""
    while page := read_rows(connection, statement.where(held.refusal_id > after)):
        after = page[-1][0]
        rows = renamed(page)
        ids = [row[0] for row in rows.values()]
        taken = {key for (key,) in read_rows(connection, sa.select(held.refusal_id).where(held.refusal_id.in_(ids)))}
        changes = [{"former": former, "refusal_id": row[0]} for former, row in rows.items() if row[0] not in taken]
        if changes:
            connection.execute(change, changes)
        vehicles.update(row[2] for row in rows.values() if row[2] is not None)
    if vehicles:
        move_in_feed(SqlRows(connection), sorted(vehicles))
