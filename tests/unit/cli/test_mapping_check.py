"""``journeymesh mapping check``: one verdict whatever the source, told field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.written_sources import (
    MAPPING,
    START,
    Row,
    Write,
    as_csv,
    as_dump,
    as_ndjson,
    as_parquet,
    every_source,
    rows,
)

from journeymesh.cli.main import outcome


def check(folder: Path, source: str, *more: str, mapping: str = MAPPING) -> int:
    (folder / "mapping.yaml").write_text(mapping)
    return outcome(["mapping", "check", "--source", source, "--mapping", str(folder / "mapping.yaml"), *more])


@every_source
def test_fixes_that_fit_end_with_0_and_each_field_tells_its_span(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, write(tmp_path, rows()), "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["inputs"], told["usable"], told["refused"], told["vehicles"]) == (60, 60, {}, 1)
    assert (told["first_at"], told["last_at"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:04:55Z")
    lat = next(one for one in told["fields"] if one["field"] == "lat")
    assert (lat["found"], lat["missing"], lat["unreadable"], lat["lowest"]) == (60, 0, 0, 51.5)


@every_source
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lat": "Nfiftyone"}, "lat at `lat`"),
        ({"ts": "noon"}, "fixed_at at `ts`"),
        ({"lat": "951.5"}, "lat at `lat` and lon at `lon`"),
        ({"ts": "1970-01-01T00:00:00Z"}, "fixed_at at `ts`"),
        ({"box": None}, "vehicle at `box`"),
    ],
)
def test_where_no_fix_can_be_used_every_source_ends_with_2_and_names_the_field(
    write: Write, changes: Row, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = [{name: value for name, value in row.items() if value is not None} for row in rows(**changes)]
    if "box" in changes:  # a column there must be
        content.insert(0, rows(1)[0] | {"lat": "951.5"})
    assert check(tmp_path, write(tmp_path, content)) == 2
    told = capsys.readouterr().err
    assert "the mapping finds no fix in" in told
    assert field in told


@every_source
def test_other_documents_among_the_fixes_do_not_make_a_good_mapping_useless(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = [(START + timedelta(hours=1, seconds=n)).isoformat() for n in range(200)]
    batteries = [{"box": "B", "ts": at, "volts": "12", "lat": None, "lon": None} for at in later]
    content = [{name: value for name, value in row.items() if write is as_parquet or value} for row in batteries]
    assert check(tmp_path, write(tmp_path, [*content, *rows()]), "--sample", "10") == 0
    assert "60 fixes of 1 vehicles" in capsys.readouterr().out


@every_source
def test_a_check_that_refuses_almost_all_ends_with_10(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path, [*rows(99, lat="951.5"), *rows(1)])
    assert check(tmp_path, source) == 10
    told = capsys.readouterr().err
    assert "99 of 100 inputs were refused" in told
    assert "position_outside_world (99), from lat at `lat` and lon at `lon`" in told
    assert check(tmp_path, source, "--max-refused", "99.5%") == 0


def test_each_field_tells_what_is_missing_and_the_first_value_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = [*rows(5), *rows(1, lat="Nfiftyone", lon="east"), *rows(1, lat="")]
    assert check(tmp_path, as_csv(tmp_path, content), "--format", "json") == 0
    fields = {one["field"]: one for one in json.loads(capsys.readouterr().out)["fields"]}
    assert [fields["lat"][name] for name in ("rows", "found", "missing", "unreadable")] == [7, 5, 1, 1]
    # The row is refused for its latitude, and its longitude is told all the same.
    assert fields["lon"]["unreadable"] == 1
    assert fields["lat"]["first_unreadable"]["origin"] == "fixes.csv:7"


def test_a_source_without_documents_ends_with_2_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, as_ndjson(tmp_path, [])) == 2
    assert "finds no fix in 0 inputs" in capsys.readouterr().err


def checked(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str], *more: str, mapping: str
) -> tuple[int, Row, str]:
    """(the exit code, the check as JSON, what stands on standard error)."""
    code = check(folder, source, "--format", "json", *more, mapping=mapping)
    out = capsys.readouterr()
    return code, json.loads(out.out), out.err


def written(clock: Callable[[datetime], Any], number: int = 60) -> list[Row]:
    """Rows whose clocks are as this writes them."""
    return [row | {"ts": clock(datetime.fromisoformat(row["ts"]))} for row in rows(number)]


@every_source
@pytest.mark.parametrize(
    ("field", "clock", "is_told"),
    [
        ("clock: iso8601", lambda at: f"{at:%Y-%m-%d %H:%M:%S}", True),
        ("clock: iso8601", lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}", False),
        ("clock: iso8601", lambda at: f"{at:%Y-%m-%dT%H:%M:%S}+01:00[Europe/Paris]", False),
        ("clock: iso8601, zone: UTC", lambda at: f"{at:%Y-%m-%d %H:%M:%S}", False),
        ('clock: strftime, format: "%d.%m.%Y %H:%M:%S"', lambda at: f"{at:%d.%m.%Y %H:%M:%S}", True),
        ('clock: strftime, format: "%d.%m.%Y %H:%M:%S", zone: +02:00', lambda at: f"{at:%d.%m.%Y %H:%M:%S}", False),
        ('clock: strftime, format: "%d.%m.%Y %H:%M:%S %z"', lambda at: f"{at:%d.%m.%Y %H:%M:%S} +0200", False),
        ("clock: epoch_s", lambda at: str(int(at.timestamp())), False),
        ("clock: excel_days", lambda at: f"{at.timestamp() / 86_400 + 25_569:.6f}", True),
    ],
)
def test_a_clock_without_a_zone_that_is_read_as_utc_is_told(
    write: Write, field: str, clock: Callable[[datetime], Any], is_told: bool, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    mapping = MAPPING.replace("clock: iso8601", field)
    code, told, _ = checked(tmp_path, write(tmp_path, written(clock)), capsys, mapping=mapping)
    assert (code, told["usable"]) == (0, 60)
    doubts = [doubt for doubt in told["doubts"] if "zone" in doubt]
    assert len(doubts) == is_told
    for doubt in doubts:
        assert doubt.startswith("fixed_at names no time zone in 60 of 60 values, such as ")
        assert "is read as UTC: say which it is, as in zone: Europe/Berlin, or zone: UTC where that is right" in doubt


def test_dates_of_parquet_without_a_zone_are_told_and_those_of_bson_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = MAPPING.replace("clock: iso8601", "clock: bson_date")
    naive = written(lambda at: at.replace(tzinfo=None))
    _, told, _ = checked(tmp_path, as_parquet(tmp_path, naive), capsys, mapping=mapping)
    assert any("fixed_at names no time zone in 60 of 60 values" in doubt for doubt in told["doubts"])
    _, told, _ = checked(tmp_path, as_dump(tmp_path, naive), capsys, mapping=mapping)
    assert told["doubts"] == []


@every_source
@pytest.mark.parametrize(
    ("field", "clock", "fits"),
    [
        ("clock: epoch_s", lambda at: str(int(at.timestamp() * 1000)), "clock: epoch_ms"),
        ("clock: epoch_ms", lambda at: str(int(at.timestamp())), "clock: epoch_s"),
        ("clock: epoch_ms", lambda at: str(int(at.timestamp()) * 10**9), "clock: epoch_ns"),
        ("clock: iso8601", lambda at: f"{at:%d.%m.%Y %H:%M:%S}", 'clock: strftime, format: "%d.%m.%Y %H:%M:%S"'),
        ("clock: iso8601", lambda at: str(int(at.timestamp())), "clock: epoch_s"),
        ('clock: strftime, format: "%d/%m/%Y %H:%M"', lambda at: f"{at:%Y-%m-%d %H:%M:%S}", "clock: iso8601"),
        ("clock: epoch_s", lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}", "clock: iso8601"),
    ],
)
def test_a_clock_that_does_not_fit_names_the_one_that_would(
    write: Write, field: str, clock: Callable[[datetime], Any], fits: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    mapping = MAPPING.replace("clock: iso8601", field)
    code, told, err = checked(tmp_path, write(tmp_path, written(clock)), capsys, mapping=mapping)
    assert (code, told["usable"]) == (2, 0)
    assert told["clocks_that_fit"] == {"fixed_at": fits}
    assert f"give fixed_at {fits}" in err
    (doubt,) = [doubt for doubt in told["doubts"] if doubt.startswith("fixed_at")]
    assert f"0 of 60 values lie between 1995 and 2100; with {fits} 60 of them do, 2024-01-01T00:00:00Z" in doubt
    content = mapping.replace(field, fits)
    assert check(tmp_path, str(next(tmp_path.glob("**/fixes.*"))), mapping=content) == 0


def test_ranges_have_their_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = as_csv(tmp_path, rows(5))
    assert check(tmp_path, source) == 0
    told = capsys.readouterr().out
    assert "  10 to 10 m/s\n" in told
    assert "  51.5 to 51.5004 deg\n" in told
    _, as_json, _ = checked(tmp_path, source, capsys, mapping=MAPPING)
    assert {one["field"]: one["unit"] for one in as_json["fields"]} == {
        "vehicle": None, "fixed_at": None, "lat": "deg", "lon": "deg", "speed": "m/s",
    }  # fmt: skip


def test_a_check_judges_by_the_rules_that_are_named_or_that_the_store_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    future = rows(1, ts=(datetime.now(UTC) + timedelta(hours=3)).isoformat())
    source = as_csv(tmp_path, [*rows(20), *future])
    (tmp_path / "rules.yaml").write_text("version: mine-1\nprofile: always_on\ncleaning: {future_tolerance_s: 86400}\n")
    _, told, _ = checked(tmp_path, source, capsys, mapping=MAPPING)
    assert (told["rules"], told["usable"], told["refused"]) == ("always-on-2026.2", 20, {"clock_future": 1})
    _, told, _ = checked(tmp_path, source, capsys, "--rules", str(tmp_path / "rules.yaml"), mapping=MAPPING)
    assert (told["rules"], told["usable"], told["refused"]) == ("mine-1", 21, {})
    store = f"sqlite:///{tmp_path / 'journeys.db'}"
    made = ["preprocess", "--source", source, "--mapping", str(tmp_path / "mapping.yaml"), "--store", store]
    assert outcome([*made, "--rules", "always-on-2026.1"]) == 0
    capsys.readouterr()
    _, told, _ = checked(tmp_path, source, capsys, "--store", store, mapping=MAPPING)
    assert told["rules"] == "always-on-2026.1"
    assert check(tmp_path, source, "--store", f"sqlite:///{tmp_path / 'none.db'}") == 3
    assert check(tmp_path, source, "--rules", "none") == 2


RECORDERS = MAPPING.replace("{path: box}", "{file: 'FORM'}")


@pytest.mark.parametrize(
    ("form", "days", "doubt"),
    [
        (
            "([^/]+)/[^/]*$",
            (0, 0),
            "gives 2 files the vehicle in, and some overlap in time: A_1.csv (2024-01-01",
        ),
        ("([A-Z])_[0-9]", (0, 0), None),
        ("([^/]+)/[^/]*$", (0, 1), "gives all 2 files the one vehicle in: right if they are parts of one vehicle's"),
        ("([A-Z])_[0-9]", (0, 1), None),
    ],
)
def test_an_expression_that_makes_one_vehicle_of_several_recorders_raises_a_doubt(
    form: str, days: tuple[int, int], doubt: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    for name, day in zip("AB", days, strict=True):
        (folder / name).mkdir(parents=True)
        content = [row | {"ts": f"2024-01-0{1 + day}{row['ts'][10:]}"} for row in rows()]
        Path(as_csv(folder / name, content)).rename(folder / f"{name}_{day + 1}.csv")
        (folder / name).rmdir()
    _, told, _ = checked(tmp_path, str(folder), capsys, mapping=RECORDERS.replace("FORM", form))
    found = [one for one in told["doubts"] if one.startswith("vehicle")]
    assert len(found) == (doubt is not None)
    assert doubt is None or doubt in found[0]


def test_one_name_for_files_that_overlap_in_time_raises_a_doubt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        (tmp_path / "in" / name).mkdir(parents=True)
        as_csv(tmp_path / "in" / name, rows())
    mapping = MAPPING.replace("{path: box}", "{value: V1}")
    _, told, _ = checked(tmp_path, str(tmp_path / "in"), capsys, mapping=mapping)
    assert "value: V1 gives 2 files the vehicle V1, and some overlap in time: a/fixes.csv (" in told["doubts"][0]
