"""The audit's one table. Migrations create it, with triggers that refuse to change it; a test compares the two.

The audit's table in a SQL database.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import KEY, Schema, SqlDatabase

SCHEMA: Final = Schema(
    head="0001",
    version_table="audit_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x61756469_74303031,  # "audit001"
)


class AuditDatabase(SqlDatabase):
    """Transactions on the audit's table; other rooms' tables may be in the same database."""

    def __init__(self, url: str) -> None:
        super().__init__(url, SCHEMA, kind="audit", todo="make it with: journeymesh access migrate")


metadata = sa.MetaData()

records = sa.Table(
    "audit_records",
    metadata,
    sa.Column("writer", KEY, primary_key=True),
    sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("at_us", sa.BigInteger(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("key", KEY),
    sa.Column("body", sa.LargeBinary(), nullable=False),  # canonical JSON, the bytes that were digested
    sa.Column("digest", sa.LargeBinary(), nullable=False),
    sa.Index("audit_records_by_instant", "at_us", "writer", "number"),
    sa.Index("audit_records_by_key", "key"),
)
