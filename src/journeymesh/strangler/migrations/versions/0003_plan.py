"""The plan that the control database belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let one plan own the database; the first that is applied from now on does."""
    op.create_table(
        "strangler_plan",
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
    )
