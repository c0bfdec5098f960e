"""Routes and their history, feeds and backfills, and what comparing found."""

import sqlalchemy as sa
from alembic import op

from journeymesh.databases.database import KEY

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the first schema."""
    _routes()
    _feeding()
    _comparing()


def _routes() -> None:
    op.create_table(
        "strangler_heads",
        sa.Column("name", KEY, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "strangler_routes",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("upstream", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("source_complete", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slice"),
    )
    op.create_table(
        "strangler_history",
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("slice", KEY, nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("entry"),
    )
    op.create_index("strangler_history_by_slice", "strangler_history", ["slice", "entry"])
    op.create_table(
        "strangler_operators",
        sa.Column("name", KEY, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "strangler_pending_moves",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("slice"),
    )


def _feeding() -> None:
    op.create_table(
        "strangler_feeds",
        sa.Column("upstream", KEY, nullable=False),
        sa.Column("target", KEY, nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until_us", sa.BigInteger(), nullable=True),
        sa.Column("started_us", sa.BigInteger(), nullable=True),
        sa.Column("last_event_us", sa.BigInteger(), nullable=True),
        sa.Column("last_empty_us", sa.BigInteger(), nullable=True),
        sa.Column("beat_us", sa.BigInteger(), nullable=True),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("upstream", "target"),
    )
    op.create_table(
        "strangler_backfills",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("target", KEY, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("vehicles", sa.BigInteger(), nullable=False),
        sa.Column("vehicles_done", sa.BigInteger(), nullable=False),
        sa.Column("fixes", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("active_s", sa.Float(), nullable=False),
        sa.Column("throttled_s", sa.Float(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("slice", "target"),
    )
    op.create_table(
        "strangler_places",
        sa.Column("upstream", KEY, nullable=False),
        sa.Column("target", KEY, nullable=False),
        sa.Column("document", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vehicle", KEY, nullable=False),
        sa.Column("first_us", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("upstream", "target", "document", "vehicle"),
    )
    op.create_table(
        "strangler_reconciliations",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("slice", KEY, nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("finished_us", sa.BigInteger(), nullable=True),
        sa.Column("resume", sa.Text(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "strangler_accepted_writes",
        sa.Column("key", KEY, nullable=False),
        sa.Column("slice", KEY, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_us", sa.BigInteger(), nullable=False),
        sa.Column("delivered_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("strangler_accepted_writes_waiting", "strangler_accepted_writes", ["delivered_us", "accepted_us"])


def _comparing() -> None:
    op.create_table(
        "strangler_mismatches",
        sa.Column("cause", KEY, nullable=False),
        sa.Column("slice", KEY, nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("classification", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("source_value", sa.Text(), nullable=True),
        sa.Column("target_value", sa.Text(), nullable=True),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.Column("first_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("who", sa.Text(), nullable=True),
        sa.Column("expires_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("cause"),
    )
    op.create_index("strangler_mismatches_by_slice", "strangler_mismatches", ["slice", "state", "cause"])
    op.create_table(
        "strangler_shadow_coverage",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("policy", KEY, nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slice", "policy"),
    )
    # ### end Alembic commands ###
    op.create_table(
        "strangler_shadow_counts",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("outcome", KEY, nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slice", "outcome"),
    )
    op.create_table(
        "strangler_asks",
        sa.Column("slice", KEY, nullable=False),
        sa.Column("side", KEY, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reads", sa.BigInteger(), nullable=False),
        sa.Column("last_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slice", "side", "day"),
    )
