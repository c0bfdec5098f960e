"""The schema that a room has in a database, and how it is brought up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

_ENTRY: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """A room's tables, versioned apart from other rooms' in the same database.

    - ``head``: the newest revision, stated so that an up-to-date database is recognised without importing Alembic
    - ``version_table``: where the revision is recorded
    - ``migrations``: the folder whose ``versions`` has Alembic's scripts
    - ``writers_lock``: PostgreSQL's advisory lock that the one writer holds
    """

    head: str
    version_table: str
    migrations: Path
    writers_lock: int

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Bring the tables to ``head``, or to an earlier revision, inside the connection's transaction."""
        from alembic import command

        config = self.scripts()
        config.attributes |= {"connection": connection, "version_table": self.version_table}
        command.upgrade(config, revision)

    def scripts(self) -> Config:
        """Alembic's configuration that names the scripts, and the one entry that all schemas share."""
        from alembic.config import Config

        config = Config()
        for option, folder in (("script_location", _ENTRY), ("version_locations", self.migrations / "versions")):
            config.set_main_option(option, str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")  # a folder's name may have any other sign
        return config

    def version_in(self, connection: Connection) -> str | None:
        """The revision recorded in this database; None: none."""
        if not sa.inspect(connection).has_table(self.version_table):
            return None
        statement = f"SELECT version_num FROM {self.version_table}"  # noqa: S608 - a constant of ours
        found: str | None = connection.exec_driver_sql(statement).scalar()
        return found
