"""What a target is to hold of a vehicle's time, and the difference to what it does hold, as one batch."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np

from journeymesh.engines.differences import difference
from journeymesh.engines.port import Retention
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal, id_of_refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.ordering import in_canonical_order
from journeymesh.journeys.policies import instant_us
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, DocumentPlace, VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.port import StoreBatch, Superseded
from journeymesh.stores.rows import ID, JourneyRow
from journeymesh.strangler.holdings import Day, Holding, Known, Span, day_digests, reaching

_NAMELESS_REASONS: Final = tuple(
    reason.code
    for reason in (
        Reason.VEHICLE_MISSING,
        Reason.CLOCK_MISSING,
        Reason.CLOCK_UNPARSEABLE,
        Reason.DOCUMENT_CORRUPT,
    )
)
"""What is found before both vehicle and clock are read."""
POLICY_REASONS: Final = (Reason.POLICY_UNUSABLE.code, Reason.POLICY_CONTRADICTS.code)
NAMELESS: Final = ""
"""In place of a vehicle: of documents that name none."""
_ELEMENT: Final = re.compile(r"\[\d+\]$")
_READING_REASONS: Final = tuple(r.code for r in Reason if r > Reason.UNDECIDED and r is not Reason.FIXES_NOT_KEPT)


@dataclass(frozen=True, slots=True)
class Content:
    """What upstream has of one vehicle from ``first_us`` to ``last_us``, both included.

    ``journeys`` are rows as stores keep them; ``fixes`` are the ones to keep, in canonical order.
    """

    vehicle: str
    first_us: int
    last_us: int
    journeys: Sequence[JourneyRow]
    refusals: Sequence[Refusal]
    fixes: Fixes
    places: Sequence[DocumentPlace] = ()

    @property
    def span(self) -> Span:
        """The vehicle and the time."""
        return Span(self.vehicle, self.first_us, self.last_us)

    @property
    def is_whole(self) -> bool:
        """Whether it is all there is of the vehicle."""
        return self.first_us <= BEGINNING_US and self.last_us >= END_US

    def beyond(self, holding: Holding) -> Iterator[VehicleTimes]:
        """Times of journeys that are held and reach out of this time: what joined them is no more."""
        return iter(()) if self.is_whole else reaching(holding, self.span)


@dataclass(slots=True)
class Restated:
    """The difference to write, and what it counts.

    ``contents`` and ``holdings`` are what the target is to hold once it is written.
    """

    batch: StoreBatch = field(default_factory=StoreBatch)
    contents: Sequence[Content] = ()
    holdings: Sequence[Holding] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    """Of how many documents something stands refused afterwards, by vehicle ("": none), where the batch changes it."""
    journeys_put: int = 0
    journeys_gone: int = 0

    @property
    def fixes(self) -> int:
        """How many fixes were looked at."""
        return sum(len(content.fixes) for content in self.contents)

    @property
    def refused_at_reading(self) -> Iterator[str]:
        """The ids of the contents' refusals that are known by their document alone, whichever vehicle it is of."""
        refusals = (each for content in self.contents for each in content.refusals)
        return (each.refusal_id for each in refusals if is_at_reading(each))

    @property
    def changes_anything(self) -> bool:
        """Whether the target lacks anything, or has anything that it should not."""
        batch = self.batch
        put = batch.journeys is not None or batch.fixes is not None
        return put or bool(batch.superseded or batch.refusals or batch.refusals_withdrawn or batch.fixes_withdrawn)


def restated(
    contents: Sequence[Content],
    holdings: Sequence[Holding],
    retention: Retention,
    now: datetime,
    origins: frozenset[str] = frozenset(),
) -> Restated:
    """What has to be written so that the store, which holds this, holds the contents and, of their times, nothing else.

    ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
    """
    found = _Found()
    refused = _RefusedDocuments()
    kept = _kept_days(contents, retention, now)
    after = []
    for content, holding in zip(contents, holdings, strict=True):
        _compare_journeys(found, content, holding)
        refusals = _compare_refusals(found, content, holding, origins)
        refused.compared(content.vehicle, holding.refusals, refusals)
        days = kept.get(content.vehicle, {})
        if not content.is_whole:
            days = {day: block for day, block in days.items() if _is_within(day, content)}
        _compare_fixes(found, content, holding, days, retention, now)
        after.append(replace(holding, journeys=tuple(content.journeys), refusals=refusals, days=days))
    batch = StoreBatch(
        journeys=rows.journeys_of(found.put) if found.put else None,
        superseded=found.superseded,
        refusals=found.refusals,
        refusals_withdrawn=found.withdrawn,
        fixes=in_canonical_order(Fixes.concat(found.fixes)) if found.fixes else None,
        fixes_withdrawn=found.days_gone,
    )
    return Restated(batch, contents, after, refused.counts(), len(found.put), found.gone)


def document_of(origin: str) -> str:
    """The same text for all inputs of a document, another one for another document."""
    return _ELEMENT.sub("", origin)


