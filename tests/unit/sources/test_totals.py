"""Legacy's own totals: where they are and what they say, in the words of a mapping."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import JourneymeshError, SourceMissing
from journeymesh.sources.totals import Total, TotalsInvalid, load_totals, month_of, read_totals

MAY = 2024 * 12 + 4
MONTHLY = """
file: monthly.{ending}
policy: {{path: policy}}
month: {{path: month, clock: strftime, format: "%Y-%m"}}
distance: {{path: miles, unit: miles}}
duration: {{path: minutes, unit: min}}
journeys: {{path: trips}}
"""
ROWS: list[dict[str, Any]] = [
    {"policy": "P1", "month": "2024-05", "miles": 100.0, "minutes": 90, "trips": 4},
    {"policy": "P2", "month": "2024-06", "miles": 1, "minutes": 2, "trips": 3},
]


def totals_in(folder: Path, text: str, documents: list[dict[str, Any]] | None = None) -> list[Total]:
    """The totals of this file, where a collection holds these documents."""
    (folder / "totals.yaml").write_text(text)
    return read_totals(load_totals(folder / "totals.yaml"), lambda name: documents or []).totals


def mapped(head: str = "", *, collection: str = "monthly", who: str = "policy: {path: p}") -> str:
    when = "" if "started_at" in head else "month: {path: m, clock: strftime, format: '%Y-%m'}"
    measure = "" if "distance" in head else "distance: {path: km, unit: km}"
    return "\n".join((f"collection: {collection}", who, when, measure, head))


@pytest.mark.parametrize("ending", ["csv", "json", "ndjson", "parquet", "yaml"])
def test_a_file_of_each_kind_says_the_same(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"monthly.{ending}"
    match ending:
        case "csv":
            lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
            file.write_text("\n".join(lines) + "\n")
        case "ndjson":
            file.write_text("\n".join(map(json.dumps, ROWS)))
        case "parquet":
            pq.write_table(pa.Table.from_pylist(ROWS), file)
        case _:
            file.write_text(json.dumps(ROWS))
    first, second = totals_in(tmp_path, MONTHLY.format(ending=ending))
    assert (first.policy, first.month) == ("P1", MAY)
    assert first.amounts == pytest.approx({"distance_m": 160_934.4, "duration_s": 5400.0, "journeys": 4.0})
    assert (second.policy, second.month) == ("P2", MAY + 1)


@pytest.mark.parametrize(
    ("unit", "value", "si"), [("km", 3, 3000.0), ("miles", 1, 1609.344), ("m", 7, 7.0)]
)  # fmt: skip
def test_units_of_distance(tmp_path: Path, unit: str, value: float, si: float) -> None:
    (total,) = totals_in(
        tmp_path, mapped(f"distance: {{path: d, unit: {unit}}}"), [{"p": "P1", "m": "2024-05", "d": value}]
    )
    assert total.amounts == pytest.approx({"distance_m": si})


@pytest.mark.parametrize(
    ("unit", "value", "si"), [("h", 2, 7200.0), ("min", 3, 180.0), ("s", 5, 5.0), ("ms", 1500, 1.5)]
)
@pytest.mark.parametrize("measure", ["duration", "driving"])
def test_units_of_time(tmp_path: Path, unit: str, value: float, si: float, measure: str) -> None:
    document = {"p": "P1", "m": "2024-05", "km": 1, "d": value}
    (total,) = totals_in(tmp_path, mapped(f"{measure}: {{path: d, unit: {unit}}}"), [document])
    assert total.amounts == pytest.approx({"distance_m": 1000.0, f"{measure}_s": si})


def test_documents_of_the_driver_have_their_own_types(tmp_path: Path) -> None:
    document = {"p": bson.Int64(7), "m": "2024-05", "km": bson.Decimal128("1.5")}
    (total,) = totals_in(tmp_path, mapped(), [document])
    assert (total.policy, dict(total.amounts)) == ("7", {"distance_m": 1500.0})


def test_trips_are_rows_with_an_instant_and_each_is_one_journey(tmp_path: Path) -> None:
    began = datetime(2024, 5, 31, 22, 30, tzinfo=UTC)
    text = mapped("started_at: {path: t, clock: bson_date}\njourneys: {}", who="vehicle: {path: v}")
    (total,) = totals_in(tmp_path, text, [{"v": "V1", "t": began, "km": 12}])
    assert (total.vehicle, total.policy, total.month) == ("V1", None, None)
    assert total.started_us == round(began.timestamp() * 1e6)
    assert dict(total.amounts) == {"distance_m": 12_000.0, "journeys": 1.0}


def test_a_month_is_the_one_that_legacy_wrote_in_no_zone(tmp_path: Path) -> None:
    text = mapped().replace("clock: strftime, format: '%Y-%m'", "clock: iso8601")
    (total,) = totals_in(tmp_path, text, [{"p": "P1", "m": "2024-05-31T23:59:59", "km": 1}])
    assert total.month == MAY == month_of(datetime(2024, 5, 1, tzinfo=UTC))


def test_year_and_month_may_stand_apart_and_months_in_an_array(tmp_path: Path) -> None:
    text = """
