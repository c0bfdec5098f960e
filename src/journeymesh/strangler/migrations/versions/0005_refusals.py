"""Documents that are refused, by vehicle and by slice."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Let feeds record what they refuse; what a target holds refused already is counted when it is next fed."""
    op.create_table(
        "strangler_refused_documents",
        sa.Column("upstream", KEY, primary_key=True),
        sa.Column("target", KEY, primary_key=True),
        sa.Column("vehicle", KEY, primary_key=True),
        sa.Column("documents", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "strangler_reads",
        sa.Column("slice", KEY, primary_key=True),
        sa.Column("target", KEY, primary_key=True),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("share_before", sa.Float()),
        sa.Column("window_us", sa.BigInteger(), nullable=False),
        sa.Column("window_documents", sa.BigInteger(), nullable=False),
        sa.Column("window_refused", sa.BigInteger(), nullable=False),
        sa.Column("question_documents", sa.BigInteger()),
        sa.Column("question_refused", sa.BigInteger()),
        sa.Column("question_before", sa.Float()),
        sa.Column("question_share", sa.Float()),
    )
