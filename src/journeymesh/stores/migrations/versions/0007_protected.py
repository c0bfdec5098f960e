"""Tables of protected rows: what is sealed, what stays in clear, and what it is found by. Empty until a key store is
used."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.tables import EXACT, KEY

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BIG, INT, TEXT, BYTES = sa.BigInteger(), sa.Integer(), sa.Text(), sa.LargeBinary()
TABLES = {
    "protected_blocks": (
        ("stored_id", KEY, False),
        ("token", KEY, False),
        ("owner", KEY, False),
        ("vehicle", KEY, True),
        ("day", INT, False),
        ("first_us", BIG, False),
        ("last_us", BIG, False),
        ("fixes", INT, False),
        ("sealed", BYTES, False),
    ),
    "protected_changes": (
        ("token", KEY, False),
        ("position", BIG, False),
    ),
    "protected_figures": (
        ("stored_id", KEY, False),
        ("owner", KEY, False),
        ("tenant", KEY, False),
        ("period", KEY, False),
        ("journeys", BIG, False),
        ("distance_m", EXACT, False),
        ("night_share", EXACT, False),
        ("speeding_share", EXACT, True),
        ("harsh_events_per_100km", EXACT, False),
        ("mileage_ratio", EXACT, True),
        ("score", EXACT, False),
        ("sealed", BYTES, False),
    ),
    "protected_history": (
        ("stored_id", KEY, False),
        ("token", KEY, False),
        ("owner", KEY, False),
        ("superseded_at_us", BIG, False),
        ("position", BIG, False),
        ("latest", BIG, False),
        ("sealed", BYTES, False),
    ),
    "protected_index": (
        ("token", KEY, False),
        ("sealed", BYTES, False),
    ),
    "protected_journeys": (
        ("stored_id", KEY, False),
        ("token", KEY, False),
        ("owner", KEY, False),
        ("attributed", INT, False),
        ("vehicle", KEY, True),
        ("tenant", KEY, True),
        ("product", KEY, True),
        ("started_at_us", BIG, False),
        ("ended_at_us", BIG, False),
        ("distance_m", EXACT, False),
        ("duration_s", EXACT, False),
        ("driving_s", EXACT, False),
        ("idle_s", EXACT, False),
        ("mean_speed_mps", EXACT, False),
        ("max_speed_mps", EXACT, False),
        ("night_distance_m", EXACT, False),
        ("night_s", EXACT, False),
        ("speeding_distance_m", EXACT, False),
        ("speeding_s", EXACT, False),
        ("harsh_braking", INT, False),
        ("harsh_acceleration", INT, False),
        ("harsh_cornering", INT, False),
        ("fixes", INT, False),
        ("quarantined", INT, False),
        ("bridged_s", EXACT, False),
        ("bridged_distance_m", EXACT, False),
        ("rules_version", KEY, False),
        ("hours", TEXT, False),
        ("limit_known_distance_m", EXACT, True),
        ("over_limit_distance_m", EXACT, True),
        ("speed_doubted", INT, True),
        ("sealed", BYTES, False),
    ),
    "protected_policies": (
        ("stored_id", KEY, False),
        ("owner", KEY, False),
        ("sealed", BYTES, False),
    ),
    "protected_refusals": (
        ("stored_id", KEY, False),
        ("token", KEY, False),
        ("owner", KEY, False),
        ("vehicle", KEY, True),
        ("reason", KEY, False),
        ("fixed_at_us", BIG, True),
        ("sealed", BYTES, False),
    ),
    "protected_runs": (
        ("run_id", KEY, False),
        ("rules_version", KEY, False),
        ("started_at_us", BIG, False),
        ("finished_at_us", BIG, True),
        ("counts", TEXT, False),
        ("sealed", BYTES, False),
    ),
    "protected_state": (
        ("name", KEY, False),
        ("value", TEXT, False),
    ),
}
"""By name the columns (name, type, nullable), the first of them the key."""
INDEXES = (
    ("protected_blocks_by_day", "protected_blocks", ["day"]),
    ("protected_blocks_by_span", "protected_blocks", ["vehicle", "first_us", "last_us"]),
    ("protected_blocks_by_token", "protected_blocks", ["token", "stored_id"]),
    ("protected_changes_by_position", "protected_changes", ["position"]),
    ("protected_figures_by_distance_m", "protected_figures", ["period", "tenant", "distance_m", "stored_id"]),
    (
        "protected_figures_by_harsh_events_per_100km",
        "protected_figures",
        ["period", "tenant", "harsh_events_per_100km", "stored_id"],
    ),
    ("protected_figures_by_journeys", "protected_figures", ["period", "tenant", "journeys", "stored_id"]),
    ("protected_figures_by_mileage_ratio", "protected_figures", ["period", "tenant", "mileage_ratio", "stored_id"]),
    ("protected_figures_by_night_share", "protected_figures", ["period", "tenant", "night_share", "stored_id"]),
    ("protected_figures_by_owner", "protected_figures", ["owner"]),
    ("protected_figures_by_score", "protected_figures", ["period", "tenant", "score", "stored_id"]),
    ("protected_figures_by_speeding_share", "protected_figures", ["period", "tenant", "speeding_share", "stored_id"]),
    ("protected_history_by_token", "protected_history", ["token", "latest"]),
    ("protected_journeys_by_owner", "protected_journeys", ["owner", "started_at_us"]),
    ("protected_journeys_by_start", "protected_journeys", ["started_at_us", "stored_id"]),
    ("protected_journeys_by_tenant", "protected_journeys", ["tenant", "product", "started_at_us"]),
    ("protected_journeys_by_token", "protected_journeys", ["token"]),
    ("protected_journeys_by_vehicle", "protected_journeys", ["vehicle", "started_at_us", "ended_at_us"]),
    ("protected_policies_by_owner", "protected_policies", ["owner"]),
    ("protected_refusals_by_reason", "protected_refusals", ["reason", "token"]),
    ("protected_refusals_by_token", "protected_refusals", ["token", "stored_id"]),
    ("protected_refusals_by_vehicle", "protected_refusals", ["vehicle", "fixed_at_us"]),
)


def upgrade() -> None:
    """Create the tables."""
    for name, ((key, kind, _), *columns) in TABLES.items():
        others = [sa.Column(column, of, nullable=nullable) for column, of, nullable in columns]
        op.create_table(name, sa.Column(key, kind, primary_key=True, nullable=False), *others)
    for name, table, indexed in INDEXES:
        op.create_index(name, table, indexed)
