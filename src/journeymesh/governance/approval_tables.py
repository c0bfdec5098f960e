"""The tables of approvals. Rows are only ever added. Migrations create them; a test compares the two.

The tables of approvals in a SQL database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import KEY, Schema, SqlDatabase

SCHEMA: Final = Schema(
    head="0002",
    version_table="approvals_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x6170_7072_6F76_616C,  # "approval"
)


class ApprovalDatabase(SqlDatabase):
    """Transactions on the tables of approvals; other rooms' tables may be in the same database."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SCHEMA, kind="approvals", todo="make it with: journeymesh access migrate")


ENTRY: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData()

requests = sa.Table(
    "approval_requests",
    metadata,
    sa.Column("id", KEY, primary_key=True),
    sa.Column("product", KEY, nullable=False),
    sa.Column("product_major", sa.Integer(), nullable=False),
    sa.Column("purpose", KEY, nullable=False),
    sa.Column("tenant", KEY, nullable=False),
    sa.Column("domain", KEY, nullable=False),
    sa.Column("provider", sa.Text(), nullable=False),  # who requested it
    sa.Column("subject", sa.Text(), nullable=False),
    sa.Column("person", sa.Text()),  # the id that is theirs at every provider; null: none was declared
    sa.Column("requested_us", sa.BigInteger(), nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
    sa.Column("valid_to_us", sa.BigInteger(), nullable=False),
    sa.Index("approval_requests_by_tenant", "tenant", "requested_us", "id"),
)

steps = sa.Table(
    "approval_steps",
    metadata,
    sa.Column("entry", ENTRY, primary_key=True, autoincrement=True),  # grows in the order of commits
    sa.Column("approval", KEY, sa.ForeignKey("approval_requests.id"), nullable=False),
    sa.Column("number", sa.Integer(), nullable=False),  # 0: it was requested
    sa.Column("state", sa.Text(), nullable=False),  # the state that the step led to
    sa.Column("provider", sa.Text(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=False),
    sa.Column("person", sa.Text()),
    sa.Column("at_us", sa.BigInteger(), nullable=False),
    sa.Column("why", sa.Text(), nullable=False),
    sa.UniqueConstraint("approval", "number", name="approval_steps_once"),
)
