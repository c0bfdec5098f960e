"""Records that can be added and neither changed nor removed."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table and what refuses to change it."""
    op.create_table(
        "audit_records",
        sa.Column("writer", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", KEY, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("writer", "number"),
    )
    op.create_index("audit_records_by_instant", "audit_records", ["at_us", "writer", "number"])
    op.create_index("audit_records_by_key", "audit_records", ["key"])
    if op.get_bind().dialect.name == "sqlite":
        _refuse_changes_on_sqlite()
    else:
        _refuse_changes_on_postgresql()


def _refuse_changes_on_sqlite() -> None:
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_records_no_{event.lower()} BEFORE {event} ON audit_records "
            "BEGIN SELECT RAISE(ABORT, 'audit records are never changed nor removed'); END"
        )
    # INSERT OR REPLACE removes the row in its way without firing the trigger above.
    op.execute(
        "CREATE TRIGGER audit_records_no_replace BEFORE INSERT ON audit_records "
        "WHEN EXISTS (SELECT 1 FROM audit_records WHERE writer = NEW.writer AND number = NEW.number) "
        "BEGIN SELECT RAISE(ABORT, 'audit records are never changed nor removed'); END"
    )


def _refuse_changes_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_records_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit records are never changed nor removed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_records "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_records_refuse()"
    )
