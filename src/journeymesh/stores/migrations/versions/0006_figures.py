"""Figures are kept: what each term of a policy adds up to, by period. The store fills them after the migration."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.tables import EXACT, KEY

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SORTS = (
    ("journeys", sa.BigInteger(), False), ("distance_m", EXACT, False), ("night_share", EXACT, False),
    ("speeding_share", EXACT, True), ("harsh_events_per_100km", EXACT, False), ("mileage_ratio", EXACT, True),
    ("score", EXACT, False),
)  # fmt: skip


def upgrade() -> None:
    """Create the table, and a place for the rules of the score."""
    op.add_column("rules_used", sa.Column("score", sa.Text()))
    op.create_table(
        "figures",
        sa.Column("number", KEY, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("period", KEY, nullable=False),
        *(sa.Column(name, kind, nullable=nullable) for name, kind, nullable in SORTS),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", "tenant", "valid_from_us", "period"),
    )
    for name, _, _ in SORTS:
        op.create_index(f"figures_by_{name}", "figures", ["period", "tenant", name, "number", "valid_from_us"])
