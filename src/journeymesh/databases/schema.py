"""The schema that a room has in a database, and how it is brought up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Schema:
    """A room's tables, versioned apart from other rooms' in the same database.

    - ``head``: the newest revision, stated so that an up-to-date database is recognised without importing Alembic
    - ``version_table``: where the revision is recorded
    - ``migrations``: the folder of Alembic's scripts
    - ``writers_lock``: PostgreSQL's advisory lock that the one writer holds
    """

    head: str
    version_table: str
    migrations: Path
    writers_lock: int

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Bring the tables to ``head``, or to an earlier revision, inside the connection's transaction."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.migrations).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)

    def version_in(self, connection: Connection) -> str | None:
        """The revision recorded in this database; None: none."""
        if not sa.inspect(connection).has_table(self.version_table):
            return None
        statement = f"SELECT version_num FROM {self.version_table}"  # noqa: S608 - a constant of ours
        found: str | None = connection.exec_driver_sql(statement).scalar()
        return found
