"""The audit's one table. Migrations create it, with triggers that refuse to change it; a test compares the two."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

KEY: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

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
