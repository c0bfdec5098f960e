"""Holds, decisions and the journal of privacy runs, sealed."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "key_store_privacy_records",
        sa.Column("kind", KEY, primary_key=True),
        sa.Column("token", KEY, primary_key=True),
        sa.Column("index_version", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
    )
