"""The tutorial's ten minutes are true: every command works, against the server of ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import re
import shlex
import sqlite3
from pathlib import Path
from typing import Any
from uuid import uuid4

import bson
import pytest

from journeymesh.cli.main import outcome

TUTORIAL = Path(__file__).parents[2] / "docs/tutorial/move-off-mongodb.md"
COMMAND = re.compile(r"^    \$ (.+)$", re.M)
PLAN = re.compile(r"^```yaml\n(.*?)^```$", re.M | re.S)
SHOWN_URL = "mongodb://127.0.0.1:27017/telematics?replicaSet=rs0"


@pytest.mark.timeout(600)
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
    try:
        for line in COMMAND.findall(text):
            match shlex.split(line):
                case ["journeymesh", *arguments]:
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
    assert "nothing differs" in told["journeymesh strangler diff plan.yaml"]
    printed = "\n".join(told.values())
    for line in ("ready for target_with_reverse_shadow", "pilot: shadow → target_with_reverse_shadow"):
        assert line in printed


def _restore(database: Any, folder: Path) -> None:
    """What mongorestore does with a folder of .bson files."""
    for file in sorted(folder.glob("*.bson")):
        documents = bson.decode_all(file.read_bytes())
        for at in range(0, len(documents), 10_000):
            database[file.stem].insert_many(documents[at : at + 10_000])
