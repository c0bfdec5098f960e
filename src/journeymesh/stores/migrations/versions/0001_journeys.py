"""Journeys, their history, refusals, policies, runs and kept fixes."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.tables import EXACT, KEY

revision = "0001"
down_revision = None

JOURNEY_FLOATS = (
    "start_lat_deg", "start_lon_deg", "end_lat_deg", "end_lon_deg", "distance_m", "duration_s", "driving_s", "idle_s",
    "mean_speed_mps", "max_speed_mps", "night_distance_m", "night_s", "speeding_distance_m", "speeding_s",
)  # fmt: skip
JOURNEY_COUNTS = ("harsh_braking", "harsh_acceleration", "harsh_cornering", "fixes", "quarantined")


def upgrade() -> None:
    """Create the first schema."""
    _journeys()
    _quarantine()
    _policies_and_runs()
    _fixes()


def _journeys() -> None:
    op.create_table(
        "journeys",
        sa.Column("journey_id", KEY, primary_key=True),
        sa.Column("vehicle", KEY, nullable=False),
        *(sa.Column(name, KEY) for name in ("policy", "tenant", "product")),
        sa.Column("zone", KEY, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("started_at_us", "ended_at_us")),
        *(sa.Column(name, EXACT, nullable=False) for name in JOURNEY_FLOATS),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in JOURNEY_COUNTS),
        *(sa.Column(name, EXACT, nullable=False) for name in ("bridged_s", "bridged_distance_m")),
        sa.Column("rules_version", KEY, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("hours", "harsh_events")),
    )
    op.create_index("journeys_by_start", "journeys", ["started_at_us", "journey_id"])
    op.create_index("journeys_by_policy", "journeys", ["policy", "started_at_us", "journey_id"])
    op.create_index("journeys_by_vehicle", "journeys", ["vehicle", "started_at_us", "ended_at_us"])
    op.create_index("journeys_by_tenant", "journeys", ["tenant", "product", "started_at_us"])
    op.create_table(
        "journey_history",
        sa.Column("entry_id", KEY, primary_key=True),
        sa.Column("journey_id", KEY, nullable=False),
        sa.Column("successor_id", KEY),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("superseded_at_us", "position", "latest")),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_index("journey_history_by_journey", "journey_history", ["journey_id", "latest"])


def _quarantine() -> None:
    op.create_table(
        "refusals",
        sa.Column("refusal_id", KEY, primary_key=True),
        sa.Column("reason", KEY, nullable=False),
        sa.Column("vehicle", KEY),
        sa.Column("fixed_at_us", sa.BigInteger()),
        sa.Column("lat_deg", EXACT),
        sa.Column("lon_deg", EXACT),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("content", sa.Text()),
    )
    op.create_index("refusals_by_vehicle", "refusals", ["vehicle", "fixed_at_us"])
    op.create_index("refusals_by_reason", "refusals", ["reason", "refusal_id"])


def _policies_and_runs() -> None:
    op.create_table(
        "policies",
        sa.Column("number", KEY, primary_key=True),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("valid_to_us", sa.BigInteger()),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("device", sa.Text()),
        sa.Column("vehicle", sa.Text()),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant", "product", "status")),
        sa.Column("declared_annual_distance_m", EXACT),
    )
    op.create_table(
        "rules_used",
        sa.Column("version", KEY, primary_key=True),
        sa.Column("digest", KEY, primary_key=True),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", KEY, primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("source", "rules_version")),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_us", sa.BigInteger()),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.Column("resume", sa.Text()),
    )
    op.create_table(
        "write_sequence",
        sa.Column("name", KEY, primary_key=True),
        sa.Column("last", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO write_sequence (name, last) VALUES ('batches', 0)")


def _fixes() -> None:
    op.create_table(
        "fix_blocks",
        sa.Column("vehicle", KEY, primary_key=True),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("first_us", "last_us")),
        sa.Column("fixes", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_index("fix_blocks_by_day", "fix_blocks", ["day"])
    op.create_index("fix_blocks_by_span", "fix_blocks", ["vehicle", "first_us", "last_us"])
