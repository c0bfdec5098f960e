"""A mapping tried on the first inputs of any source: what a run would make of them, and, field by field, why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import numpy as np

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import PassResult, make_journeys
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.journeys.rules import ALWAYS_ON, JourneyRules
from journeymesh.journeys.sensor_doubts import sensor_doubts
from journeymesh.sources.clock_corrections import table_of
from journeymesh.sources.clock_doubts import clock_doubts
from journeymesh.sources.field_tally import FieldCount, FieldTally, instant_text
from journeymesh.sources.file_doubts import file_doubts
from journeymesh.sources.mapping import FieldMappings
from journeymesh.sources.name_doubts import name_doubts
from journeymesh.sources.port import Source, SourceItem
from journeymesh.sources.text import TextSource

SAMPLE_INPUTS: Final = 1000
_USED_WITHOUT: Final = frozenset(reason.code for reason in USED_WITHOUT)
_FEWEST_SPIKES: Final = 10
"""Fewer jumps are a receiver's."""
MOST_FILES: Final = 20
"""Of so many files the first fixes are compared, where their names tell the vehicle."""
SEARCHED_INPUTS: Final = 1_000_000
"""So many inputs are looked through for one that can be used, where the first ones hold none."""


@dataclass(frozen=True, slots=True)
class Example:
    """The first input of its kind: where it is, and what is wrong with it."""

    origin: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckedField:
    """One mapped field: how many rows have a value that can be read, and the first that cannot."""

    count: FieldCount
    first_unreadable: Example | None


@dataclass(frozen=True, slots=True)
class MappingCheck:
    """What a run by ``rules`` (their version) would make of the first ``inputs`` of a source.

    ``usable`` fixes would be accepted by a run; ``refused`` counts by reason, with the ``first`` of each. ``vehicles``,
    ``first_at`` and ``last_at`` (RFC 3339) are of the fixes whose clock is possible, and 0 and None where no fix is
    usable; ``doubts`` are what looks wrong with the clocks, the vehicles of files and the sensors, in words;
    ``clocks_that_fit`` says by field what its clock should be, where that is known; ``is_whole``: there are no more
    inputs.
    """

    source: str
    inputs: int
    usable: int
    duplicates: int
    refused: dict[str, int]
    first: dict[str, Example]
    fields: tuple[CheckedField, ...]
    vehicles: int
    first_at: str | None
    last_at: str | None
    policies: int
    items: tuple[SourceItem, ...]
    doubts: tuple[str, ...]
    is_whole: bool
    others: int = 0
    """Inputs that the mapping's conditions leave to somebody else; not among ``inputs``."""
    unreadable: int = 0
    """Inputs of which a value of an optional field cannot be read: they are used without it."""
    policy_fields: tuple[CheckedField, ...] = ()
    """What was found of each field of the mapping's policies, over all of them."""
    policies_refused: dict[str, int] = field(default_factory=dict)
    first_policy_refused: dict[str, Example] = field(default_factory=dict)
    clocks_that_fit: dict[str, str] = field(default_factory=dict)
    rules: str = ""
    corrections: int = 0
    """Vehicles whose clock the mapping corrects."""
    corrections_unmet: tuple[str, ...] = ()
    """Those of them that are not in these inputs."""

    @property
    def is_usable(self) -> bool:
        """Whether a run would find a fix in these inputs."""
        return self.usable > 0


def check_mapping(
    source: Source, fields: FieldMappings, inputs: int = SAMPLE_INPUTS, rules: JourneyRules = ALWAYS_ON
) -> MappingCheck:
    """Read at least so many inputs, as a run by these rules reads them, and on until one can be used, within a bound.

    Raises:
        SourceMissing, SourceUnreadable, MappingInvalid: as the source says.
    """
    tally = FieldTally(fields)
    source.tally = tally
    sample = _Sample(source, rules)
    is_whole = _read_into(sample, source, inputs)
    source.tally = None
    sample.judge()
    clocks = clock_doubts(fields, tally.samples)
    policies = source.policies()
    refused = policies.refusals
    corrections = table_of(fields.fixed_at)
    checked = tuple(
        CheckedField(
            count,
            None
            if count.first_unreadable is None
            else Example(_place(source, count.first_unreadable[0]), count.first_unreadable[1]),
        )
        for count in tally.counts.values()
    )
    return MappingCheck(
        source=source.name,
        inputs=sample.inputs,
        usable=sample.usable,
        duplicates=sample.duplicates,
        refused=dict(sample.refused.most_common()),
        first=sample.first,
        fields=checked,
        vehicles=len(sample.vehicles),
        first_at=_rfc3339(sample.first_us),
        last_at=_rfc3339(sample.last_us),
        policies=len(policies),
        policy_fields=tuple(
            CheckedField(one.count, None if unreadable is None else Example(one.first or "", unreadable[1]))
            for one in policies.fields
            for unreadable in (one.count.first_unreadable,)
        ),
        policies_refused=dict(Counter(refusal.reason for refusal in refused)),
        first_policy_refused={one.reason: Example(one.origin, one.detail) for one in reversed(refused)},
        items=tuple(source.items()),
        doubts=(
            *(doubt.text for doubt in clocks),
            *_file_doubts(source, fields),
            *name_doubts(sorted(sample.named)),
            *sample.jump_doubts(),
            *sample.sensor_doubts(),
        ),
        is_whole=is_whole,
        corrections=len(corrections),
        corrections_unmet=tuple(name for name in corrections if name not in sample.named),
        others=sample.others,
        unreadable=sample.unreadable,
        clocks_that_fit={doubt.field: doubt.instead for doubt in clocks if doubt.instead is not None},
        rules=rules.version,
    )


