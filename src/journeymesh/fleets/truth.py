"""What really happened in a fleet, as Arrow tables: journeys, harsh events, faults and what they must lead to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from journeymesh.journeys.fields import INSTANT

TRUE_JOURNEY_SCHEMA: Final = pa.schema(
    [
        pa.field("vehicle", pa.string(), nullable=False),
        pa.field("policy", pa.string()),
        pa.field("zone", pa.string(), nullable=False),
        pa.field("started_at", INSTANT, nullable=False),
        pa.field("ended_at", INSTANT, nullable=False),
        pa.field("start_lat_deg", pa.float64(), nullable=False),
        pa.field("start_lon_deg", pa.float64(), nullable=False),
        pa.field("end_lat_deg", pa.float64(), nullable=False),
        pa.field("end_lon_deg", pa.float64(), nullable=False),
        pa.field("distance_m", pa.float64(), nullable=False),  # along the true path on the WGS84 ellipsoid
        pa.field("moving_s", pa.float64(), nullable=False),
        pa.field("max_speed_mps", pa.float64(), nullable=False),
        pa.field("night_s", pa.float64(), nullable=False),  # 23 to 5 o'clock local
    ]
)
TRUE_HARSH_SCHEMA: Final = pa.schema(
    [
        pa.field("vehicle", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # braking | acceleration | cornering
        pa.field("started_at", INSTANT, nullable=False),
        pa.field("ended_at", INSTANT, nullable=False),
        pa.field("peak_at", INSTANT, nullable=False),
        pa.field("peak_mps2", pa.float64(), nullable=False),
    ]
)
TRUE_FAULT_SCHEMA: Final = pa.schema(
    [
        pa.field("vehicle", pa.string(), nullable=False),
        pa.field("fault", pa.string(), nullable=False),
        pa.field("reason", pa.string()),  # the reason code each of these fixes must be given; null: none is refused
        pa.field("happened_at", INSTANT, nullable=False),  # the true instant of the first fix concerned
        pa.field("until_at", INSTANT, nullable=False),  # of the last one
        pa.field("fixed_at", INSTANT),  # what the device's clock says; null: nothing readable
        pa.field("lat_deg", pa.float64()),
        pa.field("lon_deg", pa.float64()),
        pa.field("fixes", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of a fleet or of some of its vehicles. One fault row per refused fix, one per stretch otherwise."""

    journeys: pa.Table
    harsh_events: pa.Table
    faults: pa.Table

    @classmethod
    def concat(cls, parts: Iterable[Truth]) -> Truth:
        """The parts one after the other."""
        held = list(parts)
        return cls(
            pa.concat_tables([TRUE_JOURNEY_SCHEMA.empty_table(), *(p.journeys for p in held)]).combine_chunks(),
            pa.concat_tables([TRUE_HARSH_SCHEMA.empty_table(), *(p.harsh_events for p in held)]).combine_chunks(),
            pa.concat_tables([TRUE_FAULT_SCHEMA.empty_table(), *(p.faults for p in held)]).combine_chunks(),
        )
