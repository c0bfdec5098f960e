"""The tables of approvals in a SQL database."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from journeymesh.databases.database import SqlDatabase
from journeymesh.databases.schema import Schema

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
