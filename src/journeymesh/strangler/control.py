"""The control database: what is recorded of the move, shared by every replica, feeder and operator."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase, now_us, put_row
from journeymesh.databases.schema import Schema
from journeymesh.strangler.control_tables import heads

__all__ = ["ROUTES", "SCHEMA", "Control", "bump", "now_us", "put_row", "revision"]

ROUTES: Final = "routes"
SCHEMA: Final = Schema(
    head="0006",
    version_table="strangler_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x73747261_6E676C65,  # "strangle"
)


class Control(SqlDatabase):
    """Transactions on the control database."""

    def __init__(self, url: str) -> None:
        todo = "create it with: journeymesh strangler apply PLAN --why TEXT"
        super().__init__(url, SCHEMA, kind="control", todo=todo)


def bump(connection: sa.Connection, name: str = ROUTES) -> int:
    """Count a change; returns the revision it made."""
    put_row(connection, heads, {"name": name}, {"revision": heads.c.revision + 1}, {"revision": 1})
    return int(connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar_one())


def revision(connection: sa.Connection, name: str = ROUTES) -> int:
    """The present revision; 0 before the first change."""
    found = connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar()
    return int(found or 0)
