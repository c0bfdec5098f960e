"""Migrations of the SQL stores' schema, run by ``SqlStore.migrate()``; nothing outside this package is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from journeymesh.databases.database import Schema
from journeymesh.stores.schema_version import SCHEMA_VERSION

SCHEMA: Final = Schema(
    head=SCHEMA_VERSION,
    version_table="journeymesh_schema",
    migrations=Path(__file__).parent,
    writers_lock=0x6A6F7572_6E657973,  # "journeys"
)
