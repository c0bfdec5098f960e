"""What a target is to hold of a vehicle's time, and the difference to what it does hold, as one batch.

What a target is synced from: legacy through the pass, or a store by copying; all that a feed needs of either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Protocol

import numpy as np

from journeymesh.engines.port import Retention
from journeymesh.engines.windows import Window, difference
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal, id_of_refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.ordering import in_canonical_order
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import ChangeStream, VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.port import RulesUsed, StoreBatch, Superseded
from journeymesh.stores.rows import ID, JourneyRow
from journeymesh.strangler.target_state import Day, KnownRefusal, VehicleState, day_digests

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
class DesiredState(Window):
    """What upstream has of a window, passed.

    ``journeys`` are rows as stores keep them; ``fixes`` are the ones to keep, in canonical order; ``refusals`` also
    those of the pass.
    """

    journeys: Sequence[JourneyRow] = ()


@dataclass(slots=True)
class Correction:
    """The difference to write, and what it counts.

    ``desired_states`` are what upstream has; ``states_before`` and ``states`` what the target holds before and
    after the batch is written.
    """

    batch: StoreBatch = field(default_factory=StoreBatch)
    desired_states: Sequence[DesiredState] = ()
    states_before: Sequence[VehicleState] = ()
    states: Sequence[VehicleState] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    """Of how many documents something stands refused afterwards, by vehicle ("": none), where the batch changes it."""

    @property
    def fixes(self) -> int:
        """How many fixes were looked at."""
        return sum(len(desired.fixes) for desired in self.desired_states)

    @property
    def refused_at_reading(self) -> Iterator[str]:
        """The ids of the desired states' refusals that are known by document alone, whichever vehicle it is of."""
        refusals = (each for desired in self.desired_states for each in desired.refusals)
        return (each.refusal_id for each in refusals if is_at_reading(each))

    @property
    def changes_anything(self) -> bool:
        """Whether the target lacks anything, or has anything that it should not."""
        batch = self.batch
        put = batch.journeys is not None or batch.fixes is not None
        return put or bool(batch.superseded or batch.refusals or batch.refusals_withdrawn or batch.fixes_withdrawn)


def correction_of(
    desired_states: Sequence[DesiredState],
    states: Sequence[VehicleState],
    retention: Retention,
    now: datetime,
    origins: frozenset[str] = frozenset(),
) -> Correction:
    """What has to be written so that the store, which is in these states, is in the desired ones.

    ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
    """
    found = _Found()
    refused = _RefusedDocuments()
    kept = _kept_days(desired_states, retention, now)
    after = []
    for desired, state in zip(desired_states, states, strict=True):
        _compare_journeys(found, desired, state)
        refusals = _compare_refusals(found, desired, state, origins)
        refused.compared(desired.vehicle, state.refusals, refusals)
        days = kept.get(desired.vehicle, {})
        if not desired.times.is_whole:
            days = {day: block for day, block in days.items() if desired.times.includes(day * DAY_US)}
        _compare_fixes(found, desired, state, days, retention, now)
        after.append(replace(state, journeys=tuple(desired.journeys), refusals=refusals, days=days))
    batch = StoreBatch(
        journeys=rows.journeys_of(found.put) if found.put else None,
        superseded=found.superseded,
        refusals=found.refusals,
        refusals_withdrawn=found.withdrawn,
        fixes=in_canonical_order(Fixes.concat(found.fixes)) if found.fixes else None,
        fixes_withdrawn=found.days_gone,
    )
    return Correction(batch, desired_states, states, after, refused.counts())


def document_of(origin: str) -> str:
    """The same text for all inputs of a document, another one for another document."""
    return _ELEMENT.sub("", origin)


@dataclass(slots=True)
class _RefusedDocuments:
    """The documents of which something is refused, of vehicles that are compared in one or several times."""

    held: dict[str, Mapping[str, KnownRefusal]] = field(default_factory=dict)
    gone: dict[str, set[str]] = field(default_factory=dict)
    fresh: dict[str, dict[str, KnownRefusal]] = field(default_factory=dict)

    def compared(self, vehicle: str, before: Mapping[str, KnownRefusal], after: Mapping[str, KnownRefusal]) -> None:
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


