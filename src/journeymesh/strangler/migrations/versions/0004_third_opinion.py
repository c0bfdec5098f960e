"""The last third opinion of each slice."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Let what legacy's own numbers said of a slice be remembered."""
    op.create_table(
        "strangler_opinions",
        sa.Column("slice", KEY, primary_key=True),
        sa.Column("kind", KEY, primary_key=True),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("answering", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("policies", sa.BigInteger(), nullable=False),
        sa.Column("good", sa.BigInteger(), nullable=False),
        sa.Column("classes", sa.Text(), nullable=False),
    )
