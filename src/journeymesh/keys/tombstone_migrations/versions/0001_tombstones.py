"""Tombstones of treated terms, by keyed tokens."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tombstone_state",
        sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("key_check", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    for name in ("tombstone_policies", "tombstone_vehicles"):
        op.create_table(
            name,
            sa.Column("token", KEY, primary_key=True),
            sa.Column("from_us", sa.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("to_us", sa.BigInteger(), nullable=False),
            sa.Column("treatment_id", KEY, nullable=False),
        )
    op.create_table(
        "tombstone_treatments",
        sa.Column("treatment_id", KEY, primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
    )
