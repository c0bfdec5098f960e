from pathlib import Path

import pytest

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.text import TextSource

START = '<?xml version="1.0" encoding="{encoding}"?>\n<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">'
POINT = (
    '<trkpt lat="52.5" lon="-5.25"><ele>3</ele><time>2024-05-06T08:00:{second:02d}Z</time><hdop>1.5</hdop><extensions>'
    "<gpxtpx:TrackPointExtension><gpxtpx:speed>15.5</gpxtpx:speed><gpxtpx:course>90</gpxtpx:course>"
    "</gpxtpx:TrackPointExtension></extensions></trkpt>"
)


def gpx(points: int = 2, encoding: str = "utf-8", more: str = "", name: str = "Zoë") -> bytes:
    track = "".join(POINT.format(second=second) for second in range(points))
    text = f"{START.format(encoding=encoding)}{more}<trk><name>{name}</name><trkseg>{track}</trkseg></trk></gpx>"
    return text.encode(encoding)


def read(place: Path, mapping: Mapping | None = None) -> tuple[Fixes, list[str], str]:
    source = TextSource(str(place), mapping)
    batches = list(source.batches())
    fixes = [batch.fixes for batch in batches if len(batch.fixes)]
    refused = [refusal.detail for batch in batches for refusal in batch.refusals]
    return Fixes.concat(fixes) if fixes else Fixes.empty(), refused, source.items()[0].reason


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_a_track_is_read_without_a_mapping_and_its_file_names_the_vehicle(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "van-7.gpx").write_bytes(gpx(encoding=encoding))
    fixes, refused, _ = read(tmp_path / "van-7.gpx")
    assert refused == []
    assert fixes.vehicles == ("van-7",)
    assert fixes.fixed_at_us.tolist() == [1_714_982_400_000_000, 1_714_982_401_000_000]
    assert (fixes.lat_deg[0], fixes.lon_deg[0]) == (52.5, -5.25)
    assert fixes.speed_mps is not None
    assert fixes.heading_deg is not None
    assert fixes.accuracy_m is not None
    assert (fixes.speed_mps[0], fixes.heading_deg[0], fixes.accuracy_m[0]) == (15.5, 90.0, 7.5)


def test_a_mapping_may_name_the_vehicle_by_the_track(tmp_path: Path) -> None:
    (tmp_path / "f.gpx").write_bytes(gpx())
    mapping = load_mapping(
        "version: 1\ncollection: f\nfields:\n  vehicle: {path: track}\n  fixed_at: {path: time, clock: iso8601}\n"
        "  lat: {path: lat}\n  lon: {path: lon}\n"
    )
    assert read(tmp_path / "f.gpx", mapping)[0].vehicles == ("Zoë",)


def test_waypoints_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "f.gpx").write_bytes(gpx(more='<wpt lat="1" lon="2"><time>2024-05-06T08:00:00Z</time></wpt>'))
    fixes, _, told = read(tmp_path / "f.gpx")
    assert len(fixes) == 2
    assert told == "1 waypoints and route points are left out"


def test_a_track_that_is_cut_off_keeps_what_came_before(tmp_path: Path) -> None:
    whole = gpx(9)
    (tmp_path / "f.gpx").write_bytes(whole[: whole.rindex(b"<trkpt") + 40])
    fixes, refused, told = read(tmp_path / "f.gpx")
    assert len(fixes) == 8
    assert len(refused) == 1
    assert told.startswith("ends early")


@pytest.mark.parametrize(
    "hostile",
    [
        '<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><gpx><trk><name>&b;</name></trk></gpx>',
        '<!DOCTYPE gpx [<!ENTITY a SYSTEM "file:///etc/passwd">]><gpx><trk><name>&a;</name></trk></gpx>',
        '<!DOCTYPE gpx SYSTEM "http://127.0.0.1:1/x.dtd"><gpx></gpx>',
    ],
)
def test_a_text_that_declares_a_document_type_is_refused(tmp_path: Path, hostile: str) -> None:
    (tmp_path / "f.gpx").write_text(hostile)
    with pytest.raises(SourceUnreadable, match="document type"):
        read(tmp_path / "f.gpx")


def test_xml_that_is_not_gpx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.gpx").write_text("<html><trkpt lat='1' lon='2'/></html>")
    with pytest.raises(SourceUnreadable, match="<html>"):
        read(tmp_path / "f.gpx")


def test_an_extension_may_be_named_with_its_prefix_and_one_that_no_point_has_is_told(tmp_path: Path) -> None:
    mapping = """
collection: tracks
fields:
  vehicle: {path: track}
  fixed_at: {path: time, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: "gpxtpx:speed", unit: m/s}
  heading: {path: "ns3:course"}
"""
    (tmp_path / "a.gpx").write_bytes(gpx())
    fixes, refused, told = read(tmp_path / "a.gpx", load_mapping(mapping))
    assert fixes.speed_mps is not None
    assert fixes.speed_mps.tolist() == [15.5, 15.5]
    assert (fixes.heading_deg, refused, told) == (None, [], "no point has <ns3:course>")
