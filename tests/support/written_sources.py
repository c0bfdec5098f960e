"""The same rows written as every kind of source that people bring, and a mapping of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MAPPING = """
version: 1
collection: fixes
layout: document
fields:
  vehicle: {path: box}
  fixed_at: {path: ts, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: kmh, unit: km/h}
"""
START = datetime(2024, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def rows(number: int = 60, **changes: Any) -> list[Row]:
    return [
        {
            "box": "B",
            "ts": (START + timedelta(seconds=5 * n)).isoformat(),
            "lat": f"{51.5 + n * 1e-4:.4f}",
            "lon": "2.5",
            "kmh": "36",
        }
        | changes
        for n in range(number)
    ]


def as_csv(folder: Path, content: list[Row]) -> str:
    names = list(dict.fromkeys(name for row in content for name in row))
    with (folder / "fixes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(content)
    return str(folder / "fixes.csv")


def as_ndjson(folder: Path, content: list[Row]) -> str:
    (folder / "fixes.ndjson").write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(folder / "fixes.ndjson")


def as_parquet(folder: Path, content: list[Row]) -> str:
    pq.write_table(pa.Table.from_pylist(content), folder / "fixes.parquet")
    return str(folder / "fixes.parquet")


def as_dump(folder: Path, content: list[Row]) -> str:
    (folder / "db").mkdir()
    (folder / "db" / "fixes.bson").write_bytes(b"".join(bson.encode({"_id": n} | row) for n, row in enumerate(content)))
    return str(folder / "db" / "fixes.bson")


Write = Callable[[Path, list[Row]], str]
every_source = pytest.mark.parametrize("write", [as_csv, as_ndjson, as_parquet, as_dump])
