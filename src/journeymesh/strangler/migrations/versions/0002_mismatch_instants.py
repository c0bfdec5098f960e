"""When a mismatch's subject begins, and when it was last dealt with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Let mismatches be found by time, and coverage begin anew when one was dealt with."""
    op.add_column("strangler_mismatches", sa.Column("at_us", sa.BigInteger(), nullable=True))
    op.add_column("strangler_mismatches", sa.Column("dealt_us", sa.BigInteger(), nullable=True))
