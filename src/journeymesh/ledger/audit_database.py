"""The audit's table in a SQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from journeymesh.databases.database import SqlDatabase
from journeymesh.databases.schema import Schema

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
