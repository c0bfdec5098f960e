"""Migrations of the control database, run by ``Control.migrate()``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "0002"
"""The newest revision, stated here so that an up-to-date database is recognised without importing Alembic."""

VERSION_TABLE: Final = "strangler_schema"


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``HEAD`` inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
