"""Whatever is refused is in quarantine: once, however often it is read, and all of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.builders import changed, drive, us
from tests.support.former_refusals import former

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions, RunReport
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.columnar import ParquetSource
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodump import MongodumpSource
from journeymesh.sources.port import Source
from journeymesh.sources.text import TextSource
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import RefusalQuery, StoreBatch

START = datetime(2024, 5, 6, 8, tzinfo=UTC)
FIELDS = """
  vehicle: {path: dev}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: spd, unit: m/s}
"""
BOXES = load_mapping(
    f"version: 1\ncollection: c\nlayout: document\nfields:\n  fixed_at: {{path: ts, clock: bson_date}}{FIELDS}"
)
ROWS = load_mapping(
    f"version: 1\ncollection: c\nlayout: document\nfields:\n  fixed_at: {{path: ts, clock: iso8601}}{FIELDS}"
)


def taken(source: Source, store: MemoryStore, **options: Any) -> RunReport:
    """A run of the source into the store."""
    report = run(source, store, RunOptions(rules=ALWAYS_ON, now=START + timedelta(days=9), **options))
    counts = report.counts
    assert counts["accepted"] + counts["duplicates"] + counts["refused"] == counts["read"]
    assert all(n >= 0 for n in counts.values())
    return report


def quarantine(store: MemoryStore) -> Counter[str]:
    """How many refusals there are by reason."""
    return Counter(refused.reason for _, refused in store.refusals(RefusalQuery()))


def document(number: int | None, **fields: Any) -> bytes:
    """A document that is sound but for these fields; without a number it has no ``_id``."""
    named = {} if number is None else {"_id": number}
    return bson.encode(named | {"dev": "V1", "ts": START, "lat": 51.5, "lon": -0.1, "spd": 3.0} | fields)


def dump(folder: Path, *documents: bytes) -> MongodumpSource:
    """A dump of these documents."""
    folder.mkdir(exist_ok=True)
    (folder / "c.bson").write_bytes(b"".join(documents))
    return MongodumpSource(str(folder / "c.bson"), BOXES)


def table(folder: Path, *lines: str) -> Source:
    """A CSV file of these rows."""
    folder.mkdir(exist_ok=True)
    (folder / "fixes.csv").write_text("dev,ts,lat,lon,spd,note\n" + "".join(f"{line}\n" for line in lines))
    return TextSource(str(folder / "fixes.csv"), ROWS)


BAD = "V1,2024-05-06T08:00:00Z,bad,-0.1,3,"
WORSE = "V1,2024-05-06T08:00:00Z,worse,-0.1,3,"


def test_documents_of_one_vehicle_instant_and_place_are_all_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    source = dump(tmp_path, *(document(n, spd=text) for n, text in enumerate(("err", "n.a.", "err"))))
    counts = taken(source, store).counts
    assert (counts["refused"], counts["values_unreadable"]) == (0, 3)  # the fixes are used without their speed
    assert counts["accepted"] + counts["duplicates"] + counts["refused"] == counts["read"] == 3
    taken(source, store)
    assert quarantine(store) == {"value_unparseable": 3}


def test_an_input_whose_value_cannot_be_read_stands_once_however_another_fix_of_its_instant_comes(
    tmp_path: Path,
) -> None:
    sound, unread, other = document(1), document(2, spd="n/a"), document(3, lat=51.4)
    store = MemoryStore()
    taken(dump(tmp_path, sound, unread), store, retention=Retention())
    assert quarantine(store) == {"value_unparseable": 1}
    taken(dump(tmp_path, sound, unread, other), store, retention=Retention())
    whole = MemoryStore()
    taken(dump(tmp_path, sound, unread, other), whole, retention=Retention())
    assert store.digest() == whole.digest()
    assert quarantine(store) == {"value_unparseable": 1, "conflicting_fix": 2}


@pytest.mark.parametrize(
    "ids",
    [
        (5, "5", 6),
        ("5ce70873b6589fc6ab000000", bson.ObjectId("5ce70873b6589fc6ab000000")),
        ({"a": 1}, '{"a": {"$numberInt": "1"}}'),
        tuple({"vehicle": "v" * 200, "n": n} for n in range(3)),
        tuple(bytes([n]) * 150 for n in range(3)),
        (None, True, "true"),
    ],
)
def test_documents_are_told_apart_by_their_ids_of_whatever_type(tmp_path: Path, ids: tuple[Any, ...]) -> None:
    store = MemoryStore()
    source = dump(tmp_path, *(document(None, _id=each, spd="err") for each in ids))
    for _ in range(2):
        taken(source, store)
        assert quarantine(store) == {"value_unparseable": len(ids)}


def test_equal_documents_without_an_id_are_all_kept_and_a_dump_that_has_grown_adds_its_own(tmp_path: Path) -> None:
    store = MemoryStore()
    bad = document(None, spd="err")
    taken(dump(tmp_path / "monday", bad, bad, document(None, lat="?")), store)
    taken(dump(tmp_path / "monday", bad, bad, document(None, lat="?"), bad), store)
    assert quarantine(store) == {"value_unparseable": 3, "position_unparseable": 1}
    taken(dump(tmp_path / "tuesday", bad), store)
    assert quarantine(store) == {"value_unparseable": 4, "position_unparseable": 1}


def test_two_files_of_one_name_are_two(tmp_path: Path) -> None:
    store = MemoryStore()
    for day, line in (("monday", BAD), ("tuesday", WORSE), ("wednesday", BAD), ("monday", BAD)):
        taken(table(tmp_path / day, line), store)
    assert quarantine(store) == {"position_unparseable": 3}


def test_a_file_that_is_written_anew_adds_what_it_had_not(tmp_path: Path) -> None:
    store = MemoryStore()
    taken(table(tmp_path, BAD), store)
    taken(table(tmp_path, WORSE), store)
    assert quarantine(store) == {"position_unparseable": 2}


def test_a_file_that_has_grown_adds_its_new_rows_and_equal_rows_are_all_kept(tmp_path: Path) -> None:
    store = MemoryStore()
    taken(table(tmp_path, BAD, BAD, "too,few"), store)
    assert quarantine(store) == {"position_unparseable": 2, "document_corrupt": 1}
    taken(table(tmp_path, WORSE, BAD, BAD, "too,few", BAD, "too,few"), store)
    assert quarantine(store) == {"position_unparseable": 4, "document_corrupt": 2}


def test_lines_of_ndjson_and_rows_of_parquet_too(tmp_path: Path) -> None:
    bad = '{"dev": "V1", "ts": "2024-05-06T08:00:00Z", "lat": "bad", "lon": 1}\n'
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "fixes.ndjson").write_text(bad + bad + "{\n{\n")
        columns = {"dev": ["V1"] * 2, "ts": ["2024-05-06T08:00:00Z"] * 2, "lat": ["bad"] * 2, "lon": [1.0] * 2}
        pq.write_table(pa.table(columns), tmp_path / day / "fixes.parquet")
    lines, rows = MemoryStore(), MemoryStore()
    for day in ("monday", "tuesday", "monday"):
        taken(TextSource(str(tmp_path / day / "fixes.ndjson"), ROWS), lines)
        taken(ParquetSource(str(tmp_path / day / "fixes.parquet"), ROWS), rows)
    assert quarantine(lines) == {"position_unparseable": 4, "document_corrupt": 4}
    assert quarantine(rows) == {"position_unparseable": 4}


def test_a_row_that_is_refused_has_its_vehicle_clock_and_position_as_far_as_they_are_known(tmp_path: Path) -> None:
    store = MemoryStore()
    rows = (BAD, "V2,never,51.5,-0.1,3,", ",2024-05-06T08:00:00Z,51.5,-0.1,3,", "V3,9999-99-99,x,y,z,")
    taken(table(tmp_path, *rows), store)
    known = {(one.vehicle, one.fixed_at, one.lat_deg, one.lon_deg) for _, one in store.refusals(RefusalQuery())}
    assert known == {
        ("V1", START, None, -0.1),
        ("V2", None, 51.5, -0.1),
        (None, START, 51.5, -0.1),
        ("V3", None, None, None),
    }


def test_what_was_refused_before_the_upgrade_is_not_kept_twice(tmp_path: Path) -> None:
    fresh = MemoryStore()
    taken(table(tmp_path / "monday", BAD, WORSE, "too,few"), fresh)
    present = [refused for _, refused in fresh.refusals(RefusalQuery())]
    # Rows of files had neither vehicle nor clock, and were known by their line.
    nameless = [type(one)(one.reason, one.origin, one.detail, content=one.content) for one in present]
    store = MemoryStore()
    store.write(StoreBatch(refusals=[former(one) for one in nameless]))
    taken(table(tmp_path / "tuesday", WORSE, BAD, "too,many,too,many,too,many,too"), store)
    assert quarantine(store) == {"position_unparseable": 4, "document_corrupt": 2}
    taken(table(tmp_path / "monday", BAD, WORSE, "too,few"), store)
    assert quarantine(store) == {"position_unparseable": 4, "document_corrupt": 2}
    assert [one.vehicle for _, one in store.refusals(RefusalQuery(vehicle="V1"))] == ["V1"] * 4


class HeldSource:
    """Fixes in one batch."""

    name = "held"

    def __init__(self, fixes: Fixes) -> None:
        self._fixes = fixes

    def batches(self, resume: str | None = None) -> Any:
        from journeymesh.sources.port import SourceBatch

        yield SourceBatch(self._fixes)

    def size(self) -> Any:
        from journeymesh.sources.port import SourceSize

        return SourceSize()

    def describe(self, origins: np.ndarray) -> list[str]:
        return [f"held:{origin}" for origin in origins]

    def policies(self) -> list[Any]:
        return []

    def close(self) -> None: ...


def test_fixes_of_one_instant_and_place_that_differ_otherwise_are_all_kept_and_equal_ones_once() -> None:
    whole = drive((12.0, 60))
    whole = Fixes(
        whole.vehicles,
        whole.vehicle,
        whole.fixed_at_us,
        whole.lat_deg,
        whole.lon_deg,
        speed_mps=np.full(len(whole), 12.0),
    )
    again = [changed(whole.take(np.array([30, 31])), slice(None), speed_mps=speed) for speed in (1.0, 2.0, 2.0, 3.0)]
    future = whole.take(np.array([5, 5, 6]))
    future = changed(future, slice(None), fixed_at_us=us(START + timedelta(days=400)))
    fixes = Fixes.concat([whole, *again, future])
    for retention in (Retention(None), Retention(timedelta(0))):
        store = MemoryStore()
        options = {"retention": retention}
        report = taken(HeldSource(fixes), store, **options)
        assert sum(quarantine(store).values()) == report.counts["refused"]
        before = store.digest()["refusals"]
        taken(HeldSource(fixes), store, **options)
        assert store.digest()["refusals"] == before


def test_cut_in_any_way_the_same_is_refused() -> None:
    whole = drive((12.0, 60))
    spoilt = changed(whole.take(slice(20, 40)), slice(None), lat_deg=0.0)
    fixes = Fixes.concat([whole, spoilt, spoilt, changed(spoilt, slice(None), lat_deg=np.nan)])
    at_once = MemoryStore()
    taken(HeldSource(fixes), at_once)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(fixes))
        store = MemoryStore()
        for part in np.array_split(order, 5):
            taken(HeldSource(fixes.take(part)), store)
        assert store.digest() == at_once.digest()
