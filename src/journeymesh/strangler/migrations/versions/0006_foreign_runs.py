"""Runs in targets that no feed wrote."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Let runs of others be recorded; those that a target has already are taken for known when it is looked at next."""
    op.create_table(
        "strangler_foreign_runs",
        sa.Column("slice", KEY, primary_key=True),
        sa.Column("target", KEY, primary_key=True),
        sa.Column("run_id", KEY, primary_key=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("compared_us", sa.BigInteger()),
    )
