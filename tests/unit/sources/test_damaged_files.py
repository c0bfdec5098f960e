"""A file that is damaged among others: it is refused by its name, or read up to there, and the others are read."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.text_inputs import HEADER, MAPPING, row

from journeymesh.errors import SourceUnreadable
from journeymesh.sources.guess_rows import guess_rows
from journeymesh.sources.port import SourceItem
from journeymesh.wiring import open_source

SECONDS = range(60)
DOCUMENTS = [
    {"dev": "V1", "ts": f"2024-05-06T08:00:{n:02d}Z", "lat": 52.5 + n / 7000, "lon": 5 + n / 7000, "spd": 15}
    for n in SECONDS
]


def csv_text(vehicle: str) -> bytes:
    return "\n".join([HEADER, *(row(n).replace("V1", vehicle) for n in SECONDS)]).encode() + b"\n"


def ndjson_text(vehicle: str) -> bytes:
    return b"".join(json.dumps(one | {"dev": vehicle}).encode() + b"\n" for one in DOCUMENTS)


def json_text(vehicle: str) -> bytes:
    return json.dumps([one | {"dev": vehicle} for one in DOCUMENTS], indent=1).encode()


def gpx_text(vehicle: str) -> bytes:
    points = "".join(
        f'<trkpt lat="{one["lat"]}" lon="{one["lon"]}"><time>{one["ts"]}</time></trkpt>\n' for one in DOCUMENTS
    )
    return f"<gpx><trk><trkseg>\n{points}</trkseg></trk></gpx>".encode()


def parquet_bytes(vehicle: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([one | {"dev": vehicle} for one in DOCUMENTS]), buffer)
    return buffer.getvalue()


TEXTS = {"csv": csv_text, "ndjson": ndjson_text, "json": json_text, "gpx": gpx_text}


def read(folder: Path, tmp_path: Path, ending: str) -> tuple[dict[str, int], list[str], dict[str, SourceItem]]:
    """(fixes by vehicle, details of refusals, files) of the folder."""
    mapping = tmp_path / "m.yaml"
    mapping.write_text(MAPPING)
    counts: dict[str, int] = {}
    details: list[str] = []
    with closing(open_source(str(folder), None if ending == "gpx" else mapping)) as source:
        for batch in source.batches():
            for code in batch.fixes.vehicle.tolist():
                name = batch.fixes.vehicles[code]
                counts[name] = counts.get(name, 0) + 1
            details += [refusal.detail for refusal in batch.refusals]
        return counts, details, {item.name: item for item in source.items()}


@pytest.mark.parametrize("ending", TEXTS)
def test_a_gzip_that_is_cut_off_is_read_to_its_last_whole_line(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / f"a.{ending}.gz").write_bytes(gzip.compress(TEXTS[ending]("a"))[:-60])
    (folder / f"b.{ending}").write_bytes(TEXTS[ending]("b"))
    counts, details, items = read(folder, tmp_path, ending)
    assert counts["b"] == 60
    assert 0 < counts["a"] < 60
    assert details[-1] == "what follows is refused: the compressed file ends early"
    assert len(details) == (2 if ending == "json" else 1)  # an array's last document is cut off, too
    assert (items[f"a.{ending}.gz"].state, items[f"b.{ending}"].state) == ("read", "read")
    assert items[f"a.{ending}.gz"].reason == "the compressed file ends early; what came before is read"


@pytest.mark.parametrize("damage", ["a byte within", "checksum"])
@pytest.mark.parametrize("ending", TEXTS)
def test_nothing_is_believed_of_a_gzip_in_which_a_byte_is_wrong(ending: str, damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    content = bytearray(gzip.compress(TEXTS[ending]("a")))
    content[len(content) // 2 if damage == "a byte within" else -8] ^= 0x10
    (folder / f"a.{ending}.gz").write_bytes(content)
    (folder / f"b.{ending}").write_bytes(TEXTS[ending]("b"))
    counts, details, items = read(folder, tmp_path, ending)
    assert counts == {"b": 60}
    (detail,) = details
    assert detail.startswith(f"the file is refused: a.{ending}.gz: the compressed file is damaged")
    assert items[f"a.{ending}.gz"].state == "refused"


@pytest.mark.parametrize("others", ["b.parquet", "b.csv"])
@pytest.mark.parametrize("damage", ["empty", "cut off", "bytes within", "text", "a name that is not UTF-8"])
def test_parquet_that_is_none_is_refused_and_the_others_are_read(damage: str, others: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    content = parquet_bytes("a")
    broken = {
        "empty": b"",
        "cut off": content[:-20],
        "bytes within": content[:60] + bytes(200) + content[260:],
        "text": b"vehicle,fixed_at\n",
        "a name that is not UTF-8": content.replace(b"spd", b"s\xffd"),
    }[damage]
    (folder / "a.parquet").write_bytes(broken)
    (folder / others).write_bytes(parquet_bytes("b") if others == "b.parquet" else csv_text("b"))
    counts, details, items = read(folder, tmp_path, "parquet")
    assert counts == {"b": 60}
    (detail,) = details
    assert detail.startswith("the file is refused: a.parquet cannot be read as Parquet: ")
    assert (items["a.parquet"].state, items[others].state) == ("refused", "read")


ARRAYS = """
collection: c
layout: embedded
fields:
  vehicle: {path: dev}
  fixed_at: {path: "s[].t", clock: epoch_s}
  lat: {path: "s[].lat"}
  lon: {path: "s[].lon"}
