"""The plan that the control database belongs to, and what tells a target from another store."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table that records which plan owns this database (the first one applied from now on), and the columns by
    which a feed recognises its target store."""
    for name in ("store_identity", "store_writes"):
        op.add_column("strangler_feeds", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("strangler_feeds", sa.Column("store_place", sa.Text(), nullable=True))
    op.create_table(
        "strangler_plan",
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
    )
