"""Whether tombstones can be trusted is looked at while a service runs, and what they refused is a metric of nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.keys.tombstone_tables import TombstoneDatabase
from journeymesh.keys.tombstone_watch import TombstoneMetrics, TombstoneWatch
from journeymesh.keys.tombstones import Tombstones


@pytest.fixture
def tombstones(tmp_path: Path) -> Tombstones:
    made = Tombstones(TombstoneDatabase(f"sqlite:///{tmp_path}/tombstones.db"), CommonKey(bytes(32), 1))
    made.migrate()
    return made


def test_a_service_is_not_ready_while_its_tombstones_are_older_than_the_key_store(tombstones: Tombstones) -> None:
    keys = MemoryKeyStore()
    watch = TombstoneWatch(lambda: tombstones.require_ready(keys), tombstones.refused)
    assert watch.fault() == "the tombstones were not looked at yet"
    watch.tick()
    assert watch.fault() == ""
    keys.begin_rotation()
    keys.finish_rotation("t-1")
    watch.tick()
    assert "are older than the key store" in watch.fault()
    tombstones.add("t-1", [])
    watch.tick()
    assert watch.fault() == ""


def test_a_service_is_not_ready_without_its_tombstones(tombstones: Tombstones, tmp_path: Path) -> None:
    watch = TombstoneWatch(tombstones.require_ready, tombstones.refused)
    watch.tick()
    assert watch.fault() == ""
    (tmp_path / "tombstones.db").unlink()
    lost = Tombstones(TombstoneDatabase(f"sqlite:///{tmp_path}/tombstones.db"), CommonKey(bytes(32), 1))
    again = TombstoneWatch(lost.require_ready, lost.refused)
    again.tick()
    assert "tombstones" in again.fault()


def test_what_was_refused_is_a_metric_by_kind(tombstones: Tombstones) -> None:
    tombstones.count_refused({"fixes": 7, "journeys": 0})
    tombstones.count_refused({"fixes": 3, "policies": 1})
    assert tombstones.refused() == {"fixes": 10, "policies": 1}
    registry = CollectorRegistry()
    watch = TombstoneWatch(tombstones.require_ready, tombstones.refused)
    watch.tick()
    registry.register(TombstoneMetrics(watch))
    shown = generate_latest(registry).decode()
    assert 'journeymesh_tombstones_refused_rows_total{kind="fixes"} 10.0' in shown
    assert "journeymesh_tombstones_ready 1.0" in shown
