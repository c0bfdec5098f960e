"""The tables of the SQL stores. The migrations in ``migrations/`` create them; a test compares the two."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import UserDefinedType

from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.summaries import SUMMARY_SCHEMA
from journeymesh.stores.protected_kinds import PROTECTED
from journeymesh.stores.records import POLICY_KEY
from journeymesh.stores.rows import STORED_SCHEMA


class Untyped(UserDefinedType[float]):
    """A column without a type. SQLite writes −0.0 into a REAL column as 0; without affinity it keeps every bit."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Nothing: the column is declared by name only."""
        return ""


@compiles(Untyped)
def _untyped(*_: Any, **__: Any) -> str:
    return ""


KEY: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Text that is ordered by its bytes on every database, as the canonical order wants it."""
EXACT: Final[sa.types.TypeEngine[float]] = sa.Double().with_variant(Untyped(), "sqlite")
"""A float64 that keeps every bit."""

metadata = sa.MetaData()


def _journey_column(field: pa.Field) -> sa.Column[Any]:
    kind: Any = KEY
    if pa.types.is_floating(field.type):
        kind = EXACT
    elif field.type == pa.int64():
        kind = sa.BigInteger()
    elif field.type == pa.int32():
        kind = sa.Integer()
    elif field.name in ("hours", "harsh_events"):
        kind = sa.Text()
    return sa.Column(field.name, kind, nullable=field.nullable, primary_key=field.name == "journey_id")


journeys = sa.Table("journeys", metadata, *map(_journey_column, STORED_SCHEMA))
sa.Index("journeys_by_start", journeys.c.started_at_us, journeys.c.journey_id)
sa.Index("journeys_by_policy", journeys.c.policy, journeys.c.started_at_us, journeys.c.journey_id)
sa.Index("journeys_by_vehicle", journeys.c.vehicle, journeys.c.started_at_us, journeys.c.ended_at_us)
sa.Index("journeys_by_tenant", journeys.c.tenant, journeys.c.product, journeys.c.started_at_us)

history = sa.Table(
    "journey_history",
    metadata,
    sa.Column("entry_id", KEY, primary_key=True),
    sa.Column("journey_id", KEY, nullable=False),
    sa.Column("successor_id", KEY),
    sa.Column("superseded_at_us", sa.BigInteger(), nullable=False),
    sa.Column("position", sa.BigInteger(), nullable=False),
    sa.Column("latest", sa.BigInteger(), nullable=False),
    sa.Column("content", sa.Text(), nullable=False),
)
sa.Index("journey_history_by_journey", history.c.journey_id, history.c.latest)

refusals = sa.Table(
    "refusals",
    metadata,
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
sa.Index("refusals_by_vehicle", refusals.c.vehicle, refusals.c.fixed_at_us)
sa.Index("refusals_by_reason", refusals.c.reason, refusals.c.refusal_id)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("number", KEY, nullable=False),
    sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
    sa.Column("valid_to_us", sa.BigInteger()),
    sa.Column("zone", sa.Text(), nullable=False),
    sa.Column("device", sa.Text()),
    sa.Column("vehicle", sa.Text()),
    sa.Column("tenant", KEY, nullable=False),
    sa.Column("product", sa.Text(), nullable=False),
    sa.Column("status", sa.Text(), nullable=False),
    sa.Column("declared_annual_distance_m", EXACT),
    sa.PrimaryKeyConstraint(*POLICY_KEY),
)

rules = sa.Table(
    "rules_used",
    metadata,
    sa.Column("version", KEY, primary_key=True),
    sa.Column("digest", KEY, primary_key=True),
    sa.Column("score", sa.Text()),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("source", sa.Text(), nullable=False),
    sa.Column("rules_version", sa.Text(), nullable=False),
    sa.Column("started_at_us", sa.BigInteger(), nullable=False),
    sa.Column("finished_at_us", sa.BigInteger()),
    sa.Column("counts", sa.Text(), nullable=False),
    sa.Column("resume", sa.Text()),
)

blocks = sa.Table(
    "fix_blocks",
    metadata,
    sa.Column("vehicle", KEY, primary_key=True),
    sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("first_us", sa.BigInteger(), nullable=False),
    sa.Column("last_us", sa.BigInteger(), nullable=False),
    sa.Column("fixes", sa.Integer(), nullable=False),
    sa.Column("content", sa.LargeBinary(), nullable=False),
)
sa.Index("fix_blocks_by_day", blocks.c.day)
sa.Index("fix_blocks_by_span", blocks.c.vehicle, blocks.c.first_us, blocks.c.last_us)

vehicle_changes = sa.Table(
    "vehicle_changes",
    metadata,
    sa.Column("vehicle", KEY, primary_key=True),
    sa.Column("position", sa.BigInteger(), nullable=False),
)
sa.Index("vehicle_changes_by_position", vehicle_changes.c.position)


def _sort_column(name: str) -> sa.Column[Any]:
    field = SUMMARY_SCHEMA.field(name)
    return sa.Column(name, EXACT if pa.types.is_floating(field.type) else sa.BigInteger(), nullable=field.nullable)


figures = sa.Table(
    "figures",
    metadata,
    sa.Column("number", KEY, nullable=False),
    sa.Column("tenant", KEY, nullable=False),
    sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
    sa.Column("period", KEY, nullable=False),
    *map(_sort_column, SORTS),
    sa.Column("content", sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint(*POLICY_KEY, "period"),
)
for _name in SORTS:
    _by = (figures.c[name] for name in ("period", "tenant", _name, "number", "valid_from_us"))
    sa.Index(f"figures_by_{_name}", *_by)

_ABSENT: Final = frozenset({"vehicle", "fixed_at_us", "finished_at_us"})
"""Columns of protected rows that may be null and are none of journeys."""
_TYPES: Final[dict[str, Any]] = {
    "sealed": sa.LargeBinary(), "day": sa.Integer(), "fixes": sa.Integer(), "attributed": sa.Integer(),
    "position": sa.BigInteger(), "latest": sa.BigInteger(), "counts": sa.Text(),
}  # fmt: skip


def _protected(kind: str) -> sa.Table:
    made = PROTECTED[kind]
    columns = []
    for name in made.columns:
        column: sa.Column[Any]
        if kind == "figures" and name in SORTS:
            column = _sort_column(name)
        elif kind == "journeys" and name in made.clear:
            column = _journey_column(STORED_SCHEMA.field(name))
        else:
            default = sa.BigInteger() if name.endswith("_us") else KEY
            nullable = name in _ABSENT or (kind == "journeys" and name in ("tenant", "product"))
            column = sa.Column(
                name, _TYPES.get(name, default), primary_key=name == made.id, nullable=nullable, autoincrement=False
            )
        columns.append(column)
    return sa.Table(made.name, metadata, *columns)


def _indexed(table: sa.Table, **indexes: tuple[str, ...]) -> sa.Table:
    for name, columns in indexes.items():
        sa.Index(f"{table.name}_{name}", *(table.c[column] for column in columns))
    return table


protected_journeys = _indexed(
    _protected("journeys"),
    by_token=("token",),
    by_start=("started_at_us", "stored_id"),
    by_owner=("owner", "started_at_us"),
    by_vehicle=("vehicle", "started_at_us", "ended_at_us"),
    by_tenant=("tenant", "product", "started_at_us"),
)
protected_history = _indexed(_protected("history"), by_token=("token", "latest"))
protected_refusals = _indexed(
    _protected("refusals"),
    by_token=("token", "stored_id"),
    by_vehicle=("vehicle", "fixed_at_us"),
    by_reason=("reason", "token"),
)
protected_policies = _indexed(_protected("policies"), by_owner=("owner",))
protected_runs = _protected("runs")
protected_blocks = _indexed(
    _protected("blocks"),
    by_token=("token", "stored_id"),
    by_day=("day",),
    by_span=("vehicle", "first_us", "last_us"),
)
protected_changes = _indexed(_protected("changes"), by_position=("position",))
protected_figures = _indexed(
    _protected("figures"),
    by_owner=("owner",),
    **{f"by_{name}": ("period", "tenant", name, "stored_id") for name in SORTS},
)
protected_index = sa.Table(
    "protected_index",
    metadata,
    sa.Column("token", KEY, primary_key=True),
    sa.Column("sealed", sa.LargeBinary(), nullable=False),
)
protected_state = sa.Table(
    "protected_state",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("value", sa.Text(), nullable=False),
)

sequence = sa.Table(
    "write_sequence",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("last", sa.BigInteger(), nullable=False),
)
