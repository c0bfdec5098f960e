"""A store's journeys made anew by other rules are those that a new store would have; a killed run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.integration.test_runs import Parts
from tests.support.builders import NOON, drive, with_column

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.engines.recalculation import Recalculation
from journeymesh.engines.recompute import recompute
from journeymesh.errors import RulesConflict
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ALWAYS_ON, ALWAYS_ON_2026_1, ENGINE_SWITCHED, JourneyRules
from journeymesh.stores.port import JourneyQuery, RulesUsed, Store, StoreBatch
from journeymesh.stores.used_rules import rules_for
from journeymesh.wiring import open_store

NOW = NOON + timedelta(days=30)


@pytest.fixture(params=["memory:", "sqlite:///{}/journeys.db", "lake:///{}/lake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param.startswith("lake"):
        pytest.importorskip("duckdb")
    opened = open_store(request.param.format(tmp_path))
    opened.migrate()
    yield opened
    opened.close()


def two_days(vehicle: str) -> Fixes:
    """A recorder whose speed is always 0, on two days."""
    days = [drive((0.0, 20), (15.0, 300), (0.0, 400), vehicle=vehicle, start=NOON + timedelta(days=k)) for k in (0, 1)]
    return with_column(Fixes.concat(days), "speed_mps", 0.0)


def fill(store: Store, rules: JourneyRules, retention: Retention = Retention()) -> None:  # noqa: B008
    recalculation = Recalculation(
        store=store,
        rules=rules,
        policies=[],
        retention=retention,
        now=NOW,
        describe=lambda origins: ["x"] * len(origins),
    )
    recalculated = recalculation.recalculate(Fixes.concat([two_days(f"V{k}") for k in range(4)]))
    store.write(replace(recalculated.batch, rules=RulesUsed(rules.version, rules.digest)))


def rows(store: Store) -> list[dict[str, object]]:
    found: list[dict[str, object]] = store.journeys(JourneyQuery(limit=100)).to_pylist()
    return sorted(found, key=lambda row: str(row["journey_id"]))


def by(rules: JourneyRules) -> list[dict[str, object]]:
    fresh = open_store("memory:")
    fresh.migrate()
    fill(fresh, rules)
    return rows(fresh)


def test_the_journeys_are_those_of_a_new_store_and_there_and_back_again(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1)
    before = rows(store)
    report = recompute(store, ALWAYS_ON, now=NOW)
    assert rows(store) == by(ALWAYS_ON) != before
    assert store.rules() == [RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)]
    assert (report.before, report.vehicles, report.lost) == (["always-on-2026.1"], 4, 0)
    assert report.changed + report.journeys + report.removed >= 8
    digest = store.digest()
    assert recompute(store, ALWAYS_ON, now=NOW).vehicles == 0
    assert store.digest() == digest
    recompute(store, ALWAYS_ON_2026_1, now=NOW)
    assert rows(store) == before
    assert store.rules() == [RulesUsed(ALWAYS_ON_2026_1.version, ALWAYS_ON_2026_1.digest)]


def test_a_run_that_was_killed_goes_on_behind_the_last_vehicle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, ALWAYS_ON_2026_1)

    class Killed(Exception):
        pass

    def stop(done: int) -> None:
        if done == 2:
            raise Killed

    with pytest.raises(Killed):
        recompute(store, ALWAYS_ON, now=NOW, on_vehicle=stop)
    assert {row["rules_version"] for row in rows(store)} == {"always-on-2026.1", "always-on-2026.2"}
    assert len(store.rules()) == 2
    report = recompute(store, ALWAYS_ON, now=NOW)
    assert report.vehicles == 2
    assert rows(store) == by(ALWAYS_ON)
    assert store.rules() == [RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)]


def test_journeys_whose_fixes_are_not_kept_are_told_and_nothing_is_changed(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1, Retention(timedelta(0)))
    before, digest = rows(store), store.digest()
    with pytest.raises(RulesConflict, match="8 journeys of 4 vehicles cannot be recomputed: their fixes are not kept"):
        recompute(store, ALWAYS_ON, now=NOW)
    assert store.digest() == digest
    report = recompute(store, ALWAYS_ON, allow_mixed_rules=True, now=NOW)
    assert (report.lost, report.lost_vehicles) == (8, 4)
    assert rows(store) == before


def test_what_is_left_of_a_journey_makes_no_other_beside_it(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1)
    part = two_days("V1").take(slice(0, 200))
    store.write(StoreBatch(fixes=part))
    report = recompute(store, ALWAYS_ON, allow_mixed_rules=True, now=NOW)
    assert report.lost == 1
    of_v1 = [row for row in rows(store) if row["vehicle"] == "V1"]
    assert [row["rules_version"] for row in sorted(of_v1, key=lambda row: str(row["started_at"]))] == [
        "always-on-2026.1",
        "always-on-2026.2",
    ]


def test_a_name_without_a_version_means_the_one_that_the_store_holds(store: Store) -> None:
    assert rules_for("always-on", "always-on", [store]) == ALWAYS_ON
    fill(store, ALWAYS_ON_2026_1)
    assert rules_for(None, "always-on", [store]) == ALWAYS_ON_2026_1
    assert rules_for("always-on", "engine-switched", [store]) == ALWAYS_ON_2026_1
    assert rules_for("always-on-2026.2", "always-on", [store]) == ALWAYS_ON
    assert rules_for("engine-switched", "always-on", [store]) == ENGINE_SWITCHED
    recompute(store, ALWAYS_ON, now=NOW)
    assert rules_for(None, "always-on", [store]) == ALWAYS_ON


def test_the_inputs_of_these_tests_differ_between_the_rules() -> None:
    one, other = by(ALWAYS_ON), by(ALWAYS_ON_2026_1)
    assert len(one) == len(other) == 8
    assert not np.isclose([float(str(row["max_speed_mps"])) for row in one], 0.0).any()


def killed_after(vehicles: int, store: Store, rules: JourneyRules) -> None:
    """A recomputing run that ends without a word behind so many vehicles."""

    class Killed(BaseException):
        pass

    def stop(done: int) -> None:
        if done == vehicles:
            raise Killed

    with pytest.raises(Killed):
        recompute(store, rules, now=NOW, on_vehicle=stop)


def test_a_killed_run_does_not_go_on_where_others_were_recomputed_since(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1)
    killed_after(2, store, ALWAYS_ON)
    recompute(store, ALWAYS_ON_2026_1, now=NOW + timedelta(hours=1))
    assert rows(store) == by(ALWAYS_ON_2026_1)
    report = recompute(store, ALWAYS_ON, now=NOW + timedelta(hours=2))
    assert report.vehicles == 4
    assert rows(store) == by(ALWAYS_ON)
    assert store.rules() == [RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)]


def test_a_killed_run_does_not_go_on_where_others_were_read_since(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1)
    killed_after(2, store, ALWAYS_ON)
    late = replace(two_days("V0"), fixed_at_us=two_days("V0").fixed_at_us + 7 * 86_400_000_000)
    read = RunOptions(rules=ALWAYS_ON_2026_1, allow_mixed_rules=True, now=NOW)
    run(Parts([late]), store, read)
    recompute(store, ALWAYS_ON, now=NOW + timedelta(hours=2))
    assert {row["rules_version"] for row in rows(store)} == {"always-on-2026.2"}
    assert len(rows(store)) == 10


def test_a_killed_run_does_not_go_on_by_rules_that_were_edited_since(store: Store) -> None:
    fill(store, ALWAYS_ON_2026_1)
    killed_after(2, store, ALWAYS_ON)
    edited = replace(ALWAYS_ON, min_distance_m=100_000.0)
    assert (edited.version, edited.digest != ALWAYS_ON.digest) == (ALWAYS_ON.version, True)
    assert recompute(store, edited, now=NOW).vehicles == 4
    assert rows(store) == by(edited) == []
    assert store.rules() == [RulesUsed(edited.version, edited.digest)]


def test_a_run_goes_on_after_a_kill_before_its_first_vehicle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, ALWAYS_ON_2026_1)
    with monkeypatch.context() as patch:
        patch.setattr(Recalculation, "again", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            recompute(store, ALWAYS_ON, now=NOW)
    assert recompute(store, ALWAYS_ON, now=NOW).vehicles == 4
    assert rows(store) == by(ALWAYS_ON)
