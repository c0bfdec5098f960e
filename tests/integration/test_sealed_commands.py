"""``sealed = true``: every command opens stores by the layer, ``store protect`` seals what was in clear."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.builders import drive
from tests.support.rooms_databases import database_url

from journeymesh.cli.main import outcome
from journeymesh.errors import StoreUnavailable
from journeymesh.stores import row_store
from journeymesh.stores.port import JourneyQuery
from journeymesh.stores.protected_kinds import PROTECTED
from journeymesh.wiring import open_store
from journeymesh.wiring.journeys import bare_store

__all__ = ["database_url"]

AT = datetime(2026, 6, 10, 9, tzinfo=UTC)
NUMBER, VEHICLE = "POLICY-88210", "VEHICLE-44127"
POLICIES = f"""version: 1
policies:
  - {{number: {NUMBER}, vehicle: {VEHICLE}, tenant: acme, valid_from: '2026-01-01T00:00:00Z'}}
"""


class Desk:
    """Settings with a key store, a source, and the commands over them."""

    def __init__(self, folder: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.store, self._monkeypatch = folder, store, monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setenv("JOURNEYMESH_KEY_STORE", f"sqlite:///{folder}/keys.db")
        monkeypatch.setenv("JOURNEYMESH_KEY_PROVIDER", f"local://{folder}/provider.keys")
        monkeypatch.setenv("JOURNEYMESH_STORE", store)
        fixes = [drive((12.0, 900), start=AT, vehicle=name, every_s=10) for name in (VEHICLE, "other")]
        pq.write_table(pa.concat_tables([each.to_arrow() for each in fixes]), folder / "fixes.parquet")
        (folder / "policies.yaml").write_text(POLICIES)
        self.seal(True)
        self.run("privacy", "migrate")

    def seal(self, sealed: bool) -> None:
        self._monkeypatch.setenv("JOURNEYMESH_SEALED", str(sealed).lower())

    def run(self, *arguments: str, code: int = 0) -> None:
        assert outcome(list(arguments)) == code, arguments

    def fill(self, store: str | None = None) -> None:
        self.run(
            "preprocess", "--source", str(self.folder / "fixes.parquet"), "--store", store or self.store,
            "--policies", str(self.folder / "policies.yaml"),
        )  # fmt: skip

    def verified(self, capsys: pytest.CaptureFixture[str], store: str | None = None) -> dict[str, str]:
        capsys.readouterr()
        self.run("store", "verify", "--format", "json", "--store", store or self.store)
        digests: dict[str, str] = json.loads(capsys.readouterr().out)["digests"]
        return digests


@pytest.fixture
def desk(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, database_url, monkeypatch)


def test_a_sealed_store_answers_like_one_in_clear_and_is_refused_without_the_setting(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.fill()
    sealed = desk.verified(capsys)
    desk.run("summary", NUMBER, "--format", "json")
    summary = capsys.readouterr().out
    assert NUMBER in summary
    desk.seal(False)
    for command in (("summary", NUMBER), ("policies", "list"), ("store", "verify"), ("journeys", "list")):
        desk.run(*command, code=5)
        assert "sealed by a key store" in capsys.readouterr().err, command
    clear = f"sqlite:///{desk.folder}/clear.db"
    desk.fill(clear)
    assert desk.verified(capsys, clear) == sealed
    desk.run("summary", NUMBER, "--format", "json", "--store", clear)
    assert capsys.readouterr().out == summary
    with bare_store(desk.store, must_exist=True)._reading() as rows:
        assert rows.count(PROTECTED["journeys"].name) > 0
        assert not any(rows.count(kind) for kind in PROTECTED)


def test_a_store_in_clear_is_counted_refused_sealed_and_then_the_same(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.seal(False)
    desk.fill()
    before = desk.verified(capsys)
    desk.seal(True)
    desk.run("summary", NUMBER, code=5)
    assert "holds rows in clear" in capsys.readouterr().err
    desk.run("store", "verify", code=5)
    shown = capsys.readouterr()
    assert "in clear    2 journeys" in shown.out
    assert "in clear    1 policies" in shown.out
    assert "journeymesh store protect" in shown.err
    desk.run("store", "protect")
    shown = capsys.readouterr()
    assert "sealed          2 journeys" in shown.out
    assert "free space      written over" in shown.out
    assert desk.verified(capsys) == before
    desk.run("store", "protect")
    if desk.store.startswith("sqlite"):
        content = b"".join(path.read_bytes() for path in desk.folder.glob("room.db*"))
        assert NUMBER.encode() not in content
        assert VEHICLE.encode() not in content


def test_a_program_that_reads_in_clear_stops_soon_after_another_seals_the_store(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.seal(False)
    desk.fill()
    store = open_store(desk.store)
    assert store.journeys(JourneyQuery()).num_rows == 2
    desk.run("store", "protect")
    monkeypatch.setattr(row_store, "SEALED_SEEN_WITHIN_S", 0.0)
    for read in (
        lambda: store.journeys(JourneyQuery()), lambda: store.journeys(JourneyQuery(policies=[NUMBER])),
        store.policies, store.digest, lambda: store.expire(AT),
    ):  # fmt: skip
        with pytest.raises(StoreUnavailable, match="sealed by a key store"):
            read()
    store.close()


def test_a_lake_cannot_be_sealed_and_says_so(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed (the lake extra)")
    lake = f"lake:///{desk.folder}/lake"
    desk.run("preprocess", "--source", str(desk.folder / "fixes.parquet"), "--store", lake, code=2)
    assert "a lake cannot be" in capsys.readouterr().err
    assert not (desk.folder / "lake").exists()
    desk.run("store", "protect", "--store", lake, code=2)


def test_without_a_key_store_or_with_another_one_nothing_is_opened(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.fill()
    for name, value, code, says in (
        ("KEY_STORE", f"sqlite:///{desk.folder}/none.db", 5, "journeymesh privacy migrate"),
        ("KEY_PROVIDER", f"local://{desk.folder}/none.keys", 5, "key"),
        ("KEY_PROVIDER", "", 2, ""),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(f"JOURNEYMESH_{name}", value)
            desk.run("summary", NUMBER, code=code)
            assert says in capsys.readouterr().err
    with monkeypatch.context() as changed:
        changed.setenv("JOURNEYMESH_KEY_STORE", f"sqlite:///{desk.folder}/other.db")
        changed.setenv("JOURNEYMESH_KEY_PROVIDER", f"local://{desk.folder}/other.keys")
        desk.run("privacy", "migrate")
        for command in (("summary", NUMBER), ("store", "protect")):
            desk.run(*command, code=5)
            assert "sealed by another key store" in capsys.readouterr().err
    desk.run("summary", NUMBER)


def test_a_backup_with_tokens_of_a_former_key_is_mended_by_protect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from journeymesh.settings import load_settings
    from journeymesh.wiring.keys import configured_key_store

    desk = Desk(tmp_path, f"sqlite:///{tmp_path}/journeys.db", monkeypatch)
    desk.fill()
    before = desk.verified(capsys)
    shutil.copy(tmp_path / "journeys.db", tmp_path / "backup.db")
    store, keys = open_store(desk.store), configured_key_store(load_settings())
    keys.begin_rotation()
    store.retoken()  # type: ignore[attr-defined]
    keys.finish_rotation("t-1")
    keys.close()
    store.close()
    assert desk.verified(capsys) == before
    backup = f"sqlite:///{tmp_path}/backup.db"
    desk.run("summary", NUMBER, "--store", backup, code=5)
    assert "former index key" in capsys.readouterr().err
    desk.run("store", "protect", "--store", backup)
    assert desk.verified(capsys, backup) == before
