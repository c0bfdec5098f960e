"""The change feed: the position of each vehicle's last change, filled from the vehicles already there."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.tables import KEY

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the feed; whoever asks from the beginning is told every vehicle that the store holds."""
    op.create_table(
        "vehicle_changes",
        sa.Column("vehicle", KEY, primary_key=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
    )
    op.create_index("vehicle_changes_by_position", "vehicle_changes", ["position"])
    op.execute(
        "INSERT INTO vehicle_changes (vehicle, position) SELECT vehicle, row_number() OVER (ORDER BY vehicle) FROM ("
        "SELECT vehicle FROM journeys UNION SELECT vehicle FROM fix_blocks"
        " UNION SELECT vehicle FROM refusals WHERE vehicle IS NOT NULL) AS held"
    )
    op.execute("INSERT INTO write_sequence (name, last) SELECT 'changes', count(*) FROM vehicle_changes")
