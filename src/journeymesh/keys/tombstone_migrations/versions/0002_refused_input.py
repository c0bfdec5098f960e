"""How much input tombstones refused, by day and kind. Of whom is not kept."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "tombstone_refused_input",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", KEY, primary_key=True),
        sa.Column("rows", sa.BigInteger(), nullable=False),
    )
