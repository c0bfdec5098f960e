"""The tables of tombstones, in a SQL database of their own. Migrations create them; a test compares the two."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import KEY, Schema
from journeymesh.keys.tables import CheckedDatabase

SCHEMA: Final = Schema(
    head="0002",
    version_table="tombstones_schema",
    migrations=Path(__file__).parent / "tombstone_migrations",
    writers_lock=0x746F6D62_74303031,  # "tombt001"
)
MIGRATE: Final = "restore them, or where nobody was ever treated make them with: journeymesh privacy migrate"


class TombstoneDatabase(CheckedDatabase):
    """Transactions on tombstones, which stand apart from the data, its keys, and the backups of both."""

    upgrading = "upgrade their tables with: journeymesh privacy migrate"

    def __init__(self, url: str) -> None:
        super().__init__(url, SCHEMA, kind="tombstones", todo=MIGRATE)


metadata = sa.MetaData()

state = sa.Table(
    "tombstone_state",
    metadata,
    sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),  # always 1
    sa.Column("key_check", KEY, nullable=False),  # tells the key that the tombstones were made with
    sa.Column("revision", sa.BigInteger(), nullable=False),  # grows with every write
)
policies = sa.Table(
    "tombstone_policies",
    metadata,
    sa.Column("token", KEY, primary_key=True),  # of tenant and number
    sa.Column("from_us", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("to_us", sa.BigInteger(), nullable=False),
    sa.Column("treatment_id", KEY, nullable=False),
)
vehicles = sa.Table(
    "tombstone_vehicles",
    metadata,
    sa.Column("token", KEY, primary_key=True),  # of a vehicle or a device
    sa.Column("from_us", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("to_us", sa.BigInteger(), nullable=False),  # not before the end of the last journey
    sa.Column("treatment_id", KEY, nullable=False),
)
treatments = sa.Table(
    "tombstone_treatments",
    metadata,
    sa.Column("treatment_id", KEY, primary_key=True),
    sa.Column("at_us", sa.BigInteger(), nullable=False),
)
refused_input = sa.Table(
    "tombstone_refused_input",
    metadata,
    sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),  # since 1970 UTC
    sa.Column("kind", KEY, primary_key=True),
    sa.Column("rows", sa.BigInteger(), nullable=False),
)
