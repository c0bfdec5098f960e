"""The README's two minutes are true: each command works, and what it prints is what the README shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome

README = Path(__file__).parents[2] / "README.md"
COMMAND = re.compile(r"^```sh\njourneymesh (.+)\n```\n(?:\n```text\n((?:(?!```).*\n)*)```\n)?", re.M)
VARIES = re.compile(r" in [\d.]+ s \([\d,]+/s\)")


def plain(text: str) -> str:
    """The text without times and trailing blanks."""
    return "\n".join(VARIES.sub("", line).rstrip() for line in text.strip().splitlines())


def test_the_tour_prints_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tour = COMMAND.findall(README.read_text())
    assert len(tour) == 7
    (tmp_path / "examples").symlink_to(README.parent / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    for command, shown in tour:
        assert outcome(shlex.split(command)) == 0, command
        printed = capsys.readouterr()
        if shown.strip():
            assert plain(printed.out + printed.err) == plain(shown), command
    assert (tmp_path / "report.html").stat().st_size > 10_000
