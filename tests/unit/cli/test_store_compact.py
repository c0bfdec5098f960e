from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.records import NOON, journey, journeys

from journeymesh.cli.main import outcome
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store


def test_a_lake_is_compacted_and_says_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed (the lake extra)")
    url = f"lake:///{tmp_path}/lake"
    store = open_store(url)
    store.migrate()
    for hours in range(3):
        store.write(StoreBatch(journeys=journeys(journey(start=NOON + hours * timedelta(hours=1)))))
    store.close()
    assert outcome(["store", "compact", "--store", url]) == 0
    assert "6 files merged into 2, 0 superseded rows dropped, 0 old files removed" in capsys.readouterr().out
    assert outcome(["store", "compact", "--store", url, "--grace-s", "0"]) == 0
    assert "0 files merged into 0, 0 superseded rows dropped, 6 old files removed" in capsys.readouterr().out
    assert outcome(["journeys", "list", "--store", url, "--vehicle", "car-1", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_another_store_has_nothing_to_compact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/journeys.db"
    store = open_store(url)
    store.migrate()
    store.close()
    assert outcome(["store", "compact", "--store", url]) == 2
    assert "nothing to compact" in capsys.readouterr().err
