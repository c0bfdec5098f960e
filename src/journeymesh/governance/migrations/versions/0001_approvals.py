"""Requests of approvals, and the steps that were taken."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY
from journeymesh.governance.approval_tables import ENTRY

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first schema."""
    op.create_table(
        "approval_requests",
        sa.Column("id", KEY, nullable=False),
        sa.Column("product", KEY, nullable=False),
        sa.Column("product_major", sa.Integer(), nullable=False),
        sa.Column("purpose", KEY, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("domain", KEY, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("requested_us", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("approval_requests_by_tenant", "approval_requests", ["tenant", "requested_us", "id"])
    op.create_table(
        "approval_steps",
        sa.Column("entry", ENTRY, autoincrement=True, nullable=False),
        sa.Column("approval", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entry"),
        sa.ForeignKeyConstraint(["approval"], ["approval_requests.id"]),
        sa.UniqueConstraint("approval", "number", name="approval_steps_once"),
    )
