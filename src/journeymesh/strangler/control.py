"""The control database: what is recorded of the move, shared by every replica, feeder and operator.

The tables of the control database: what is recorded of the move. Migrations create them; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import KEY, Schema, SqlDatabase, now_us, put_row

metadata = sa.MetaData()

heads = sa.Table(
    "strangler_heads",
    metadata,
    sa.Column("name", KEY, primary_key=True),
    sa.Column("revision", sa.BigInteger(), nullable=False),
)
"""``routes``: counts every change of a route or of a target's completeness, so that replicas see one in one row."""

plan = sa.Table(
    "strangler_plan",
    metadata,
    sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),  # 1: there is one row at most
    sa.Column("id", sa.Text(), nullable=False),
    sa.Column("since_us", sa.BigInteger(), nullable=False),
)
"""The plan that this database belongs to."""

routes = sa.Table(
    "strangler_routes",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("selector", sa.Text(), nullable=False),  # JSON of Selector
    sa.Column("source", sa.Text(), nullable=False),
    sa.Column("target", sa.Text(), nullable=False),
    sa.Column("upstream", sa.Text(), nullable=False),  # where the target is fed from: legacy, or a store
    sa.Column("phase", sa.Text(), nullable=False),
    sa.Column("complete", sa.Boolean(), nullable=False),  # the target is complete for the slice
    sa.Column("source_complete", sa.Boolean(), nullable=False),  # a source that is a store is
    sa.Column("detail", sa.Text()),  # why one is not
    sa.Column("since_us", sa.BigInteger(), nullable=False),
)

history = sa.Table(
    "strangler_history",
    metadata,
    sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at_us", sa.BigInteger(), nullable=False),
    sa.Column("who", sa.Text(), nullable=False),
    sa.Column("why", sa.Text(), nullable=False),
    sa.Column("slice", KEY, nullable=False),
    sa.Column("before", sa.Text()),
    sa.Column("after", sa.Text()),
    sa.Column("outcome", sa.Text(), nullable=False),  # moved | refused | incomplete | complete | began | undone
    sa.Column("detail", sa.Text()),
)
sa.Index("strangler_history_by_slice", history.c.slice, history.c.entry)

operators = sa.Table(
    "strangler_operators",
    metadata,
    sa.Column("name", KEY, primary_key=True),  # one row a lock: "apply"
    sa.Column("holder", sa.Text(), nullable=False),
    sa.Column("since_us", sa.BigInteger(), nullable=False),
    sa.Column("expires_us", sa.BigInteger(), nullable=False),
)

pending_moves = sa.Table(
    "strangler_pending_moves",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("after", sa.Text(), nullable=False),
    sa.Column("step", sa.Text(), nullable=False),
    sa.Column("who", sa.Text(), nullable=False),
    sa.Column("why", sa.Text(), nullable=False),
    sa.Column("since_us", sa.BigInteger(), nullable=False),
    sa.Column("content", sa.Text()),
)
"""Moves of more than one step (retiring), so that ``apply`` completes or undoes what a crash left."""

