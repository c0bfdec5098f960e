"""The person's id beside each account, where their provider declares one. Of what was recorded before none is known."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add a column to requests and one to steps."""
    for table in ("approval_requests", "approval_steps"):
        op.add_column(table, sa.Column("person", sa.Text(), nullable=True))
