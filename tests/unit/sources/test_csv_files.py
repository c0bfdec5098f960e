import json
import random
import time
from pathlib import Path

import pytest
from tests.support.text_inputs import HEADER, MAPPING, mapped, read, row, rows

from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.sources import csv_lines
from journeymesh.sources.text import TextSource


@pytest.mark.parametrize("empty", ["", "\n", HEADER, HEADER + "\n", HEADER + "\r\n\r\n", "\n\n" + HEADER + "\n\n"])
def test_a_day_without_rows_is_no_damage_beside_full_ones(tmp_path: Path, empty: str) -> None:
    (tmp_path / "1.csv").write_text(empty)
    (tmp_path / "2.csv").write_text(f"{HEADER}\n{rows(3)}")
    fixes, refusals = read(tmp_path)
    assert len(fixes) == 3
    assert refusals == []


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_the_encoding_of_a_header_and_of_values_is_seen(tmp_path: Path, encoding: str) -> None:
    text = f"{HEADER},Temp °C\n" + row(vehicle="Köln") + ",21\n" + row(1, vehicle="Käln") + ",21\n"
    (tmp_path / "f.csv").write_bytes(text.encode(encoding))
    fixes, refusals = read(tmp_path / "f.csv")
    assert [fixes.vehicles[code] for code in fixes.vehicle] == ["Köln", "Käln"]
    assert refusals == []


def test_a_mapped_column_that_is_there_twice_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER},spd\n{row()},3\n")
    with pytest.raises(MappingInvalid, match=r"f\.csv: 2 columns are named 'spd': map it by its number.*'4' or '5'"):
        read(tmp_path / "f.csv")
    by_number = mapped(text=MAPPING.replace("path: spd", "path: '5'"))
    assert read(tmp_path / "f.csv", by_number)[0].speed_mps.tolist() == [3.0]


def test_an_unmapped_column_may_be_there_twice(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER},x,x\n{row()},3,4\n")
    assert len(read(tmp_path / "f.csv")[0]) == 1


@pytest.mark.parametrize("columns", [5, 179])
def test_a_refused_row_costs_little_whatever_the_number_of_columns(tmp_path: Path, columns: int) -> None:
    more = columns - 5
    lines = (row(second % 3600, lat="-") + ",1" * more for second in range(2000))
    header = HEADER + "".join(f",c{i}" for i in range(more))
    (tmp_path / "f.csv").write_text("\n".join([header, *lines]) + "\n")
    before = time.process_time()
    _, refusals = read(tmp_path / "f.csv")
    spent = time.process_time() - before
    assert len(refusals) == 2000
    assert spent / 2000 < 400e-6  # ten times what it may take on a machine with nothing else to do


def test_a_refused_row_is_kept_with_its_columns_names(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER},Temp °C,note\n{row(lat='north')},21,\n")
    (refusal,) = read(tmp_path / "f.csv")[1]
    assert refusal.content is not None
    content = json.loads(refusal.content)
    assert (content["lat"], content["Temp °C"], content["note"]) == ("north", "21", None)


def test_quoted_values_may_hold_line_breaks_and_the_lines_keep_their_numbers(tmp_path: Path) -> None:
    lines = [f"{HEADER},note", row(0) + ',"two\nlines"', row(1) + ",", row(2, lat="?") + ',"a ""b"" c"', row(3) + ",x"]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    source = TextSource(str(tmp_path / "f.csv"), mapped())
    fixes, refusals = read(tmp_path / "f.csv")
    assert fixes.origin is not None
    assert source.describe(fixes.origin) == ["f.csv:2", "f.csv:4", "f.csv:6"]
    assert [refusal.origin for refusal in refusals] == ["f.csv:5"]