collection: yearly
policy: {path: p}
month: {paths: [year, "months[].no"], clock: strftime, format: "%Y %m"}
distance: {path: "months[].km", unit: km}
where: {kind: total, "months[].final": true}
"""
    held = [{"no": 4, "km": 4, "final": True}, {"no": 5, "km": 5, "final": True}, {"no": 6, "km": 6, "final": False}]
    documents = [{"p": "P1", "year": 2024, "kind": "total", "months": held}, {"p": "P1", "year": 2024, "months": held}]
    found = totals_in(tmp_path, text, documents)
    assert [(total.month, total.amounts["distance_m"]) for total in found] == [(MAY - 1, 4000.0), (MAY, 5000.0)]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"p": "P1", "m": "May", "km": 1}, "row 2: m is not a time as the file says"),
        ({"p": "P1", "m": "2024-05", "km": "much"}, "row 2: km is not a number"),
        ({"p": "P1", "m": "2024-05", "km": -1}, "row 2: km is below 0"),
        ({"p": "P1", "m": "2024-05", "km": float("nan")}, "row 2: none of the measures has a value"),
        ({"p": "P1", "m": "2024-05", "km": "n/a"}, "row 2: none of the measures has a value"),
        ({"p": "P1", "km": 1}, "row 2: month is missing"),
        ({"m": "2024-05", "km": 1}, "row 2: policy is missing"),
        ({"p": {"no": 1}, "m": "2024-05", "km": 1}, "row 2: p is no identifier"),
    ],
)
def test_a_row_that_cannot_be_read_is_counted_and_the_first_told_without_its_values(
    tmp_path: Path, row: dict[str, Any], fault: str
) -> None:
    (tmp_path / "totals.yaml").write_text(mapped("missing: [n/a]"))
    good = {"p": "P9", "m": "2024-05", "km": 1}
    read = read_totals(load_totals(tmp_path / "totals.yaml"), lambda name: [good, row, good])
    assert (len(read.totals), read.unreadable, read.first_fault) == (2, 1, fault)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policy: {path: p}", "needs either collection or file"),
        (mapped("file: x.csv"), "needs either collection or file"),
        (mapped(who=""), "needs either policy or vehicle"),
        (mapped("vehicle: {path: v}"), "needs either policy or vehicle"),
        (mapped("month: {path: m, clock: iso8601}\nstarted_at: {path: t, clock: iso8601}"), "needs either month or"),
        ("collection: c\npolicy: {path: p}\nmonth: {path: m, clock: iso8601}", "no measure is mapped"),
        (mapped("journeys: {}"), "journeys: has no path"),
        (mapped().replace("km}", "leagues}"), "distance.unit"),
        (mapped("duration: {path: d}"), "missing required field `unit`"),
        (mapped("started_at: {path: t, clock: interval}"), "clock interval is of fixes alone"),
        (mapped().replace("clock: strftime, format: '%Y-%m'", "clock: iso8601, zone: Europe/Berlin"), "in no zone"),
        (mapped("started_at: {path: t, clock: strftime}"), "format goes with clock strftime"),
        (mapped("duration: {path: 'a[].b', unit: s}\ndriving: {path: 'c[].d', unit: s}"), "second array"),
        (mapped(who="policy: {value: P1}"), "it needs path"),
        (mapped("velocity: {path: x}"), "unknown field"),
    ],
)
def test_a_totals_file_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "totals.yaml").write_text(text)
    with pytest.raises(JourneymeshError, match=told.replace(".", r"\.")) as refused:
        load_totals(tmp_path / "totals.yaml")
    assert refused.value.exit_code == 2
    assert refused.value.todo


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"totals .*monthly\.csv: there is no such file"):
        totals_in(tmp_path, MONTHLY.format(ending="csv"))
    (tmp_path / "monthly.txt").write_text("x")
    with pytest.raises(TotalsInvalid, match="unknown ending"):
        totals_in(tmp_path, MONTHLY.format(ending="txt"))
