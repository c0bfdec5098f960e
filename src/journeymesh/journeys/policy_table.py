"""Insurance policies as an Arrow table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from journeymesh.journeys.policies import Policy

_INSTANT: Final = pa.timestamp("us", "UTC")

POLICY_SCHEMA: Final = pa.schema(
    [
        pa.field("number", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("product", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("device", pa.string()),
        pa.field("vehicle", pa.string()),
        pa.field("valid_from", _INSTANT, nullable=False),
        pa.field("valid_to", _INSTANT),
        pa.field("zone", pa.string(), nullable=False),
        pa.field("declared_annual_distance_m", pa.float64()),
    ]
)

LISTED_POLICIES: Final = pa.schema(
    [field.with_name("policy") if field.name == "number" else field for field in POLICY_SCHEMA]
)
"""As listings have them: ``policy`` is the number, as it is beside journeys and summaries."""


def policy_table(policies: Sequence[Policy]) -> pa.Table:
    """The policies in ``POLICY_SCHEMA``, in their order."""
    return pa.table(
        [pa.array([getattr(policy, field.name) for policy in policies], field.type) for field in POLICY_SCHEMA],
        schema=POLICY_SCHEMA,
    )
