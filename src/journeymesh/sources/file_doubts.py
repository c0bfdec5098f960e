"""What looks wrong with a vehicle that the mapping takes from the names of files: several recorders made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from journeymesh.sources.field_tally import instant_text
from journeymesh.sources.mapping_fields import TextField


@dataclass(frozen=True, slots=True)
class FileSpan:
    """A file, the vehicle that all its rows are given, and the span of its first fixes in µs since 1970."""

    name: str
    vehicle: str
    first_us: int
    last_us: int


def file_doubts(field: TextField, spans: Sequence[FileSpan]) -> list[str]:
    """The doubts in words: files of one vehicle that overlap in time, or one vehicle for all of several files."""
    if not field.is_beside or len(spans) < 2:
        return []
    how = f"the expression {field.file}" if field.file is not None else f"value: {field.value}"
    vehicles = dict.fromkeys(span.vehicle for span in spans)
    for vehicle in vehicles:
        of_one = sorted((span for span in spans if span.vehicle == vehicle), key=lambda span: span.first_us)
        meeting = [(a, b) for a, b in pairwise(of_one) if b.first_us < a.last_us]
        if meeting:
            a, b = meeting[0]
            return [
                f"vehicle: {how} gives {len(of_one):,} files the vehicle {vehicle}, and some overlap in time: "
                f"{_span(a)} and {_span(b)}. Two recorders look like one vehicle"
            ]
    if len(vehicles) == 1 and field.file is not None:
        (vehicle,) = vehicles
        return [
            f"vehicle: {how} gives all {len(spans):,} files the one vehicle {vehicle}: right if they are parts of one "
            "vehicle's recording"
        ]
    return []


def _span(span: FileSpan) -> str:
    return f"{span.name} ({instant_text(span.first_us)} to {instant_text(span.last_us)})"
