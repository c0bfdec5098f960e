"""Who writes to a target past its upstream, by a run, is seen at once and closes gates until it is compared."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.cli.main import outcome
from journeymesh.engines import local
from journeymesh.engines.port import RunOptions
from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, Run, StoreBatch
from journeymesh.strangler.control import Control, foreign_runs
from journeymesh.strangler.foreign_runs import OtherRuns, look_for_others, open_runs, runs_of_others
from journeymesh.strangler.opened_door import opened_door
from journeymesh.strangler.slices import Phase
from journeymesh.wiring import open_store
from tests.support.builders import NOON, drive
from tests.support.doors import STORE, a_control, fill, route
from tests.support.legacy_double import MemoryLegacy
from tests.support.worlds import POLICIES, World

STRANGER = "another-fleet"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    held = World(tmp_path)
    monkeypatch.setattr("journeymesh.cli.strangler.open_installation", held.installation)
    return held


def write_past(world: World, vehicle: str = "V1") -> str:
    """A run of somebody else's into the target; returns its id."""
    source = MemoryLegacy(name=STRANGER, held_policies=list(POLICIES))
    source.put(drive((12.0, 400), start=NOON + timedelta(hours=3), vehicle=vehicle, every_s=10))
    store = open_store(f"sqlite:///{world.folder}/target.db")
    try:
        local.run(source, store, RunOptions(rules=ALWAYS_ON))
        return next(run.run_id for run in reversed(store.runs()) if run.source == STRANGER)
    finally:
        store.close()