@dataclass(slots=True)
class _RefusedDocuments:
    """The documents of which something is refused, of vehicles that are compared in one or several times."""

    held: dict[str, Mapping[str, Known]] = field(default_factory=dict)
    gone: dict[str, set[str]] = field(default_factory=dict)
    fresh: dict[str, dict[str, Known]] = field(default_factory=dict)

    def compared(self, vehicle: str, before: Mapping[str, Known], after: Mapping[str, Known]) -> None:
        """Note what a comparison of one time made of the vehicle's refusals."""
        if before == after:
            return
        self.held[vehicle] = before
        self.gone.setdefault(vehicle, set()).update(before.keys() - after.keys())
        fresh = {key: known for key, known in after.items() if before.get(key) != known}
        self.fresh.setdefault(vehicle, {}).update(fresh)

    def counts(self) -> dict[str, int]:
        """How many documents there are, by vehicle, of vehicles whose refusals change."""
        return {
            vehicle: len(
                {
                    document_of(known.origin)
                    for key, known in [*held.items(), *self.fresh[vehicle].items()]
                    if key not in self.gone[vehicle] or key in self.fresh[vehicle]
                }
            )
            for vehicle, held in self.held.items()
        }


@dataclass(slots=True)
class _Found:
    put: list[JourneyRow] = field(default_factory=list)
    superseded: list[Superseded] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    fixes: list[Fixes] = field(default_factory=list)
    days_gone: list[tuple[str, int]] = field(default_factory=list)
    gone: int = 0


def _compare_journeys(found: _Found, content: Content, holding: Holding) -> None:
    differs = difference(holding.journeys, content.journeys)
    wanted = set(differs.put)
    found.put += [row for row in content.journeys if row[ID] in wanted]
    found.superseded += differs.gone
    # A journey under way grows with every batch: that is no history.
    found.superseded += [Superseded(i, i) for i in differs.changed if i not in differs.grown]
    found.gone += len(differs.gone)


def _compare_refusals(
    found: _Found, content: Content, holding: Holding, origins: frozenset[str]
) -> Mapping[str, Known]:
    """Returns what is known of the vehicle's refusals once the difference is written."""
    stands = {refusal.refusal_id: refusal for refusal in content.refusals}
    after = {}
    for refusal_id, known in holding.refusals.items():
        if refusal_id not in stands and _is_of(known, content, origins):
            found.withdrawn.append(refusal_id)
        else:
            after[refusal_id] = known
    for refusal_id, refusal in stands.items():
        known, held = Known.of(refusal), after.get(refusal_id)
        if held is None or held.content != known.content:
            # One that is there would stay as it is: of this vehicle, or at reading of the document's former one.
            if held is not None or is_at_reading(refusal):
                found.withdrawn.append(refusal_id)
            found.refusals.append(refusal)
            after[refusal_id] = known
    return after


def _is_of(known: Known, content: Content, origins: frozenset[str]) -> bool:
    """Whether a refusal that does not stand any more would, if it did, be among the content's."""
    if content.is_whole:
        return True
    if known.fixed_us is not None:
        return content.first_us <= known.fixed_us <= content.last_us
    return bool(origins) and (known.origin in origins or known.origin.partition(".")[0] in origins)


def is_at_reading(refusal: Refusal) -> bool:
    """Whether the refusal is known by its document, whichever vehicle and time that names."""
    return refusal.reason in _READING_REASONS


def ids_at_reading(origins: Iterable[str]) -> Iterator[str]:
    """The ids that refusals of these documents have where vehicle or clock could not be read."""
    for origin in origins:
        collection, _, identity = origin.partition("/")
        for key in (origin, f"{collection}/{json.dumps(identity)}"):  # an id of text may be told apart by its quotes
            for reason in _NAMELESS_REASONS:
                yield id_of_refusal(reason, key)


def _kept_days(contents: Sequence[Content], retention: Retention, now: datetime) -> dict[str, dict[Day, bytes]]:
    """The digest of each UTC day's fixes that are to be kept, by vehicle."""
    if not contents or retention.keeps_nothing:
        return {}
    digests: dict[str, dict[Day, bytes]] = {}
    for content in contents:
        for vehicle, days in day_digests(content.fixes).items():
            digests.setdefault(vehicle, {}).update(days)
    oldest = _oldest_day(retention, now)
    return {name: {day: d for day, d in days.items() if day >= oldest} for name, days in digests.items()}


def _oldest_day(retention: Retention, now: datetime) -> Day:
    return BEGINNING_US if retention.keep is None else instant_us(now - retention.keep) // DAY_US


def _is_within(day: Day, content: Content) -> bool:
    return content.first_us <= day * DAY_US <= content.last_us


def _compare_fixes(
    found: _Found, content: Content, holding: Holding, days: Mapping[Day, bytes], retention: Retention, now: datetime
) -> None:
    if differing := [day for day, digest in days.items() if holding.days.get(day) != digest]:
        found.fixes.append(content.fixes.take(np.isin(content.fixes.fixed_at_us // DAY_US, differing)))
    oldest = _oldest_day(retention, now)  # older days expire by themselves
    found.days_gone += [(content.vehicle, day) for day in holding.days if day not in days and day >= oldest]
