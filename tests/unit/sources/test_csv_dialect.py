from pathlib import Path

import pytest
from tests.support.text_inputs import HEADER, MAPPING, mapped, read, row

from journeymesh.errors import MappingInvalid
from journeymesh.sources.text import TextSource

ROW = "V1;2024-05-06T08:00:00Z;52,5;5,25;15,5\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("said", [True, False])
def test_the_separator_is_seen_or_said(tmp_path: Path, separator: str, said: bool) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n{row()}\n".replace(",", separator))
    mapping = mapped(f'csv: {{separator: "{separator}"}}\n'.replace("\t", "\\t") if said else "")
    assert len(read(tmp_path / "f.csv", mapping)[0]) == 1


@pytest.mark.parametrize("said", ['csv: {decimal: ","}\n', ""])
def test_a_decimal_comma_is_seen_or_said(tmp_path: Path, said: str) -> None:
    (tmp_path / "f.csv").write_text(HEADER.replace(",", ";") + "\n" + ROW)
    fixes, refusals = read(tmp_path / "f.csv", mapped(said))
    assert refusals == []
    assert fixes.speed_mps is not None
    assert (fixes.lat_deg[0], fixes.lon_deg[0], fixes.speed_mps[0]) == (52.5, 5.25, 15.5)


def test_a_decimal_comma_is_read_beside_a_value_that_is_no_number(tmp_path: Path) -> None:
    bad = ROW.replace("52,5", "north")
    (tmp_path / "f.csv").write_text(HEADER.replace(",", ";") + "\n" + ROW + bad + ROW)
    fixes, refusals = read(tmp_path / "f.csv")
    assert fixes.lat_deg.tolist() == [52.5, 52.5]
    assert [refusal.origin for refusal in refusals] == ["f.csv:3"]


def test_columns_without_a_header_are_named_by_number_or_as_said(tmp_path: Path) -> None:
    (tmp_path / "f.plt").write_text("Track\nWGS 84\n0,2\n" + row(0) + "\n" + row(1) + "\n")
    named = mapped("csv: {header: [dev, ts, lat, lon, spd], skip_lines: 3}\n")
    source = TextSource(str(tmp_path / "f.plt"), named)
    origins = [origin for batch in source.batches() for origin in source.describe(batch.fixes.origin)]  # type: ignore[arg-type]
    assert origins == ["f.plt:4", "f.plt:5"]
    text = MAPPING
    for number, name in enumerate(["dev", "ts", "lat", "lon", "spd"]):
        text = text.replace(f"path: {name}", f"path: '{number}'")
    assert len(read(tmp_path / "f.plt", mapped("csv: {header: false, skip_lines: 3}\n", text))[0]) == 2


@pytest.mark.parametrize("said", ["csv: {skip_lines: 3}\n", ""])
def test_lines_before_the_header_are_passed_over(tmp_path: Path, said: str) -> None:
    (tmp_path / "f.csv").write_text(f"Report of May\nmade by, somebody\n\n{HEADER}\n{row()}\n")
    fixes, refusals = read(tmp_path / "f.csv", mapped(said))
    assert (len(fixes), refusals) == (1, [])


def test_another_quote_or_none_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n" + row(vehicle="'a,b'") + "\n")
    assert read(tmp_path / "f.csv", mapped("""csv: {quote: "'"}\n"""))[0].vehicles == ("a,b",)
    (tmp_path / "g.csv").write_text(f"{HEADER}\n" + row(vehicle='"x') + "\n")
    assert read(tmp_path / "g.csv", mapped("""csv: {quote: ""}\n"""))[0].vehicles == ('"x',)


def test_an_encoding_that_nothing_shows_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_bytes(f"{HEADER}\n{row(vehicle='машина')}\n".encode("cp1251"))
    assert read(tmp_path / "f.csv", mapped("csv: {encoding: cp1251}\n"))[0].vehicles == ("машина",)


def test_rows_may_end_with_a_separator_that_the_header_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n{row(0)},\n{row(1)},\n")
    assert len(read(tmp_path / "f.csv")[0]) == 2


@pytest.mark.parametrize("header", [" dev , ts, lat, lon ,spd", '"dev","ts","lat","lon","spd"'])
def test_blanks_and_quotes_around_names_do_not_matter(tmp_path: Path, header: str) -> None:
    (tmp_path / "f.csv").write_text(f"{header}\n{row()}\n")
    assert len(read(tmp_path / "f.csv")[0]) == 1


@pytest.mark.parametrize(
    "wrong",
    ['{separator: ";;"}', "{encoding: klingon}", '{quote: "ab"}', "{skip_lines: -1}", '{separator: ",", decimal: ","}'],
)
def test_a_dialect_that_cannot_be_followed_is_refused_with_its_place(wrong: str) -> None:
    with pytest.raises(MappingInvalid, match="csv"):
        mapped(f"csv: {wrong}\n")
