"""Alembic's entry: migrates on the connection that ``upgrade`` hands over, in its transaction."""

from alembic import context

from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=SCHEMA.version_table,
    transactional_ddl=False,  # the caller's transaction spans the whole upgrade, on SQLite too
)
context.run_migrations()
