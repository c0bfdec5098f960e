"""Files that mean far more than they weigh: each, or what is wrong in it, is refused in bounded time and memory."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest
from tests.support.body_attacks import forget_peak, peak_mib
from tests.support.text_inputs import MAPPING

from journeymesh.cli.main import outcome
from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.text import TextSource
from journeymesh.wiring import open_source

MIB = 1 << 20
HEADER = b"vehicle,fixed_at,lat_deg,lon_deg\n"
GPX = b'<?xml version="1.0"?><gpx><trk><trkseg>'
ENTITIES = b'<!DOCTYPE gpx [<!ENTITY a "xxxxxxxxxx">%s]>' % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10 if n else b"&a;" * 10) for n in range(9)
)
REFUSED: dict[str, tuple[list[bytes], str]] = {
    "entities.gpx": ([ENTITIES, b"<gpx><a>&a8;</a></gpx>"], "document type"),
    "external.gpx": ([b'<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]><gpx>&x;</gpx>'], "document type"),
    "unknown.gpx": ([b'<?xml version="1.0" encoding="unknown"?><gpx/>'], "encoding is unknown"),
    "utf7.gpx": ([b'<?xml version="1.0" encoding="utf-7"?><gpx/>'], "encoding is unknown"),
    "rot13.gpx": ([b'<?xml version="1.0" encoding="rot13"?><gpx/>'], "encoding is unknown"),
    "attribute.gpx": ([GPX, b'<trkpt lat="', *repeat(b"5" * MIB, 150), b'"/>'], "more than 4 MiB"),
    "comment.gpx": ([GPX, b"<!--", *repeat(b"5" * MIB, 150), b"-->"], "more than 4 MiB"),
    "deep.gpx": ([GPX, *repeat(b"<a>" * (MIB // 3), 200)], "nested deeper than 100"),
    "names.gpx": ([GPX, b"".join(b"<n%d/>" % n for n in range(1_000_000))], "names of elements"),
    "document.json": ([b'[{"vehicle":"', *repeat(b"x" * MIB, 150)], "longer than 64 MiB"),
    "line.ndjson": ([b"{}\n{}\n", *repeat(b"x" * MIB, 150)], "longer than 64 MiB"),
    "line.csv": ([HEADER, *repeat(b"x" * MIB, 150)], "line 2 is longer than 64 MiB"),
    "zeros.csv": ([HEADER, *repeat(b"\0" * MIB, 150)], "line 2 is longer than 64 MiB"),
}
"""(content, what is said) of files that are refused as a whole."""
READ: dict[str, tuple[list[bytes], str]] = {
    "values.ndjson": ([b'{"vehicle":[%s[]]}\n' % (b"[]," * 5_000_000)], "more than 4,000,000 commas"),
    "values.json": ([b'[{"x":[%s{}]}]' % (b"{}," * 5_000_000)], "more than 4,000,000 commas"),
    "deep.ndjson": ([b'{"vehicle":%s%s}\n' % (b"[" * MIB, b"]" * MIB)], "ecursion"),
    "short.ndjson": ([b"x\n" * 270_000], "malformed"),
    "short.csv": ([HEADER, b"x\n" * 270_000], "1 columns instead of 4"),
    "short.nmea": ([b"$GPRMC\n" * 70_000], "cannot be read"),
    "text.gpx": ([GPX, b'<trkpt lat="1" lon="1"><time>', *repeat(b"5" * MIB, 150), b"</time></trkpt>"], "broken"),
    "line.nmea": ([b"$GPRMC,1\r\n$GPRMC,", *repeat(b"5" * MIB, 150), b"\r\n"], "cannot be read"),
}
"""(content, what is said of something in it) of files whose other rows are read."""


@pytest.fixture
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The file, packed with gzip, which is not read with more than 400 MiB, nor for longer than 20 s of CPU."""
    place = tmp_path / f"{request.param}.gz"
    with gzip.open(place, "wb", compresslevel=1) as packed:
        packed.writelines((REFUSED | READ)[request.param][0])
    forget_peak()
    before, began = peak_mib(), time.process_time()
    yield place
    assert time.process_time() - began < 20
    assert peak_mib() - before < 400


@pytest.mark.parametrize("hostile", REFUSED, indirect=True)
def test_a_file_that_no_recorder_writes_is_refused(hostile: Path) -> None:
    with pytest.raises(SourceUnreadable, match=REFUSED[hostile.stem][1]) as caught:
        for _ in TextSource(str(hostile)).batches():
            pass
    assert hostile.name in str(caught.value)
    assert caught.value.todo


@pytest.mark.parametrize("hostile", READ, indirect=True)
def test_what_means_too_much_in_a_file_is_refused_alone(hostile: Path) -> None:
    told = set()
    for batch in TextSource(str(hostile)).batches():
        assert len(batch.refusals) <= 1 << 18
        told |= {refusal.detail for refusal in batch.refusals}
    assert any(READ[hostile.stem][1] in detail for detail in told)


HEAVY_EXPRESSIONS = ["(a+)+!", "(a|aa)+!", "(.*)*(.*)*!", "(a*)*b"]


@pytest.mark.parametrize("expression", HEAVY_EXPRESSIONS)
def test_an_expression_that_takes_too_long_is_refused(expression: str, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 200) / ("a" * 200)
    folder.mkdir(parents=True)
    (folder / "f.csv").write_text("ts,lat,lon,spd\n2024-05-06T08:00:00Z,52.5,5.25,15\n")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(MAPPING.replace("vehicle: {path: dev}", f"vehicle: {{file: '{expression}'}}"))
    began = time.process_time()
    with pytest.raises(MappingInvalid, match=r"f\.csv.* (takes too long|does not match)"):
        list(open_source(str(folder), mapping).batches())
    assert time.process_time() - began < 30


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("a{1000000}", "repeats too often"),
        ("((a{999}){999}){999}", "repeats too often"),
        ("(a{1,99999999999999999999})", "repeats too often"),
        ("a" * 501, "is longer than 500"),
        ("(", "is no regular expression"),
        ("(" * 250, "is no regular expression"),
    ],
)
def test_an_expression_that_cannot_be_compiled_in_bounds_is_refused(expression: str, why: str) -> None:
    began = time.process_time()
    with pytest.raises(MappingInvalid, match=rf"fields\.vehicle\.file .* {why}"):
        load_mapping(MAPPING.replace("vehicle: {path: dev}", f"vehicle: {{file: '{expression}'}}"))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "content",
    ['{"a": ' + "[" * 5_000 + "]" * 5_000 + "}", "[" * 5_000, 'a,b\n"' + "x" * 200_000 + '",1\n', '"' + "x" * 200_000],
    ids=["deep", "deep and cut", "a long value", "an open quote"],
)
def test_no_guess_is_a_fault_of_the_program(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / ("given.json" if content[0] in "{[" else "given.csv")
    given.write_text(content)
    assert outcome(["mapping", "guess", str(given)]) in (2, 4, 10)
    told = capsys.readouterr().err
    assert "bug" not in told
    assert given.name in told
