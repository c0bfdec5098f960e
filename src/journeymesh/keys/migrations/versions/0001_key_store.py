"""Secrets of policy terms, wrapped, and the keys that wrap them."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "key_store_state",
        sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("store_id", KEY, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "key_store_intermediate_keys",
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("provider_key", KEY, nullable=False),
        sa.Column("wrapped", sa.LargeBinary()),
        sa.Column("gone_at_us", sa.BigInteger()),
    )
    op.create_table(
        "key_store_common_keys",
        sa.Column("kind", KEY, primary_key=True),
        sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("intermediate", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "key_store_secrets",
        sa.Column("secret_id", KEY, primary_key=True),
        sa.Column("intermediate", sa.BigInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("token", KEY, nullable=False),
        sa.Column("name_token", KEY),
    )
    op.create_index("key_store_secrets_by_token", "key_store_secrets", ["token"], unique=True)
    op.create_index("key_store_secrets_by_name", "key_store_secrets", ["name_token"])
    op.create_index("key_store_secrets_by_intermediate", "key_store_secrets", ["intermediate", "secret_id"])
    op.create_table(
        "key_store_handles",
        sa.Column("handle", KEY, primary_key=True),
        sa.Column("secret_id", KEY, nullable=False),
    )
    op.create_index("key_store_handles_by_secret", "key_store_handles", ["secret_id"])
    op.create_table(
        "key_store_treatments",
        sa.Column("treatment_id", KEY, primary_key=True),
        sa.Column("finished_at_us", sa.BigInteger(), nullable=False),
        sa.Column("gone_at_us", sa.BigInteger()),
    )