def _read_into(sample: _Sample, source: Source, inputs: int) -> bool:
    """Read so many inputs, and on until one can be used, within a bound; whether that was all of the source."""
    for batch in source.batches():
        for refusal in batch.refusals:
            if refusal.reason in _USED_WITHOUT:  # its fix is used, and counted as such
                sample.unreadable += 1
            else:
                sample.refuse(refusal.reason, 1, Example(refusal.origin, refusal.detail))
        sample.add(batch.fixes)
        sample.others += batch.others
        if sample.inputs + sample.read + sample.others >= (inputs if sample.has_usable else SEARCHED_INPUTS):
            return False
    return True


def _file_doubts(source: Source, fields: FieldMappings) -> list[str]:
    if not fields.vehicle.is_beside or not isinstance(source, TextSource):
        return []
    return file_doubts(fields.vehicle, source.file_spans(MOST_FILES))


class _Sample:
    """What was read so far, judged by the pass itself."""

    def __init__(self, source: Source, rules: JourneyRules) -> None:
        self._source = source
        self._rules = rules
        self._now_us = int(datetime.now(UTC).timestamp() * 1e6)
        self.inputs = self.read = self.usable = self.duplicates = self.others = self.unreadable = 0
        self.has_usable = False
        self.refused: Counter[str] = Counter()
        self.first: dict[str, Example] = {}
        self.vehicles: set[str] = set()
        self.named: set[str] = set()
        self.parts: list[Fixes] = []
        self.first_us: int | None = None
        self.last_us: int | None = None

    def refuse(self, reason: str, count: int, example: Example) -> None:
        self.inputs += count
        self.refused[reason] += count
        self.first.setdefault(reason, example)

    def add(self, fixes: Fixes) -> None:
        """Hold these fixes; until one of them can be used, each batch is looked at for one."""
        if not len(fixes):
            return
        self.parts.append(fixes)
        self.named.update(fixes.vehicles)
        self.read += len(fixes)
        if not self.has_usable:
            self.has_usable = make_journeys(fixes, self._rules, (), self._now_us).counts.accepted > 0

    def judge(self) -> None:
        """What a run makes of all fixes together: what came in another batch may contradict or confirm one."""
        if not self.parts:
            return
        result = make_journeys(Fixes.concat(self.parts), self._rules, (), self._now_us)
        self.usable, self.duplicates = result.counts.accepted, result.counts.duplicates
        self.inputs += self.usable + self.duplicates
        if self.usable:
            self._note(result)
        for code in np.unique(result.reasons).tolist():
            rows = np.flatnonzero(result.reasons == code)
            row = result.refused.take(rows[:1])
            self.refuse(Reason(code).code, len(rows), Example(_origin(self._source, row), _values(row)))

    def sensor_doubts(self) -> list[str]:
        """What looks wrong with the sensors, in words."""
        return [doubt.text for doubt in sensor_doubts(Fixes.concat(self.parts))] if self.parts else []

    def jump_doubts(self) -> list[str]:
        """Whether so many fixes jump that they may be of several vehicles, in words."""
        spikes = self.refused[Reason.POSITION_SPIKE.code]
        if spikes < _FEWEST_SPIKES or spikes * 5 < self.inputs:
            return []
        said = f"{spikes:,} of {self.inputs:,} fixes jump too far to belong to the fixes around them"
        return [f"{said}: several recorders may share one name, or the coordinates' form or scale may be another"]

    def _note(self, result: PassResult) -> None:
        """Take up the vehicles and the span of the fixes whose clock is possible."""
        timeline = result.timeline
        span = timeline.fixed_at_us
        self.vehicles |= {timeline.vehicles[code] for code in np.unique(timeline.vehicle).tolist()}
        ends = [int(span.min()), int(span.max())]
        self.first_us = ends[0] if self.first_us is None else min(self.first_us, ends[0])
        self.last_us = ends[1] if self.last_us is None else max(self.last_us, ends[1])


def _values(row: Fixes) -> str:
    lat, lon = (
        "absent" if not np.isfinite(value) else f"{value:g}" for value in (float(row.lat_deg[0]), float(row.lon_deg[0]))
    )
    return f"latitude {lat}, longitude {lon}, device clock {_rfc3339(int(row.fixed_at_us[0]))}"


def _origin(source: Source, row: Fixes) -> str:
    origins = row.origins
    return "unknown" if origins is None else _place(source, int(origins[0]))


def _place(source: Source, origin: int) -> str:
    return source.describe(np.array([origin], np.int64))[0]


def _rfc3339(at_us: int | None) -> str | None:
    return None if at_us is None else instant_text(at_us)