feeds = sa.Table(
    "strangler_feeds",
    metadata,
    sa.Column("upstream", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("owner", sa.Text()),
    sa.Column("lease_until_us", sa.BigInteger()),
    sa.Column("started_us", sa.BigInteger()),
    sa.Column("last_event_us", sa.BigInteger()),  # when the source recorded the last event that was dealt with
    sa.Column("last_empty_us", sa.BigInteger()),  # when the source last said that there was nothing more
    sa.Column("beat_us", sa.BigInteger()),  # when the feeder last said that it lives
    sa.Column("events", sa.BigInteger(), nullable=False),
    sa.Column("revision", sa.BigInteger()),  # the routes' revision that the feeder acts on
    sa.Column("fault", sa.Text()),
    sa.Column("store_identity", sa.BigInteger()),  # of the target, so that it is known again: see targets.py
    sa.Column("store_writes", sa.BigInteger()),
    sa.Column("store_place", sa.Text()),  # where it was then, without credentials
)

backfills = sa.Table(
    "strangler_backfills",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("state", sa.Text(), nullable=False),  # running | complete | failed
    sa.Column("vehicles", sa.BigInteger(), nullable=False),
    sa.Column("vehicles_done", sa.BigInteger(), nullable=False),
    sa.Column("fixes", sa.BigInteger(), nullable=False),
    sa.Column("started_us", sa.BigInteger(), nullable=False),
    sa.Column("updated_us", sa.BigInteger(), nullable=False),
    sa.Column("active_s", sa.Float(), nullable=False),  # time at work, without pauses of the feeder
    sa.Column("throttled_s", sa.Float(), nullable=False),
    sa.Column("detail", sa.Text()),
)

document_index = sa.Table(
    "strangler_places",
    metadata,
    sa.Column("upstream", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("document", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("vehicle", KEY, primary_key=True),
    sa.Column("first_us", sa.BigInteger(), nullable=False),
    sa.Column("last_us", sa.BigInteger(), nullable=False),
)
"""Where each legacy document's fixes were last seen, for sources that do not tell what a deleted document held."""

refused_documents = sa.Table(
    "strangler_refused_documents",
    metadata,
    sa.Column("upstream", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("vehicle", KEY, primary_key=True),  # "": documents that name none
    sa.Column("documents", sa.BigInteger(), nullable=False),
)
"""Of how many legacy documents of each vehicle something stands refused in the target. Set, never added to."""

reads = sa.Table(
    "strangler_reads",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("documents", sa.BigInteger(), nullable=False),  # read since the target was last filled from its beginning
    sa.Column("whole", sa.Boolean(), nullable=False),  # those are all; else it was filled before they were counted
    sa.Column("refused", sa.BigInteger(), nullable=False),  # documents that stand refused, when it was last judged
    sa.Column("share_before", sa.Float()),  # the share that was refused before the window; none before the first fill
    sa.Column("window_us", sa.BigInteger(), nullable=False),  # when the window began, and both figures then
    sa.Column("window_documents", sa.BigInteger(), nullable=False),
    sa.Column("window_refused", sa.BigInteger(), nullable=False),
    sa.Column("question_documents", sa.BigInteger()),  # of a window that was sudden, until it is put right: documents,
    sa.Column("question_refused", sa.BigInteger()),  # how many stood refused when it began,
    sa.Column("question_before", sa.Float()),  # the share before it
    sa.Column("question_share", sa.Float()),  # and its own
)
"""How many documents a feed read and refused for each slice; see refusals.py."""

mismatches = sa.Table(
    "strangler_mismatches",
    metadata,
    sa.Column("cause", KEY, primary_key=True),
    sa.Column("slice", KEY, nullable=False),
    sa.Column("policy", sa.Text(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=False),  # a journey id, or the question
    sa.Column("at_us", sa.BigInteger()),  # when the subject begins, where it has an instant
    sa.Column("classification", sa.Text(), nullable=False),
    sa.Column("field", sa.Text(), nullable=False),
    sa.Column("source_value", sa.Text()),
    sa.Column("target_value", sa.Text()),
    sa.Column("found_by", sa.Text(), nullable=False),  # shadow | reconcile | backfill | feed
    sa.Column("first_seen_us", sa.BigInteger(), nullable=False),
    sa.Column("last_seen_us", sa.BigInteger(), nullable=False),
    sa.Column("seen", sa.BigInteger(), nullable=False),
    sa.Column("state", sa.Text(), nullable=False),  # open | accepted | resolved
    sa.Column("reason", sa.Text()),
    sa.Column("who", sa.Text()),
    sa.Column("expires_us", sa.BigInteger()),
    sa.Column("dealt_us", sa.BigInteger()),  # when it was last accepted or resolved
)
sa.Index("strangler_mismatches_by_slice", mismatches.c.slice, mismatches.c.state, mismatches.c.cause)

shadow_coverage = sa.Table(
    "strangler_shadow_coverage",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("policy", KEY, primary_key=True),
    sa.Column("compared", sa.BigInteger(), nullable=False),
    sa.Column("last_us", sa.BigInteger(), nullable=False),
)

shadow_counts = sa.Table(
    "strangler_shadow_counts",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("outcome", KEY, primary_key=True),  # equal | explained | differing | late | dropped | failed
    sa.Column("reads", sa.BigInteger(), nullable=False),
)

answer_counts = sa.Table(
    "strangler_asks",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("side", KEY, primary_key=True),  # the name of the side: legacy, or a store
    sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("reads", sa.BigInteger(), nullable=False),
    sa.Column("last_us", sa.BigInteger(), nullable=False),
)
"""Which side answered, by UTC day: what retiring has to prove. Shadow reads are not among them."""

foreign_runs = sa.Table(
    "strangler_foreign_runs",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("target", KEY, primary_key=True),
    sa.Column("run_id", KEY, primary_key=True),  # empty: since when runs are watched for
    sa.Column("digest", sa.Text(), nullable=False),
    sa.Column("seen_us", sa.BigInteger(), nullable=False),
    sa.Column("compared_us", sa.BigInteger()),  # null: open
)
"""Runs in targets that no feed wrote; see foreign_runs.py."""

reconciliations = sa.Table(
    "strangler_reconciliations",
    metadata,
    sa.Column("run_id", KEY, primary_key=True),
    sa.Column("slice", KEY, nullable=False),
    sa.Column("started_us", sa.BigInteger(), nullable=False),
    sa.Column("updated_us", sa.BigInteger(), nullable=False),
    sa.Column("finished_us", sa.BigInteger()),
    sa.Column("resume", sa.Text()),
    sa.Column("counts", sa.Text(), nullable=False),
)

opinions = sa.Table(
    "strangler_opinions",
    metadata,
    sa.Column("slice", KEY, primary_key=True),
    sa.Column("kind", KEY, primary_key=True),  # totals | naive
    sa.Column("at_us", sa.BigInteger(), nullable=False),
    sa.Column("source", sa.Text(), nullable=False),  # as the route was then
    sa.Column("target", sa.Text(), nullable=False),
    sa.Column("answering", sa.Text(), nullable=False),
    sa.Column("selector", sa.Text(), nullable=False),  # digest of the slice's set
    sa.Column("policies", sa.BigInteger(), nullable=False),
    sa.Column("good", sa.BigInteger(), nullable=False),
    sa.Column("classes", sa.Text(), nullable=False),  # JSON: policies and months by class
)
"""The last third opinion of each slice and kind."""

accepted_writes = sa.Table(
    "strangler_accepted_writes",
    metadata,
    sa.Column("key", KEY, primary_key=True),
    sa.Column("slice", KEY, nullable=False),
    sa.Column("content", sa.LargeBinary(), nullable=False),  # Arrow IPC of fixes
    sa.Column("accepted_us", sa.BigInteger(), nullable=False),
    sa.Column("delivered_us", sa.BigInteger()),
)
sa.Index("strangler_accepted_writes_waiting", accepted_writes.c.delivered_us, accepted_writes.c.accepted_us)


def of_target(table: sa.Table, slice_name: str, target: str) -> sa.ColumnElement[bool]:
    """The rows of a slice in a target."""
    return sa.and_(table.c.slice == slice_name, table.c.target == target)


def of_feed(table: sa.Table, upstream: str, target: str) -> sa.ColumnElement[bool]:
    """The rows of the feed from an upstream to a target."""
    return sa.and_(table.c.upstream == upstream, table.c.target == target)


__all__ = ["ROUTES", "SCHEMA", "Control", "bump", "now_us", "put_row", "revision"]

ROUTES: Final = "routes"
SCHEMA: Final = Schema(
    head="0006",
    version_table="strangler_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x73747261_6E676C65,  # "strangle"
)


class Control(SqlDatabase):
    """Transactions on the control database."""

    def __init__(self, url: str) -> None:
        todo = "create it with: journeymesh strangler apply PLAN --why TEXT"
        super().__init__(url, SCHEMA, kind="control", todo=todo)


def bump(connection: sa.Connection, name: str = ROUTES) -> int:
    """Count a change; returns the revision it made."""
    put_row(connection, heads, {"name": name}, {"revision": heads.c.revision + 1}, {"revision": 1})
    return int(connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar_one())


def revision(connection: sa.Connection, name: str = ROUTES) -> int:
    """The present revision; 0 before the first change."""
    found = connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar()
    return int(found or 0)
