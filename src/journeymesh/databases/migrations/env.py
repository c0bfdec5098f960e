"""Alembic's entry for every schema: migrates on the connection that ``Schema.upgrade`` gives, in its transaction."""

from alembic import context

given = context.config.attributes
context.configure(
    connection=given["connection"],
    version_table=given["version_table"],
    transactional_ddl=False,  # the caller's transaction spans the whole upgrade, on SQLite too
)
context.run_migrations()
