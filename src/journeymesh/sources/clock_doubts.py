"""What looks wrong with how a mapping reads its clocks, by a sample of their values."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from journeymesh.sources.clocks import clock_us
from journeymesh.sources.conversions import Unconvertible, shown
from journeymesh.sources.guess_clocks import clock_form, is_local, within
from journeymesh.sources.mapping_fields import ClockField

_FEWEST_MISFITS: Final = 3
"""Fewer may be mere faults."""
CLOCKS: Final = ("fixed_at", "received_at")


@dataclass(frozen=True, slots=True)
class ClockDoubt:
    """A doubt about a clock in words, and what the mapping should say instead, where that is known."""

    field: str
    text: str
    instead: str | None = None


def clock_doubts(fields: Any, samples: Mapping[str, Sequence[Any]]) -> list[ClockDoubt]:
    """The doubts about the mapped clocks; ``samples`` are values by the field's name, as the source has them."""
    doubts = []
    for name in CLOCKS:
        clock: ClockField | None = getattr(fields, name)
        values = samples.get(name, ())
        if clock is None or not values or clock.base is not None:
            continue
        doubt = _other_form(name, clock, values) or _two_forms(name, clock, values)
        doubt = doubt or _without_zone(name, clock, values) or _twice(name, clock, values)
        if doubt is not None:
            doubts.append(doubt)
    return doubts


def _read(clock: ClockField, values: Sequence[Any]) -> list[float | None]:
    """Seconds since 1970 of each value; None where it cannot be read."""
    plain = replace(clock, zone_path=None)
    read: list[float | None] = []
    for value in values:
        at_us = None
        with contextlib.suppress(Unconvertible):
            at_us = clock_us(value, plain)
        read.append(None if at_us is None else at_us / 1e6)
    return read


def _two_forms(name: str, clock: ClockField, values: Sequence[Any]) -> ClockDoubt | None:
    """Values that the clock does not fit, and ``mixed`` does with all others: seconds beside milliseconds."""
    misfits = [value for value, at in zip(values, _read(clock, values), strict=True) if not within([at])]
    if len(misfits) < _FEWEST_MISFITS or clock.paths or clock.missing:
        return None
    mixed = ClockField(path=clock.path, clock="mixed", zone=clock.zone, fold=clock.fold)
    both = len(within(_read(mixed, values)))
    if both * 10 < len(values) * 9 or len(within(_read(mixed, misfits))) * 10 < len(misfits) * 9:
        return None
    text = (
        f"{name} is written in several ways: {len(misfits):,} of {len(values):,} values, such as {shown(misfits[0])}, "
        f"are none of clock: {clock.clock}; with clock: mixed {both:,} of them can be read"
    )
    return ClockDoubt(name, text, "clock: mixed")


def _twice(name: str, clock: ClockField, values: Sequence[Any]) -> ClockDoubt | None:
    """Local times that occur twice, as the clock is put back: half of them are an hour off, whatever the mapping says,
    if the recorder went on through both hours."""
    if clock.zone is None or clock.zone_path is not None:
        return None
    earlier = _read(replace(clock, fold="earlier"), values)
    later = _read(replace(clock, fold="later"), values)
    times = [value for value, one, other in zip(values, earlier, later, strict=True) if one != other]
    if not times:
        return None
    text = (
        f"{name} holds {len(times):,} local times that occur twice in {clock.zone}, such as {shown(times[0])}, for "
        f"the clock is put back: all are read as the {clock.fold} one. Export UTC or offsets where you can"
    )
    return ClockDoubt(name, text)


def _other_form(name: str, clock: ClockField, values: Sequence[Any]) -> ClockDoubt | None:
    fits = len(within(_read(clock, values)))
    if 2 * fits >= len(values):
        return None
    form = clock_form(values)
    if form is None or form.count <= fits:
        return None
    instead = ", ".join(
        f'{key}: "{value}"' if key == "format" else f"{key}: {value}" for key, value in form.keys.items()
    )
    said = f"clock: {clock.clock}" + (f", format: {clock.format}" if clock.format else "")
    text = (
        f"{name} is read with {said}, by which {fits:,} of {len(values):,} values lie between 1995 and 2100; with "
        f"{instead} {form.count:,} of them do, {form.first} to {form.last}"
    )
    return ClockDoubt(name, text, instead)


def _without_zone(name: str, clock: ClockField, values: Sequence[Any]) -> ClockDoubt | None:
    if clock.zone is not None or clock.zone_path is not None:
        return None
    keys = {"clock": clock.clock, "format": clock.format}
    local = [value for value in values if clock.clock == "excel_days" or is_local(value, keys)]
    if not local:
        return None
    text = (
        f"{name} names no time zone in {len(local):,} of {len(values):,} values, such as {shown(local[0])}, and is "
        "read as UTC: say which it is, as in zone: Europe/Berlin, or zone: UTC where that is right"
    )
    return ClockDoubt(name, text)
