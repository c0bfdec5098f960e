"""Arrays of samples without times of their own: the clock is a start and a step, in each source that has arrays."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import MappingInvalid
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_check import check_mapping
from journeymesh.wiring.journeys import open_source

T = 1_714_982_400
KINDS = ("bson", "ndjson", "parquet")
BUCKETED = """
collection: c
layout: bucketed
fields:
  vehicle: {path: car}
  fixed_at: {clock: interval, interval_s: 0.1, base: {path: start, clock: epoch_s}}
  lat: {path: "lat[]"}
  lon: {path: "lon[]"}
"""
EMBEDDED = """
collection: c
layout: embedded
fields:
  vehicle: {path: car}
  fixed_at: {clock: interval, interval_s: 2, base: {paths: [day, time], clock: strftime, format: "%Y-%m-%d %H:%M:%S"}}
  lat: {path: "p[].lat"}
  lon: {path: "p[].lon"}
"""


def made_of(kind: str, folder: Path, documents: list[dict[str, Any]], mapping: str, url: str = "") -> tuple[Any, Any]:
    """(the fixes in their order as (vehicle, µs since T), (origin, reason, detail) of the refusals)."""
    folder.mkdir(exist_ok=True)
    (folder / "m.yaml").write_text(mapping)
    path, place = folder / f"c.{kind}", ""
    numbered = [{"_id": number} | one for number, one in enumerate(documents)]
    if kind == "mongodb":
        from pymongo import MongoClient

        place = urlsplit(url)._replace(path=f"/jm{uuid4().hex[:12]}").geturl()
        with MongoClient[dict[str, Any]](place) as client:
            client.get_default_database()["c"].insert_many(numbered)
    elif kind == "bson":
        path.write_bytes(b"".join(map(bson.encode, numbered)))
    elif kind == "ndjson":
        path.write_text("\n".join(map(json.dumps, documents)))
    else:
        pq.write_table(pa.Table.from_pylist(documents), path)
    source = open_source(place or str(folder if kind == "bson" else path), folder / "m.yaml")
    fixes, refusals = [], []
    for batch in source.batches():
        held = batch.fixes
        fixes += [
            (held.vehicles[code], us - T * 1_000_000)
            for code, us in zip(held.vehicle.tolist(), held.fixed_at_us.tolist(), strict=True)
        ]
        refusals += [(one.origin, one.reason, one.detail) for one in batch.refusals]
    source.close()
    return fixes, refusals


def bucket(start: Any, count: int, car: str = "V1") -> dict[str, Any]:
    return {"car": car, "start": start, "lat": [52.5] * count, "lon": [5.25] * count}


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_is_an_interval_after_the_one_before_it(tmp_path: Path, kind: str) -> None:
    documents = [bucket(T, 4), bucket(T + 60, 2, "V2"), bucket(T + 90, 1)]
    fixes, refusals = made_of(kind, tmp_path, documents, BUCKETED)
    assert refusals == []
    assert fixes == [
        ("V1", 0), ("V1", 100_000), ("V1", 200_000), ("V1", 300_000), ("V2", 60_000_000), ("V2", 60_100_000),
        ("V1", 90_000_000),
    ]  # fmt: skip


def test_a_live_mongodb_counts_as_a_dump_of_it(tmp_path: Path, mongodb_url: str) -> None:
    documents = [bucket(T, 3), bucket(None, 2), bucket("noon", 1), bucket(T + 5, 1, "V2")]
    live = made_of("mongodb", tmp_path / "live", documents, BUCKETED, mongodb_url)
    assert live == made_of("bson", tmp_path / "dump", documents, BUCKETED)
    assert len(live[0]) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_start_may_be_written_as_any_clock_and_in_several_fields(tmp_path: Path, kind: str) -> None:
    place = {"lat": 52.5, "lon": 5.25}
    document = {"car": "V1", "day": "2024-05-06", "time": "08:00:00", "p": [place, place, place]}
    fixes, refusals = made_of(kind, tmp_path, [document], EMBEDDED)
    assert (fixes, refusals) == ([("V1", 0), ("V1", 2_000_000), ("V1", 4_000_000)], [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_start_that_is_missing_or_cannot_be_read_refuses_each_sample_with_its_reason(
    tmp_path: Path, kind: str
) -> None:
    documents = [bucket(None, 2), bucket("noon", 1), bucket(str(T), 1)]
    fixes, refusals = made_of(kind, tmp_path, documents, BUCKETED)
    assert fixes == [("V1", 0)]
    assert [reason for _, reason, _ in refusals] == ["clock_missing", "clock_missing", "clock_unparseable"]
    assert all("\0" not in detail for *_, detail in refusals)
    assert "noon" in refusals[2][2]


@pytest.mark.parametrize("kind", KINDS)
def test_samples_beyond_the_calendar_are_refused(tmp_path: Path, kind: str) -> None:
    last = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    fixes, refusals = made_of(kind, tmp_path, [bucket(last, 3)], BUCKETED.replace("0.1", "0.9"))
    assert len(fixes) == 2
    assert [reason for _, reason, _ in refusals] == ["clock_unparseable"]


def test_a_check_names_the_start_as_the_path_of_the_clock(tmp_path: Path) -> None:
    made_of("bson", tmp_path, [bucket(T, 3), bucket("noon", 1)], BUCKETED)
    check = check_mapping(open_source(str(tmp_path), tmp_path / "m.yaml"), load_mapping(BUCKETED).fields)
    (clock,) = [one for one in check.fields if one.count.name == "fixed_at"]
    assert (clock.count.path, clock.count.found, clock.count.unreadable) == ("start", 3, 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("clock: interval, interval_s: 1", "needs base, and either interval_s or interval_path"),
        ("clock: interval, base: {path: start, clock: epoch_s}", "needs base, and either interval_s or interval_path"),
        ("clock: interval, interval_s: 0, base: {path: start, clock: epoch_s}", "not above 0"),
        ("clock: interval, path: t, interval_s: 1, base: {path: start, clock: epoch_s}", "reads nothing of its own"),
        ('clock: interval, interval_s: 1, base: {path: "s[]", clock: epoch_s}', "base stands in an array"),
        ("clock: epoch_s, path: t, interval_s: 1", "an interval goes with clock interval"),
    ],
)
def test_an_interval_that_cannot_be_followed_is_refused(said: str, why: str) -> None:
    old = "clock: interval, interval_s: 0.1, base: {path: start, clock: epoch_s}"
    with pytest.raises(MappingInvalid, match=why):
        load_mapping(BUCKETED.replace(old, said))


def test_an_interval_needs_an_array() -> None:
    with pytest.raises(MappingInvalid, match="counts the elements of an array"):
        load_mapping(BUCKETED.replace("bucketed", "document").replace("[]", ""))
