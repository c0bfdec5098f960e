"""What a sample of a source holds, field by field."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from journeymesh.cli.render import Row
from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes

if TYPE_CHECKING:
    from journeymesh.sources.port import Source


@dataclass(slots=True)
class Sample:
    """What was read: fixes, inputs refused, a row per field and a row per reason with its first input."""

    fixes: int = 0
    refused: int = 0
    fields: list[Row] = field(default_factory=list)
    refusals: list[Row] = field(default_factory=list)


def sample_of(source: Source, fixes: int) -> Sample:
    """Read about so many fixes (whole batches, cut) and tell what is in them."""
    sample = Sample()
    parts: list[Fixes] = []
    reasons: dict[str, Row] = {}
    for batch in source.batches():
        part = batch.fixes.take(slice(0, fixes - sample.fixes))
        sample.fixes += len(part)
        sample.refused += len(batch.refusals)
        parts.append(part)
        for refusal in batch.refusals:
            first = {"reason": refusal.reason, "origin": refusal.origin, "detail": refusal.detail, "count": 0}
            reasons.setdefault(refusal.reason, first)["count"] += 1
        if sample.fixes >= fixes:
            break
    read = Fixes.concat([part for part in parts if len(part)])
    sample.refusals = sorted(reasons.values(), key=lambda row: (-row["count"], row["reason"]))
    sample.fields = [_field(name, column) for name, column in read.columns() if name not in ("vehicle", "origin")]
    used = [read.vehicles[code] for code in np.unique(read.vehicle).tolist()]
    if used:
        sample.fields.insert(0, {"field": "vehicle", "present": 1.0, "least": min(used), "greatest": max(used)})
    return sample


def _field(name: str, column: Any) -> Row:
    if name.endswith("_us"):
        there = column[column != NOT_REPORTED_US]
        shown: Any = _instant
    elif name == "ignition":
        there, shown = column[column != -1], int
    else:
        there, shown = column[np.isfinite(column)], lambda value: round(float(value), 6)
    least, greatest = (shown(there.min()), shown(there.max())) if len(there) else (None, None)
    present = len(there) / len(column) if len(column) else 0.0
    return {"field": name.removesuffix("_us"), "present": present, "least": least, "greatest": greatest}


def _instant(at_us: int) -> str:
    try:
        return rfc3339(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(at_us)))
    except OverflowError:
        return "outside the calendar"
