"""What a side of the door answers. Every store is one; the legacy side computes the same on read."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import JourneyQuery


class Side(Protocol):
    """The part of the journey port that applications read. Methods mean what they mean on a store.

    Two sides that hold the same fixes, policies and rules give byte-identical answers.
    """

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policy`` in (started_at, journey_id) order or its reverse, ``JOURNEY_SCHEMA``."""

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table; None if unknown or of no policy of the tenant that is given."""

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number."""

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's fixes with ``first <= fixed_at <= last``, by time, without refused ones and duplicates."""
