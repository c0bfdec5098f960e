"""The last third opinion of each slice, as recorded: what a gate and ``status`` look at."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import opinions
from journeymesh.strangler.opinion import Class, Opinion
from journeymesh.strangler.routes import Route

TOTALS = "totals"
"""Held beside legacy's own totals: what the gate asks for."""
NAIVE = "naive"
"""Held beside a naive pass over a sample."""


class RecordedOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """A third opinion as recorded. ``classes`` counts policies and months by class; ``good`` of ``policies`` agree or
    are explained; ``stale`` says why it no longer counts, None: it does."""

    kind: str
    at_us: int
    answering: str
    policies: int
    good: int
    share: float | None
    classes: dict[str, int]
    stale: str | None = None


def record_opinion(control: Control, route: Route, kind: str, found: Opinion) -> None:
    """Record what was found of the slice as its route is; what was found before of this kind is forgotten."""
    name = route.slice.name
    with control.writing() as connection:
        connection.execute(sa.delete(opinions).where(opinions.c.slice == name, opinions.c.kind == kind))
        connection.execute(
            sa.insert(opinions).values(
                slice=name,
                kind=kind,
                at_us=now_us(),
                source=route.source,
                target=route.target,
                answering=route.answering_name,
                selector=route.slice.selector.digest,
                policies=found.policies,
                good=found.good,
                classes=msgspec.json.encode(found.classes).decode(),
            )
        )


def opinions_of(control: Control, route: Route) -> dict[str, RecordedOpinion]:
    """What is recorded of the slice, by kind."""
    held = opinions.c
    with control.reading() as connection:
        rows = connection.execute(sa.select(opinions).where(held.slice == route.slice.name)).all()
    found = {}
    for row in rows:
        classes = msgspec.json.decode(row.classes, type=dict[str, int])
        is_known = bool(row.policies) and bool(classes.get(Class.AGREES))
        found[row.kind] = RecordedOpinion(
            kind=row.kind,
            at_us=row.at_us,
            answering=row.answering,
            policies=row.policies,
            good=row.good,
            share=row.good / row.policies if is_known else None,
            classes=classes,
            stale=_stale(row, route),
        )
    return found


def _stale(row: sa.Row[tuple[object, ...]], route: Route) -> str | None:
    if (row.source, row.target) != (route.source, route.target):
        return f"recorded when the slice moved from {row.source} to {row.target}"
    if row.selector != route.slice.selector.digest:
        return "recorded for another set of policies"
    return None