@pytest.mark.parametrize("block_bytes", [40, 64, 1 << 20])
def test_where_the_text_is_cut_into_blocks_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", block_bytes)
    lines = [f"{HEADER},note", row(0) + ',"two\nlines, of them"', row(1), row(2, lat="?") + ",", row(3) + ",x"]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    fixes, refusals = read(tmp_path / "f.csv")
    assert [us // 10**6 % 60 for us in fixes.fixed_at_us.tolist()] == [0, 3]
    assert sorted((refusal.origin, refusal.reason) for refusal in refusals) == [
        ("f.csv:4", "document_corrupt"),
        ("f.csv:5", "position_unparseable"),
    ]


def test_a_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    lines = [f"{HEADER},note", row(0) + ",a", row(1) + ',"oops', *(row(second) + ",b" for second in range(2, 3000))]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    fixes, refusals = read(tmp_path / "f.csv")
    assert [refusal.origin for refusal in refusals] == ["f.csv:3"]
    assert len(fixes) == 2999


def test_a_quote_within_a_value_is_a_character(tmp_path: Path) -> None:
    lines = [f"{HEADER},note", row(0) + ',5" pipe', row(1) + ",a", row(2) + ",b"]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    assert len(read(tmp_path / "f.csv")[0]) == 3


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n{row()}\n{HEADER}\n{row(1)}\n")
    fixes, refusals = read(tmp_path / "f.csv")
    assert (len(fixes), refusals) == (2, [])


ENDS = ["\n", "\r\n", "\r"]


@pytest.mark.parametrize("ends", ENDS)
def test_every_line_break_is_one(tmp_path: Path, ends: str) -> None:
    (tmp_path / "f.csv").write_bytes(ends.join([HEADER, row(0), row(1), ""]).encode())
    assert len(read(tmp_path / "f.csv")[0]) == 2


@pytest.mark.parametrize("blocks", [1, 3, 20])
@pytest.mark.parametrize("seed", range(20))
def test_line_breaks_of_every_kind_may_stand_in_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, blocks: int
) -> None:
    chance = random.Random(seed)
    notes = ["", "a", '"two, of them"', '"two{end}lines"', "?"]
    text, line, wanted, refused = HEADER + ",note" + chance.choice(ENDS), 2, [], []
    for second in range(40):
        note = chance.choice(notes).format(end=chance.choice(ENDS))
        (refused if note == "?" else wanted).append(f"f.csv:{line}")
        text += row(second, **({"lat": "?"} if note == "?" else {})) + f",{note}" + chance.choice(ENDS)
        line += 2 if "lines" in note else 1
    (tmp_path / "f.csv").write_bytes(text.encode())
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", len(text) // blocks + 1)
    source = TextSource(str(tmp_path / "f.csv"), mapped())
    fixes, refusals = read(tmp_path / "f.csv")
    assert fixes.origin is not None
    assert source.describe(fixes.origin) == wanted
    assert [refusal.origin for refusal in refusals] == refused


def test_a_value_may_be_longer_than_parsers_of_csv_take_by_themselves(tmp_path: Path) -> None:
    lines = [f"{HEADER},note", row(0) + f",{'x' * 200_000}", row(1) + ',"two\nlines"', row(2, lat="?") + ","]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    fixes, refusals = read(tmp_path / "f.csv")
    assert (len(fixes), [refusal.origin for refusal in refusals]) == (2, ["f.csv:5"])


def test_a_file_without_line_breaks_is_unreadable_not_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", 64)
    (tmp_path / "f.csv").write_text("x" * 10_000)
    with pytest.raises((SourceUnreadable, MappingInvalid), match="line"):
        read(tmp_path / "f.csv")


def test_what_was_seen_in_a_file_is_told_once_it_was_read(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"{HEADER}\n{row()}\n".replace(",", ";"), "utf-16")
    source = TextSource(str(tmp_path / "f.csv"), mapped())
    assert sum(len(batch.fixes) for batch in source.batches()) == 1
    assert [(item.name, item.state, item.reason) for item in source.items()] == [
        ("f.csv", "read", "encoding utf-16-le, columns are separated by semicolons")
    ]
