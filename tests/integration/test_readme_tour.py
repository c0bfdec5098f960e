"""The README's two minutes are true: each command works, and what it prints is what the README shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
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


def test_the_snippet_over_http_waits_for_both_services_and_gets_its_answers(tmp_path: Path) -> None:
    for program in ("bash", "curl", "sed"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH")
    section = README.read_text().split("## Over HTTP, for a purpose")[1].split("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.+?)^```", section, re.M | re.S)
    assert len(blocks) == 3
    (tmp_path / "examples").symlink_to(README.parent / "examples")
    tour = [f"journeymesh {command}" for command, _ in COMMAND.findall(README.read_text())[:2]]
    script = "\n".join(
        ["set -e", "trap 'kill $(jobs -p)' EXIT", *tour, "echo MARK", *blocks[:2], "echo MARK", blocks[2]]
    )
    for port, free in zip(("8001", "8002"), free_ports(2), strict=True):
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
        service = "journeyapi" if port == "8001" else "identityapi"
        script = script.replace(f"serve {service}", f"serve {service} --port {free}")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    decoder, answers, text = json.JSONDecoder(), [], done.stdout.split("MARK")[2].strip()
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].strip()
    assert [list(answer) for answer in answers] == [["items", "next"], ["items", "next"]]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
