"""A policy is kept by number, tenant and beginning, and a journey says which term of its policy it belongs to."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.sql_bulk import unescaped
from journeymesh.stores.tables import EXACT, KEY
from journeymesh.stores.term_upgrade import content_with_term

revision = "0004"
down_revision = "0003"

PAGE = 5_000


def upgrade() -> None:
    """Each number has one term in the store before, so that is the one that its journeys belong to."""
    connection = op.get_bind()
    op.add_column("journeys", sa.Column("policy_from_us", sa.BigInteger()))
    op.execute(
        "UPDATE journeys SET policy_from_us ="
        " (SELECT valid_from_us FROM policies WHERE policies.number = journeys.policy) WHERE policy IS NOT NULL"
    )
    _upgrade_history(connection, _rebuild_policies(connection))


def _rebuild_policies(connection: sa.Connection) -> dict[str, int]:
    """Give the table its key; the beginning of each number's term."""
    before = sa.Table("policies", sa.MetaData(), autoload_with=connection)
    held = [dict(row) for row in connection.execute(sa.select(before)).mappings()]
    op.drop_table("policies")
    after = op.create_table(
        "policies",
        sa.Column("number", KEY, nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_us", sa.BigInteger()),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("device", sa.Text()),
        sa.Column("vehicle", sa.Text()),
        sa.Column("tenant", KEY, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("product", "status")),
        sa.Column("declared_annual_distance_m", EXACT),
        sa.PrimaryKeyConstraint("number", "tenant", "valid_from_us"),
    )
    if held:
        connection.execute(sa.insert(after), held)
    return {row["number"]: row["valid_from_us"] for row in held}


def _upgrade_history(connection: sa.Connection, begins: dict[str, int]) -> None:
    if connection.dialect.name != "sqlite":
        begins = {unescaped(number): begin for number, begin in begins.items()}
    history = sa.table("journey_history", sa.column("entry_id", KEY), sa.column("content", sa.Text()))
    entry, after = history.c.entry_id, ""
    change = sa.update(history).where(entry == sa.bindparam("key")).values(content=sa.bindparam("changed"))
    while True:
        page = connection.execute(sa.select(history).where(entry > after).order_by(entry).limit(PAGE)).all()
        if page:
            changed = [{"key": row.entry_id, "changed": content_with_term(row.content, begins)} for row in page]
            connection.execute(change, changed)
        if len(page) < PAGE:
            return
        after = page[-1].entry_id
