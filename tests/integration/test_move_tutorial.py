"""The tutorial is true for somebody who reads: each command works ten minutes after the one before.

Against the server of ``JOURNEYMESH_TEST_MONGODB``.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import bson
import pytest

from journeymesh.cli.main import outcome
from journeymesh.databases import database

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/move-off-mongodb.md"
COMMAND = re.compile(r"^    \$ (.+)$", re.M)
PLAN = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
READING_S = 600
"""A reader takes ten minutes from one command to the next."""
SHOWN_URL = "mongodb://127.0.0.1:27017/telematics?replicaSet=rs0"


@pytest.mark.timeout(1800)
def test_the_whole_move_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mongodb_url: str
) -> None:
    pymongo = pytest.importorskip("pymongo")
    text = TUTORIAL.read_text("utf-8")
    name = f"tutorial_{uuid4().hex[:8]}"
    client: Any = pymongo.MongoClient(mongodb_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN.findall(text)[0])
    told: dict[str, str] = {}
    passed_s = 0
    monkeypatch.setattr(database, "clock_ns", lambda: time.time_ns() + passed_s * 1_000_000_000)
    try:
        for line in COMMAND.findall(text):
            match shlex.split(line):
                case ["journeymesh", *arguments]:
                    passed_s += READING_S
                    capsys.readouterr()
                    assert outcome(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
                    told[line] = capsys.readouterr().out
                case ["mongorestore", "--uri", _, folder]:
                    _restore(client[name], tmp_path / folder / "telematics")
                case ["export", assignment]:
                    variable, _, value = assignment.partition("=")
                    assert value == SHOWN_URL
                    monkeypatch.setenv(variable, mongodb_url.replace("/?", f"/{name}?"))
                case ["sqlite3", file, statement]:
                    with sqlite3.connect(tmp_path / file) as connection:
                        assert connection.execute(statement).rowcount == 1
                case other:
                    raise AssertionError(f"the tutorial has a command that this test does not know: {other}")
    finally:
        client.drop_database(name)
        client.close()
    assert (
        "1 missing, 0 extra, 0 values differ; would be repaired"
        in told["journeymesh strangler reconcile plan.yaml pilot"]
    )
    assert "no differences found so far" in told["journeymesh strangler diff plan.yaml"]
    printed = "\n".join(told.values())
    for line in (
        "3 of 3 compared so far",
        "ready for target_with_reverse_shadow",
        "pilot: shadow → target_with_reverse_shadow",
    ):
        assert line in printed


def _restore(database: Any, folder: Path) -> None:
    """What mongorestore does with a folder of .bson files."""
    for file in sorted(folder.glob("*.bson")):
        documents = bson.decode_all(file.read_bytes())
        for at in range(0, len(documents), 10_000):
            database[file.stem].insert_many(documents[at : at + 10_000])
