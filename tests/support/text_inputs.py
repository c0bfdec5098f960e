"""Small text inputs, and what is read from them."""

from __future__ import annotations

from pathlib import Path

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.text import TextSource

MAPPING = """version: 1
collection: c
fields:
  vehicle: {path: dev}
  fixed_at: {path: ts, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: spd, unit: m/s}
"""
HEADER = "dev,ts,lat,lon,spd"


def mapped(more: str = "", text: str = MAPPING) -> Mapping:
    """The mapping of these inputs, with more lines."""
    return load_mapping(text + more)


def row(second: int = 0, vehicle: str = "V1", lat: str = "52.5", lon: str = "5.25", speed: str = "15") -> str:
    """A line of CSV."""
    return f"{vehicle},2024-05-06T08:{second // 60:02d}:{second % 60:02d}Z,{lat},{lon},{speed}"


def rows(count: int) -> str:
    """So many lines, each with its line break."""
    return "".join(row(second) + "\n" for second in range(count))


def read(place: Path, mapping: Mapping | None = None) -> tuple[Fixes, list[Refusal]]:
    """All fixes and refusals of a file or folder."""
    batches = list(TextSource(str(place), mapped() if mapping is None else mapping).batches())
    full = [batch.fixes for batch in batches if len(batch.fixes)]
    return (
        Fixes.concat(full) if full else Fixes.empty(),
        [refusal for batch in batches for refusal in batch.refusals],
    )