def seen(world: World) -> tuple[str, ...]:
    """What is recorded, without anybody looking."""
    with world.installation() as installation:
        return open_runs(installation.control, "all", "embedded")


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert outcome(["strangler", "status", "plan.yaml", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    return dict(found)


def test_it_stands_in_status_and_history_and_closes_gates(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.go(Phase.SHADOW)
    assert outcome(["strangler", "compare", "plan.yaml", "all"]) == 0
    assert shown(capsys)["foreign_runs"] == []
    run_id = write_past(world)
    told = shown(capsys)
    assert told["foreign_runs"] == [run_id]
    gate = "another writer wrote to the target (1 runs): reconcile the slice"
    assert told["closed_gates"] == [gate]
    world.phase = Phase.TARGET_WITH_REVERSE_SHADOW
    assert outcome(["strangler", "apply", "plan.yaml", "--why", "try"]) == 7
    assert gate in capsys.readouterr().err
    assert outcome(["strangler", "status", "plan.yaml"]) == 0
    assert f"all: another writer writes to this store (embedded): run {run_id}" in capsys.readouterr().out
    assert outcome(["strangler", "history", "plan.yaml", "--format", "json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    (entry,) = [each for each in entries if each["outcome"] == "foreign write"]
    assert (entry["slice"], entry["who"], entry["before"]) == ("all", "watch", "shadow")
    assert entry["detail"] == f"another writer writes to this store (embedded): run {run_id}"


def test_gates_are_closed_until_a_comparison_leaves_no_difference(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.go(Phase.SHADOW)
    run_id = write_past(world)
    assert outcome(["strangler", "reconcile", "plan.yaml", "all"]) == 0
    assert shown(capsys)["foreign_runs"] == [run_id]
    assert outcome(["strangler", "reconcile", "plan.yaml", "all", "--repair"]) == 0
    told = shown(capsys)
    assert (told["foreign_runs"], told["closed_gates"]) == ([], [])
    with world.installation() as installation:
        assert len(installation.store("embedded").journeys(JourneyQuery(policy="P1"))) == 1
    world.phase = Phase.TARGET_WITH_REVERSE_SHADOW
    assert outcome(["strangler", "apply", "plan.yaml", "--why", "compared"]) == 0
    again = write_past(world, "V2")
    assert shown(capsys)["foreign_runs"] == [again]


def test_what_was_there_before_the_target_was_filled_is_compared_by_filling(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(f"sqlite:///{world.folder}/target.db")
    store.migrate()
    store.close()
    write_past(world)
    world.go(Phase.SHADOW)
    assert shown(capsys)["foreign_runs"] == []
    with world.installation() as installation:
        assert len(installation.store("embedded").journeys(JourneyQuery(policy="P1"))) == 1


def _by_the_feeder(world: World) -> None:
    assert outcome(["strangler", "run", "plan.yaml", "--once"]) == 0


def _by_the_door(world: World) -> None:
    until = time.monotonic() + 60
    with world.installation() as installation, opened_door(installation):
        while not seen(world) and time.monotonic() < until:
            time.sleep(0.05)


def _by_apply(world: World) -> None:
    outcome(["strangler", "apply", "plan.yaml", "--why", "try", "--dry-run"])


@pytest.mark.parametrize("looks", [_by_the_feeder, _by_the_door, _by_apply])
def test_whoever_looks_at_the_target_sees_it(looks: Callable[[World], None], world: World) -> None:
    world.go(Phase.TARGET)
    run_id = write_past(world)
    assert seen(world) == ()
    looks(world)
    assert seen(world) == (run_id,)


def test_a_run_that_goes_on_after_it_was_compared_counts_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.go(Phase.SHADOW)
    run_id = write_past(world)
    assert outcome(["strangler", "reconcile", "plan.yaml", "all", "--repair"]) == 0
    assert shown(capsys)["foreign_runs"] == []
    engine = sa.create_engine(f"sqlite:///{world.folder}/target.db")
    with engine.begin() as connection:
        changed = "UPDATE runs SET counts = '{\"fixes\": 7}' WHERE run_id = :run_id"
        assert connection.execute(sa.text(changed), {"run_id": run_id}).rowcount == 1
    engine.dispose()
    assert shown(capsys)["foreign_runs"] == [run_id]


def test_a_control_database_of_before_takes_what_a_target_has_for_known(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.go(Phase.SHADOW)
    write_past(world)
    control = Control(f"sqlite:///{world.folder}/control.db")
    with control.writing() as connection:  # as the migration leaves it
        connection.execute(sa.delete(foreign_runs))
    control.close()
    assert shown(capsys)["foreign_runs"] == []
    later = write_past(world, "V2")
    assert shown(capsys)["foreign_runs"] == [later]


def test_a_source_that_is_kept_up_is_looked_at_as_well_whichever_other_store_cannot_be_read(tmp_path: Path) -> None:
    old, reachable = fill(MemoryStore(), MemoryLegacy()), ["old"]

    def store(name: str) -> MemoryStore:
        if name not in reachable:
            raise StoreUnavailable(f"{name} is down", todo="start it")
        return old  # type: ignore[return-value]

    control = a_control(tmp_path, route(source="old", phase=Phase.SHADOW))
    look_for_others(control, store)
    assert (open_runs(control, "all", "old"), open_runs(control, "all", STORE)) == ((), None)
    fill(old, MemoryLegacy(name=STRANGER))
    look_for_others(control, store)
    assert [open_runs(control, "all", "old")] == [(run.run_id,) for run in old.runs() if run.source == STRANGER]
    assert open_runs(control, "all", STORE) is None


def test_looking_again_finds_what_reading_all_runs_finds_and_reads_few() -> None:
    store, others, rng = CountingStore(), OtherRuns(), random.Random(7)
    store.migrate()
    for k in range(300):
        which = k if rng.random() < 0.6 else rng.randrange(k + 1)
        held = store.run(f"run-{which}")
        if held is None or held.finished_at is None:  # a run that has finished does not change
            prefix = rng.choice(("run", "run", "sync:"))
            began = NOON + timedelta(minutes=rng.randrange(-k - 1, k + 1)) if held is None else held.started_at
            ended = began + timedelta(minutes=rng.randrange(5)) if rng.random() < 0.8 else None
            store.write(StoreBatch(run=Run(f"{prefix}-{which}", "s", "r", began, ended, {"fixes": k})))
        if rng.random() < 0.7:
            assert others.look(store) == runs_of_others(store)
    others.look(store)
    store.read = 0
    others.look(store)
    assert store.read < 80 < store.run_count()


class CountingStore(MemoryStore):
    """Counts the runs that it gave."""

    read = 0

    def runs(self, since: datetime | None = None) -> list[Run]:
        found = super().runs(since)
        self.read += len(found)
        return found
