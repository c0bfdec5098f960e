"""Alembic's entry: migrates on the connection that ``upgrade`` hands over, in its transaction."""

from alembic import context

from journeymesh.strangler.control_tables import metadata
from journeymesh.strangler.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction spans the whole upgrade, on SQLite too
)
context.run_migrations()
