"""Sessions of the console."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first schema. In PostgreSQL the table is in no log of changes: a standby that is promoted and a
    database that is brought back to an earlier state have no sessions, so that none that was ended is there again."""
    unlogged = ["UNLOGGED"] if op.get_bind().dialect.name == "postgresql" else []
    op.create_table(
        "console_sessions",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=True),
        sa.Column("sid", sa.LargeBinary(), nullable=True),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.Column("ends_us", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("renewing_until_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        prefixes=unlogged,
    )
    op.create_index("console_sessions_by_person", "console_sessions", ["person", "seen_us"])
    op.create_index("console_sessions_by_subject", "console_sessions", ["subject"])
    op.create_index("console_sessions_by_sid", "console_sessions", ["sid"])
    op.create_index("console_sessions_by_use", "console_sessions", ["seen_us"])
    op.create_index("console_sessions_by_end", "console_sessions", ["ends_us"])
