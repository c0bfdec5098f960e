"""``journeymesh generate`` never writes into what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.cli.main import outcome


@pytest.mark.parametrize("kind", ["a file", "a folder with a file"])
def test_what_is_there_is_left_as_it_is(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    mine = out / "mine" if kind != "a file" else out
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert outcome(["generate", "--out", str(out), "--vehicles", "1", "--days", "1"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == sorted({out, mine})


def test_an_empty_folder_is_written_into(tmp_path: Path) -> None:
    assert outcome(["generate", "--out", str(tmp_path), "--vehicles", "1", "--days", "1"]) == 0
