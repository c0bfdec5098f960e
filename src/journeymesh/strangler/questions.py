"""A question that either side answers with a table, so that the answers can be compared.

What a side of the door answers. Every store is one; the legacy side computes the same on read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.fixes import FIX_SCHEMA, Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.stores.digests import POLICY_SCHEMA
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery
from journeymesh.stores.records import policy_row, table_from_rows


class Side(Protocol):
    """The part of the journey port that applications read. Methods mean what they mean on a store.

    Two sides that hold the same fixes, policies and rules give byte-identical answers, but for ``history``: what a
    journey was before is kept by stores alone.
    """

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policy`` in (started_at, journey_id) order or its reverse, ``JOURNEY_SCHEMA``."""

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table; None if unknown or of no policy of the tenant that is given."""

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number."""

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's fixes with ``first <= fixed_at <= last``, by time, without refused ones and duplicates."""

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """What was refused of ``query.vehicle`` in a time, by time (``query.by_time``)."""

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first; none where the side keeps none."""


@dataclass(frozen=True, slots=True)
class JourneysAsked:
    """Journeys of one policy."""

    query: JourneyQuery
    key: str = "journey_id"

    def ask(self, side: Side) -> pa.Table:
        """The side's answer."""
        return side.journeys(self.query)

    @property
    def subject(self) -> str:
        """The question in words that tell it from others."""
        query = self.query
        parts = [
            f"{name}={_shown(value)}"
            for name, value in (
                ("vehicle", query.vehicle),
                ("tenant", query.tenant),
                ("product", query.product),
                ("terms", query.terms and ",".join(map(rfc3339, query.terms))),
                ("from", query.started_from),
                ("to", query.started_to),
                ("after", query.after and query.after[1]),
                ("limit", query.limit),
            )
            if value is not None
        ]
        return " ".join(["journeys", *parts])


@dataclass(frozen=True, slots=True)
class JourneyAsked:
    """One journey by its id."""

    journey_id: str
    key: str = "journey_id"

    def ask(self, side: Side) -> pa.Table:
        """The side's answer; no row where it has none."""
        return self.table(side.journey(self.journey_id))

    def table(self, answer: pa.Table | None) -> pa.Table:
        """An answer as a table."""
        return JOURNEY_SCHEMA.empty_table() if answer is None else answer

    @property
    def subject(self) -> str:
        """The question in words that tell it from others."""
        return f"journey {self.journey_id}"


@dataclass(frozen=True, slots=True)
class FixesAsked:
    """A vehicle's fixes."""

    vehicle: str
    first: datetime
    last: datetime
    key: str = "fixed_at"

    def ask(self, side: Side) -> pa.Table:
        """The side's answer."""
        return fix_table(side.fixes(self.vehicle, self.first, self.last))

    @property
    def subject(self) -> str:
        """The question in words that tell it from others."""
        return f"fixes vehicle={self.vehicle} from={_shown(self.first)} to={_shown(self.last)}"


@dataclass(frozen=True, slots=True)
class PolicyAsked:
    """The terms of the policy of a tenant with this number; of every tenant's, where none is named."""

    number: str
    tenant: str | None = None
    key: str = "valid_from_us"

    def ask(self, side: Side) -> pa.Table:
        """The side's answer."""
        return policy_table([policy for policy in side.policies(self.number) if self.tenant in (None, policy.tenant)])

    @property
    def subject(self) -> str:
        """The question in words that tell it from others."""
        return "policy"


Question = JourneysAsked | JourneyAsked | FixesAsked | PolicyAsked


def fix_table(fixes: Fixes) -> pa.Table:
    """The fixes in ``FIX_SCHEMA``, every column there: what nobody reports is null, whether or not it has a column."""
    table = fixes.to_arrow()
    names = table.column_names
    columns = [
        table[field.name].cast(pa.string()) if field.name == "vehicle" else table[field.name]
        if field.name in names else pa.nulls(len(table), field.type)
        for field in FIX_SCHEMA
    ]  # fmt: skip
    return pa.table(columns, names=FIX_SCHEMA.names)


def policy_table(policies: list[Policy]) -> pa.Table:
    """The policies as a table, instants as microseconds."""
    return table_from_rows([policy_row(policy) for policy in policies], POLICY_SCHEMA)


def _shown(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)