def _compare_journeys(found: _Found, desired: DesiredState, state: VehicleState) -> None:
    differs = difference(state.journeys, desired.journeys)
    wanted = set(differs.put)
    found.put += [row for row in desired.journeys if row[ID] in wanted]
    # A journey under way grows with every batch: that is no history.
    found.superseded += differs.superseded(differs.grown)


def _compare_refusals(
    found: _Found, desired: DesiredState, state: VehicleState, origins: frozenset[str]
) -> Mapping[str, KnownRefusal]:
    """Returns what is known of the vehicle's refusals once the difference is written."""
    stands = {refusal.refusal_id: refusal for refusal in desired.refusals}
    after = {}
    for refusal_id, known in state.refusals.items():
        if refusal_id not in stands and _is_of(known, desired, origins):
            found.withdrawn.append(refusal_id)
        else:
            after[refusal_id] = known
    for refusal_id, refusal in stands.items():
        known, held = KnownRefusal.of(refusal), after.get(refusal_id)
        if held is None or held.content != known.content:
            # One that is there would stay as it is: of this vehicle, or of the one that the document named before.
            if held is not None or is_at_reading(refusal):
                found.withdrawn.append(refusal_id)
            found.refusals.append(refusal)
            after[refusal_id] = known
    return after


def _is_of(known: KnownRefusal, desired: DesiredState, origins: frozenset[str]) -> bool:
    """Whether a refusal that does not stand any more would, if it did, be among the desired ones."""
    if desired.times.is_whole:
        return True
    if known.fixed_us is not None:
        return desired.times.includes(known.fixed_us)
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


def _kept_days(
    desired_states: Sequence[DesiredState], retention: Retention, now: datetime
) -> dict[str, dict[Day, bytes]]:
    """The digest of each UTC day's fixes that are to be kept, by vehicle."""
    if not desired_states or retention.keeps_nothing:
        return {}
    digests: dict[str, dict[Day, bytes]] = {}
    for desired in desired_states:
        for vehicle, days in day_digests(desired.fixes).items():
            digests.setdefault(vehicle, {}).update(days)
    first_day = retention.first_day(now)
    return {name: {day: d for day, d in days.items() if day >= first_day} for name, days in digests.items()}


def _compare_fixes(
    found: _Found,
    desired: DesiredState,
    state: VehicleState,
    days: Mapping[Day, bytes],
    retention: Retention,
    now: datetime,
) -> None:
    if differing := [day for day, digest in days.items() if state.days.get(day) != digest]:
        found.fixes.append(desired.fixes.take(np.isin(desired.fixes.fixed_at_us // DAY_US, differing)))
    first_day = retention.first_day(now)  # older days expire by themselves
    found.days_gone += [(desired.vehicle, day) for day in state.days if day not in days and day >= first_day]


class Upstream(Protocol):
    """An inventory of vehicles, what a target is to hold of them, and their changes."""

    @property
    def name(self) -> str:
        """How runs call it."""

    documents_read: int
    """How many documents ``desired_states`` has read until now."""

    @property
    def tells_places(self) -> bool:
        """Whether its changes say where a document was before; else that has to be written down."""

    @property
    def tells_nameless(self) -> bool:
        """Whether its changes show that a document without a vehicle changed; else those are compared now and then."""

    def policies(self) -> list[Policy]:
        """All policies."""

    def rules(self) -> list[RulesUsed]:
        """The rules that its journeys are made with."""

    def vehicles(self) -> Iterable[str]:
        """Every vehicle that it holds something of, in any order."""

    def desired_states(
        self,
        wanted: Sequence[VehicleTimes],
        policies: Sequence[Policy],
        retention: Retention,
        now: datetime,
        *,
        places: bool = False,
    ) -> list[DesiredState]:
        """What a target is to hold of these times, which may be widened, up to the whole vehicle."""

    def nameless(self) -> Iterable[Refusal]:
        """The refusals that name no vehicle."""

    def position(self) -> str:
        """The position after everything written until now."""

    def changes(self, after: str) -> ChangeStream:
        """The changes after this position.

        Raises:
            PositionLost: they are not known any more.
        """

    def latency_s(self) -> float:
        """How long it takes to answer the smallest question, for throttling."""
