import gzip
from pathlib import Path

import numpy as np
import pytest

from journeymesh.errors import MappingInvalid, PoliciesInvalid, SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.policies_file import load_policies
from journeymesh.sources.text import TextSource

HEADER = "vehicle,fixed_at,lat_deg,lon_deg,speed_mps"
GOOD = "V1,2025-06-01T12:00:00Z,50.0,4.0,10"
NOON_US = 1_748_779_200_000_000


def read(source: TextSource) -> tuple[Fixes, list[Refusal]]:
    batches = list(source.batches())
    fixes = Fixes.concat([batch.fixes for batch in batches if len(batch.fixes)])
    return fixes, [refusal for batch in batches for refusal in batch.refusals]


def test_a_bad_line_is_refused_by_its_number_and_the_lines_after_it_keep_theirs(tmp_path: Path) -> None:
    lines = [HEADER, GOOD, "V1,2025-06-01T12:00:01Z", "", GOOD.replace("50.0", "north"), GOOD]
    (tmp_path / "fixes.csv").write_text("\n".join(lines) + "\n")
    source = TextSource(str(tmp_path / "fixes.csv"))
    fixes, refusals = read(source)
    assert fixes.origin is not None
    assert source.describe(fixes.origin) == ["fixes.csv:2", "fixes.csv:6"]
    assert sorted((refusal.origin, refusal.reason) for refusal in refusals) == [
        ("fixes.csv:3", "document_corrupt"),
        ("fixes.csv:5", "position_unparseable"),
    ]


def test_an_empty_coordinate_passes_as_missing(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n{GOOD.replace('50.0', '')}\n")
    fixes, refusals = read(TextSource(str(tmp_path / "f.csv")))
    assert np.isnan(fixes.lat_deg).tolist() == [True]
    assert not refusals


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode()))
    fixes, _ = read(TextSource(str(tmp_path / "f.csv.gz")))
    assert fixes.fixed_at_us.tolist() == [NOON_US]


def test_of_a_truncated_gzip_what_came_before_is_read_and_the_rest_refused(tmp_path: Path) -> None:
    whole = gzip.compress(f"{HEADER}\n{GOOD}\n".encode() * 500)
    (tmp_path / "f.csv.gz").write_bytes(whole[: len(whole) // 2])
    fixes, refusals = read(TextSource(str(tmp_path / "f.csv.gz")))
    assert set(fixes.fixed_at_us.tolist()) == {NOON_US}
    assert [refusal.detail for refusal in refusals] == ["what follows is refused: the compressed file ends early"]


def test_a_gzip_that_is_damaged_throughout_is_unreadable_not_a_bug(tmp_path: Path) -> None:
    whole = gzip.compress(f"{HEADER}\n{GOOD}\n".encode() * 500)
    (tmp_path / "f.csv.gz").write_bytes(whole[:12] + bytes(40) + whole[52:])
    with pytest.raises(SourceUnreadable, match=r"f\.csv\.gz"):
        read(TextSource(str(tmp_path / "f.csv.gz")))


def test_bytes_that_are_no_text_spoil_only_their_own_line(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(f"{HEADER}\n{GOOD}\n".encode() + b"V1,\xff\xfe,50,4,1\n")
    fixes, refusals = read(TextSource(str(tmp_path / "f.csv")))
    assert len(fixes) == 1
    assert [refusal.reason for refusal in refusals] == ["clock_unparseable"]


def test_a_header_without_a_needed_column_is_refused_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MappingInvalid, match="'vehicle'"):
        read(TextSource(str(tmp_path / "f.csv")))


def test_a_local_clock_in_two_columns_is_read_as_mapped(tmp_path: Path) -> None:
    mapping = load_mapping(
        "version: 1\ncollection: f\nfields:\n  vehicle: {path: car}\n  lat: {path: y}\n  lon: {path: x}\n"
        "  fixed_at: {paths: [d, t], clock: strftime, format: '%d/%m/%Y %H:%M', zone: Europe/London}\n"
    )
    (tmp_path / "f.csv").write_text("car,d,t,y,x\nV1,01/06/2025,13:00,50,4\n")
    fixes, _ = read(TextSource(str(tmp_path / "f.csv"), mapping))
    assert fixes.fixed_at_us.tolist() == [NOON_US]


def test_a_bad_json_line_is_refused_and_the_others_read(tmp_path: Path) -> None:
    good = '{"vehicle": "V1", "fixed_at": "2025-06-01T12:00:00Z", "lat_deg": 50, "lon_deg": 4.5}'
    (tmp_path / "f.ndjson").write_text(f"{good}\n{{oops\n[1]\n\n{good}\n")
    source = TextSource(str(tmp_path / "f.ndjson"))
    fixes, refusals = read(source)
    assert fixes.origin is not None
    assert source.describe(fixes.origin) == ["f.ndjson:1", "f.ndjson:5"]
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [
        ("f.ndjson:2", "document_corrupt"),
        ("f.ndjson:3", "document_corrupt"),
    ]


def test_policies_are_read_from_yaml_with_local_dates(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text("- {number: P1, device: V1, valid_from: 2025-06-01, zone: Europe/London}\n")
    (policy,) = load_policies(path)
    assert policy.valid_from.isoformat() == "2025-06-01T00:00:00+01:00"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {number: P1, device: V1, valid_from: 2025-06-01, colour: red}", "'colour'"),
        ("- [1, 2", "cannot be read"),
    ],
)
def test_a_policies_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(text)
    with pytest.raises(PoliciesInvalid, match=said):
        load_policies(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {number: P1, device: V1}", "valid_from is missing"),
        ("- {number: P1, device: V1, valid_from: soon}", "valid_from 'soon' is not an instant"),
        ("- {number: P1, device: V1, valid_from: 2025-06-01, zone: Mars/Olympus}", "unknown time zone"),
        ("- {number: P1, device: V1, valid_from: 2025-06-01, declared_annual_distance_m: far}", "is not a number"),
    ],
)
def test_policies_of_a_file_that_cannot_be_used_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(text)
    found = load_policies(path)
    assert list(found) == []
    (refusal,) = found.refusals
    assert said in refusal.detail
