"""Clocks whose base or step is not where the samples are, and those that are written in several ways."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import MappingInvalid
from journeymesh.sources.clock_doubts import clock_doubts
from journeymesh.sources.clocks import clock_us
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_fields import ClockField
from journeymesh.wiring.journeys import open_source

T = 1_714_982_400
START = datetime.fromtimestamp(T, UTC)
KINDS = ("bson", "ndjson", "parquet", "csv")


def instants(place: Path, folder: Path, mapping: str) -> tuple[list[float], list[str]]:
    """(seconds after the start, in their order; the details of the refusals)."""
    (folder / "m.yaml").write_text(mapping)
    source = open_source(str(place), folder / "m.yaml")
    batches = list(source.batches())
    source.close()
    seconds = [us / 1e6 - T for batch in batches for us in batch.fixes.fixed_at_us.tolist()]
    return seconds, [one.detail for batch in batches for one in batch.refusals]


def written(kind: str, folder: Path, rows: list[dict[str, Any]], name: str = "c") -> Path:
    path = folder / f"{name}.{kind}"
    match kind:
        case "bson":
            path.write_bytes(b"".join(bson.encode({"_id": number} | row) for number, row in enumerate(rows)))
        case "ndjson":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "csv":
            lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
            path.write_text("\n".join(lines) + "\n")
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def mapping_of(clock: str, layout: str = "document", lat: str = "lat", lon: str = "lon") -> str:
    return (
        f"collection: c\nlayout: {layout}\nfields:\n  vehicle: {{value: V1}}\n  fixed_at: {clock}\n"
        f'  lat: {{path: "{lat}"}}\n  lon: {{path: "{lon}"}}\n'
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "base",
    [
        "{value: '2024-05-06T08:00:00Z', clock: iso8601}",
        "{value: '2024-05-06 10:00', clock: iso8601, zone: Europe/Berlin}",
        "{value: '06.05.2024 08:00:00', clock: strftime, format: '%d.%m.%Y %H:%M:%S'}",
        "{value: '1714982400', clock: epoch_s}",
    ],
)
def test_a_clock_counts_from_a_constant(tmp_path: Path, kind: str, base: str) -> None:
    place = written(kind, tmp_path, [{"ms": ms, "lat": 52.5, "lon": 13.4} for ms in (0, 1500, 60_000)])
    read, refused = instants(place, tmp_path, mapping_of(f"{{path: ms, clock: offset_ms, base: {base}}}"))
    assert (read, refused) == ([0.0, 1.5, 60.0], [])


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "csv"])
def test_a_clock_counts_from_the_day_in_each_files_name(tmp_path: Path, kind: str) -> None:
    for day in ("2024-05-06", "2024-05-07"):
        rows = [{"s": 36_000 + s, "lat": 52.5, "lon": 13.4} for s in (0, 7)]
        written(kind, tmp_path, rows, f"log {day} 10-00")
    base = "{file: '(\\d{4}-\\d\\d-\\d\\d)[^/]*$', clock: iso8601, zone: Europe/Berlin}"
    mapping = mapping_of(f"{{path: s, clock: offset_s, base: {base}}}")
    read, refused = instants(tmp_path / f"log*.{kind}", tmp_path, mapping)
    assert (sorted(read), refused) == ([0.0, 7.0, 86_400.0, 86_407.0], [])


def test_a_file_without_a_day_in_its_name_is_told(tmp_path: Path) -> None:
    place = written("csv", tmp_path, [{"s": 1, "lat": 52.5, "lon": 13.4}])
    base = "{file: 'day(\\d{4}-\\d\\d-\\d\\d)', clock: iso8601}"
    with pytest.raises(MappingInvalid, match=r"c\.csv") as told:
        instants(place, tmp_path, mapping_of(f"{{path: s, clock: offset_s, base: {base}}}"))
    assert "does not match" in str(told.value)


def test_a_dump_has_no_file_that_says_a_day(tmp_path: Path) -> None:
    place = written("bson", tmp_path, [{"s": 1, "lat": 52.5, "lon": 13.4}])
    with pytest.raises(MappingInvalid, match="for files of rows"):
        instants(place, tmp_path, mapping_of("{path: s, clock: offset_s, base: {file: '(.+)', clock: iso8601}}"))


@pytest.mark.parametrize(
    "base",
    [
        "{value: 'yesterday', clock: iso8601}",
        "{value: '', clock: iso8601}",
        "{value: '2024-05-06', path: t, clock: iso8601}",
        "{value: '2024-05-06', file: '(.+)', clock: iso8601}",
        "{file: '(', clock: iso8601}",
        "{clock: iso8601}",
    ],
)
def test_a_base_that_nobody_could_read_is_refused(tmp_path: Path, base: str) -> None:
    (tmp_path / "m.yaml").write_text(mapping_of(f"{{path: s, clock: offset_s, base: {base}}}"))
    with pytest.raises(MappingInvalid, match=r"fields\.fixed_at\.base"):
        load_mapping(tmp_path / "m.yaml")


@pytest.mark.parametrize("kind", ["bson", "ndjson", "parquet"])
@pytest.mark.parametrize(("value", "unit"), [(2, "s"), (2000, "ms"), (2_000_000, "us"), (1 / 30, "min"), (0.5, "Hz")])
def test_documents_say_what_lies_between_their_samples(tmp_path: Path, kind: str, value: float, unit: str) -> None:
    samples = [{"lat": 52.5, "lon": 13.4}] * 3
    rows = [{"start": T, "rate": float(value), "p": samples}, {"start": T + 60, "rate": 2.0 * value, "p": samples}]
    clock = f"{{clock: interval, interval_path: rate, interval_unit: {unit}, base: {{path: start, clock: epoch_s}}}}"
    read, refused = instants(
        written(kind, tmp_path, rows), tmp_path, mapping_of(clock, "embedded", "p[].lat", "p[].lon")
    )
    step = 1.0 if unit == "Hz" else 4.0
    assert (read, refused) == ([0.0, 2.0, 4.0, 60.0, 60.0 + step, 60.0 + 2 * step], [])


@pytest.mark.parametrize(
    ("rate", "said"), [(0, "is no interval"), (-1, "is no interval"), (None, "missing"), ("fast", "number")]
)
def test_a_document_without_an_interval_is_refused_by_its_field(tmp_path: Path, rate: Any, said: str) -> None:
    rows = [{"start": T, "rate": one, "p": [{"lat": 52.5, "lon": 13.4}]} for one in (1, rate)]
    clock = "{clock: interval, interval_path: rate, base: {path: start, clock: epoch_s}}"
    mapping = mapping_of(clock, "embedded", "p[].lat", "p[].lon")
    read, refused = instants(written("ndjson", tmp_path, rows), tmp_path, mapping)
    assert read == [0.0]
    assert len(refused) == 1
    assert refused[0].startswith("rate:")
    assert said in refused[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixed_clock_reads_every_way_of_writing_an_instant(tmp_path: Path, kind: str) -> None:
    values = [T, T * 1000, T * 1_000_000, T * 10**9, f"{T}.5", "2024-05-06T08:00:00Z", "2024-05-06 10:00:00+02:00"]
    if kind == "bson":
        values.append(START)  # type: ignore[arg-type]
    rows = [{"t": str(one) if kind == "parquet" else one, "lat": 52.5, "lon": 13.4} for one in values]
    read, refused = instants(written(kind, tmp_path, rows), tmp_path, mapping_of("{path: t, clock: mixed}"))
    assert refused == []
    assert read == [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0][: len(values)]


@pytest.mark.parametrize("at", [datetime(1973, 3, 4, tzinfo=UTC), START, datetime(2099, 12, 31, tzinfo=UTC)])
def test_the_size_of_a_number_says_its_unit(at: datetime) -> None:
    seconds = int(at.timestamp())
    for times in (1, 10**3, 10**6, 10**9):
        assert clock_us(seconds * times, ClockField(path="t", clock="mixed")) == seconds * 1_000_000


def test_a_clock_that_is_written_in_two_ways_is_doubted() -> None:
    fields = load_mapping(mapping_of("{path: t, clock: epoch_s}")).fields
    (doubt,) = clock_doubts(fields, {"fixed_at": [T + n for n in range(30)] + [(T + n) * 1000 for n in range(20)]})
    assert doubt.instead == "clock: mixed"
    assert "20 of 50 values" in doubt.text
    assert clock_doubts(fields, {"fixed_at": [T + n for n in range(50)]}) == []


def test_local_times_that_occur_twice_are_doubted() -> None:
    fields = load_mapping(mapping_of("{path: t, clock: iso8601, zone: Europe/Berlin}")).fields
    first = datetime(2024, 10, 27, 1, 30)  # noqa: DTZ001 - a wall clock
    walls = [(first + timedelta(minutes=10 * n)).isoformat(" ") for n in range(12)]
    (doubt,) = clock_doubts(fields, {"fixed_at": walls})
    assert "6 local times that occur twice in Europe/Berlin" in doubt.text
    assert clock_doubts(fields, {"fixed_at": walls[:3]}) == []


def test_texts_without_a_zone_among_mixed_ones_are_doubted() -> None:
    fields = load_mapping(mapping_of("{path: t, clock: mixed}")).fields
    values = [T, f"{T}000", "2024-05-06T08:00:00Z", "2024-05-06 08:00:00"]
    (doubt,) = clock_doubts(fields, {"fixed_at": values})
    assert "names no time zone in 1 of 4 values" in doubt.text
    assert clock_doubts(fields, {"fixed_at": values[:3]}) == []
