"""A journey says how much of its way had a known speed limit, and whether its reported speeds were doubted."""

import sqlalchemy as sa
from alembic import op

from journeymesh.stores.tables import EXACT

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Of the journeys that are there nobody knows: null."""
    for name, kind in (
        ("limit_known_distance_m", EXACT),
        ("over_limit_distance_m", EXACT),
        ("speed_doubted", sa.Integer()),
    ):
        op.add_column("journeys", sa.Column(name, kind))
