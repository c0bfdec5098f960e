"""What a target is to hold of a vehicle's time, and the difference to what it does hold, as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.engines.differences import difference
from journeymesh.engines.port import Retention
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import INSTANT, JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.ordering import in_canonical_order
from journeymesh.journeys.policies import instant_us
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, DocumentPlace, VehicleTimes
from journeymesh.stores.fix_blocks import encode_blocks
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store, StoreBatch, Superseded, VehicleSpan
from journeymesh.stores.records import from_us

_LONGEST_JOURNEY_US: Final = 7 * DAY_US
_READING_REASONS: Final = tuple(reason.code for reason in Reason if reason > Reason.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Content:
    """What upstream has of one vehicle from ``first_us`` to ``last_us``, both included.

    ``fixes`` are the ones to keep, in canonical order.
    """

    vehicle: str
    first_us: int
    last_us: int
    journeys: pa.Table
    refusals: Sequence[Refusal]
    fixes: Fixes
    places: Sequence[DocumentPlace] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is all there is of the vehicle."""
        return self.first_us <= BEGINNING_US and self.last_us >= END_US


@dataclass(slots=True)
class Restated:
    """The difference to write, and what it counts. ``contents`` is what the target holds once it is written."""

    batch: StoreBatch = field(default_factory=StoreBatch)
    contents: Sequence[Content] = ()
    journeys_put: int = 0
    journeys_gone: int = 0

    @property
    def fixes(self) -> int:
        """How many fixes were looked at."""
        return sum(len(content.fixes) for content in self.contents)

    @property
    def changes_anything(self) -> bool:
        """Whether the target lacks anything, or has anything that it should not."""
        batch = self.batch
        put = batch.journeys is not None and len(batch.journeys) > 0
        refused = bool(batch.refusals or batch.refusals_withdrawn)
        return put or refused or bool(batch.superseded or batch.fixes_withdrawn) or batch.fixes is not None


def restated(
    store: Store,
    contents: Sequence[Content],
    retention: Retention,
    now: datetime,
    origins: frozenset[str] = frozenset(),
) -> Restated:
    """What has to be written so that the store holds these contents and, of their times, nothing else.

    ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
    """
    spans = store.vehicles(sorted({content.vehicle for content in contents}))
    found = _Found()
    for content in contents:
        span = spans.get(content.vehicle)
        _compare_journeys(found, store, content, span)
        _compare_refusals(found, store, content, origins)
        _compare_fixes(found, store, content, span, retention, now)
    stands = {refusal.refusal_id for content in contents for refusal in content.refusals}
    if origins and next(store.refusals(RefusalQuery(without_vehicle=True, limit=1)), None) is not None:
        found.withdrawn += [refusal_id for refusal_id in _ids_at_reading(origins) if refusal_id not in stands]
    batch = StoreBatch(
        journeys=pa.concat_tables(found.tables) if found.tables else None,
        superseded=found.superseded,
        refusals=found.refusals,
        refusals_withdrawn=found.withdrawn,
        fixes=in_canonical_order(Fixes.concat(found.fixes)) if found.fixes else None,
        fixes_withdrawn=found.days_gone,
    )
    return Restated(batch, contents, sum(map(len, found.tables)), found.gone)


def journeys_held(store: Store, content: Content) -> pa.Table:
    """The store's journeys of the vehicle that touch the content's time."""
    if content.is_whole:
        return store.journeys(JourneyQuery(vehicle=content.vehicle))
    query = JourneyQuery(
        vehicle=content.vehicle,
        started_from=from_us(content.first_us - _LONGEST_JOURNEY_US),
        started_to=from_us(content.last_us + 1),
    )
    found = store.journeys(query)
    return found.filter(pc.greater_equal(found["ended_at"], pa.scalar(from_us(content.first_us), INSTANT)))


def beyond(store: Store, content: Content) -> Iterator[VehicleTimes]:
    """Times of journeys that the store holds and that reach out of the content's: what joined them is no more."""
    if content.is_whole:
        return
    held = journeys_held(store, content)
    for column in ("started_at", "ended_at"):
        for at_us in held[column].cast(pa.int64()).to_pylist():
            if not content.first_us <= at_us <= content.last_us:
                yield VehicleTimes(content.vehicle, at_us, at_us)


@dataclass(slots=True)
class _Found:
    tables: list[pa.Table] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    fixes: list[Fixes] = field(default_factory=list)
    days_gone: list[tuple[str, int]] = field(default_factory=list)
    gone: int = 0


def _compare_journeys(found: _Found, store: Store, content: Content, span: VehicleSpan | None) -> None:
    before = JOURNEY_SCHEMA.empty_table() if span is None else journeys_held(store, content)
    differs = difference(before, content.journeys)
    if differs.put:
        is_put = pc.is_in(content.journeys["journey_id"], pa.array(differs.put, pa.string()))
        found.tables.append(content.journeys.filter(is_put))
    found.superseded += differs.gone
    # A journey under way grows with every batch: that is no history.
    found.superseded += [Superseded(i, i) for i in differs.changed if i not in differs.grown]
    found.gone += len(differs.gone)


def _compare_refusals(found: _Found, store: Store, content: Content, origins: frozenset[str]) -> None:
    stands = {refusal.refusal_id: refusal for refusal in content.refusals}
    for refusal_id, refusal in store.refusals(RefusalQuery(vehicle=content.vehicle)):
        if stands.pop(refusal_id, None) is None and _is_of(refusal, content, origins):
            found.withdrawn.append(refusal_id)
    found.refusals += stands.values()


def _is_of(refusal: Refusal, content: Content, origins: frozenset[str]) -> bool:
    """Whether a refusal that does not stand any more would, if it did, be among the content's."""
    if content.is_whole:
        return True
    if refusal.fixed_at is not None:
        return content.first_us <= instant_us(refusal.fixed_at) <= content.last_us
    return bool(origins) and (refusal.origin in origins or refusal.origin.partition(".")[0] in origins)


def _ids_at_reading(origins: frozenset[str]) -> Iterator[str]:
    """The ids that refusals of these documents have where vehicle or clock could not be read."""
    for origin in origins:
        for reason in _READING_REASONS:
            yield Refusal(reason, origin, "").refusal_id


def _compare_fixes(
    found: _Found, store: Store, content: Content, span: VehicleSpan | None, retention: Retention, now: datetime
) -> None:
    fixes, first_us, last_us = content.fixes, content.first_us, content.last_us
    if retention.keep is not None:
        oldest_us = instant_us(now - retention.keep) // DAY_US * DAY_US
        fixes, first_us = fixes.take(fixes.fixed_at_us >= oldest_us), max(first_us, oldest_us)
    if span is None:
        if len(fixes):
            found.fixes.append(fixes)
        return
    first_us = max(first_us, instant_us(span.first_at) // DAY_US * DAY_US)
    last_us = min(last_us, instant_us(span.last_at) // DAY_US * DAY_US + DAY_US - 1)
    kept = {}
    if first_us <= last_us:
        held = store.fixes(content.vehicle, from_us(first_us), from_us(last_us))
        kept = {block.day: block.content for block in encode_blocks(held)}
    fresh = {block.day: block.content for block in encode_blocks(fixes)}
    if days := [day for day, block in fresh.items() if kept.get(day) != block]:
        found.fixes.append(fixes.take(np.isin(fixes.fixed_at_us // DAY_US, days)))
    found.days_gone += [(content.vehicle, day) for day in kept if day not in fresh]
