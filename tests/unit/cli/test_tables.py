"""Tables for people: whole values, and a word on what did not fit."""

from __future__ import annotations

import io

import pytest

from journeymesh.cli.tables import Column, width_of, write_table


def shown(columns: list[Column], rows: list[dict], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    write_table(file, columns, rows, title="", else_by="use --format csv")
    return file.getvalue()


def column(name: str, **options: object) -> Column:
    return Column(name, lambda row: row[name], field=name, **options)  # type: ignore[arg-type]


def test_columns_of_the_highest_rank_are_left_out_first_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [column("id"), column("least", rank=2), column("much", rank=1), column("most")]
    row = {"id": "x" * 10, "least": "l" * 10, "much": "m" * 10, "most": "n" * 10}
    told = shown(columns, [row], 34, monkeypatch)
    assert "2 more" not in told
    assert "1 more column (least): use --format" in " ".join(told.split())
    assert "x" * 10 + "  " + "m" * 10 + "  " + "n" * 10 in told
    told = shown(columns, [row], 24, monkeypatch)
    assert "2 more columns (least, much):" in " ".join(told.split())


def test_an_id_longer_than_the_terminal_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown([column("id"), column("km")], [{"id": "i" * 70, "km": "1"}], 40, monkeypatch)
    assert "i" * 70 in told
    assert "1 more column (km)" in told


def test_what_moves_the_cursor_is_written_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown([column("id")], [{"id": "a\x1b[31mb\nc"}], 40, monkeypatch)
    assert "a\\x1b[31mb\\nc" in told
    assert "\x1b" not in told


def test_wide_letters_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(
        [column("id"), column("km", right=True)], [{"id": "車", "km": "1"}, {"id": "car", "km": "20"}], 40, monkeypatch
    )
    assert told.splitlines()[2:] == ["車    1", "car  20"]


def test_a_heading_gives_way_before_a_column_does(monkeypatch: pytest.MonkeyPatch) -> None:
    several = Column("so many words of it", lambda row: row["id"])
    told = shown([several, several], [{"id": "12345"}], 12, monkeypatch)
    assert told.splitlines()[0] == "so     so"
    assert "more" not in told


def test_a_terminal_that_knows_no_lines_gets_dashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="ascii", write_through=True)
    write_table(file, [column("id")], [{"id": "V1"}], title="", else_by="")
    assert written.getvalue() == b"id\n--\nV1\n"


def test_a_pipe_is_eighty_columns_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of(io.StringIO()) == 80


def test_text_is_broken_between_words_before_a_column_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [column("id"), column("detail", wraps=True), column("km")]
    row = {"id": "i" * 10, "detail": "an impossible jump that was not confirmed", "km": "20"}
    told = shown(columns, [row], 40, monkeypatch)
    assert told.splitlines()[2:] == [
        "iiiiiiiiii  an impossible jump that   20",
        "            was not confirmed",
    ]


def test_text_that_may_stand_below_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "because the pilot group agreed to be the first, and " * 4
    below = [
        Column("slice", lambda row: row["slice"]),
        Column("outcome", lambda row: "refused"),
        Column("why", lambda row: row["why"], below=True),
    ]
    rows = [{"slice": "a-slice-with-a-long-name", "why": why}, {"slice": "b", "why": ""}]
    told = shown(below, rows, 40, monkeypatch)
    assert max(map(len, told.splitlines())) <= 40
    assert " ".join(told.split("why:")[1].split("\nb ")[0].split()) == why.strip()
    assert told.count("why") == 1
    assert "more column" not in told