"""


def arrays_bytes(vehicle: str) -> bytes:
    buffer, points = io.BytesIO(), [{"t": 1_714_982_400 + n, "lat": 52.5, "lon": 5.0} for n in SECONDS]
    pq.write_table(pa.table({"dev": [vehicle], "s": [points], "spd": [1]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damage", ["cut off", "a name that is not UTF-8"])
def test_parquet_with_arrays_that_is_damaged_is_refused_and_the_others_are_read(damage: str, tmp_path: Path) -> None:
    content = arrays_bytes("a")
    broken = content[:-20] if damage == "cut off" else content.replace(b"spd", b"s\xffd")
    (tmp_path / "a.parquet").write_bytes(broken)
    (tmp_path / "b.parquet").write_bytes(arrays_bytes("b"))
    (tmp_path / "m.yaml").write_text(ARRAYS)
    with closing(open_source(f"{tmp_path}/*.parquet", tmp_path / "m.yaml")) as source:
        batches = list(source.batches())
        items = {item.name: item.state for item in source.items()}
    assert sum(len(batch.fixes) for batch in batches) == len(SECONDS)
    (refusal,) = [refusal for batch in batches for refusal in batch.refusals]
    assert refusal.detail.startswith("the file is refused: a.parquet cannot be read as Parquet: ")
    assert items == {"a.parquet": "refused", "b.parquet": "read"}


def test_a_proposal_from_parquet_that_is_damaged_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_bytes("a").replace(b"spd", b"s\xffd"))
    with pytest.raises(SourceUnreadable, match=r"a\.parquet cannot be read as Parquet"):
        guess_rows(str(tmp_path / "a.parquet"))


def test_a_parquet_file_without_a_mapped_column_is_refused_among_others_as_in_csv(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.parquet").write_bytes(parquet_bytes("b"))
    pq.write_table(pa.table({"dev": ["a"], "ts": ["2024-05-06T08:00:00Z"], "lat": [52.0]}), folder / "a.parquet")
    counts, details, items = read(folder, tmp_path, "parquet")
    assert counts == {"b": 60}
    assert details == ["the file is refused: a.parquet: there is no column 'lon'"]
    assert items["a.parquet"] == SourceItem("a.parquet", "refused", "there is no column 'lon'")


@pytest.mark.parametrize("ending", [*TEXTS, "parquet"])
def test_damaged_files_alone_are_an_error_that_names_one(ending: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        if ending == "parquet":
            (folder / f"{name}.parquet").write_bytes(parquet_bytes(name)[:-20])
        else:
            content = bytearray(gzip.compress(TEXTS[ending](name)))
            content[-8] ^= 0x10
            (folder / f"{name}.{ending}.gz").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=r"a\.|b\."):
        read(folder, tmp_path, ending)
