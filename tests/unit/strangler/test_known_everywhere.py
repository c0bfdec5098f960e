"""What one command finds, every other knows: `diff` lists it, `status` is not ready, and the next gate is closed."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import typer

from journeymesh.cli.main import app, outcome
from journeymesh.strangler.control import backfills
from journeymesh.strangler.routes import mark_completeness, read_routes
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.slices import Phase
from tests.support.builders import NOON, drive
from tests.support.worlds import LOST, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    held = World(tmp_path)
    monkeypatch.setattr("journeymesh.cli.strangler.open_installation", held.installation)
    monkeypatch.setitem(ShadowReader.__init__.__kwdefaults__, "late_s", 1.0)  # type: ignore[arg-type]
    return held


def _compare(world: World) -> None:
    world.go(Phase.SHADOW)
    world.spoil()
    stop = threading.Event()
    with world.installation() as installation:
        feeder = threading.Thread(target=installation.feeder().run, args=(stop,))
        feeder.start()
        try:
            assert outcome(["strangler", "compare", "plan.yaml", "all"]) == 0
        finally:
            stop.set()
            feeder.join()


def _compare_while_nobody_feeds(world: World) -> None:
    world.go(Phase.SHADOW)
    world.spoil()
    assert outcome(["strangler", "compare", "plan.yaml", "all"]) == 7


def _reconcile(world: World) -> None:
    world.go(Phase.TARGET)
    world.spoil()
    assert outcome(["strangler", "reconcile", "plan.yaml", "all"]) == 0


def _retire(world: World) -> None:
    world.go(Phase.TARGET)
    world.spoil()
    world.phase = Phase.RETIRED
    assert outcome(["strangler", "apply", "plan.yaml", "--why", "done with it"]) == 7


def _fill(world: World) -> None:
    world.go(Phase.TARGET)
    world.loses = True
    with world.installation() as installation:
        with installation.control.writing() as connection:
            connection.execute(backfills.delete())
        mark_completeness(installation.control.writing(), ["all"], False, "to be filled again")
    assert outcome(["strangler", "run", "plan.yaml", "--once"]) != 0


FINDING: dict[str, Callable[[World], None]] = {
    "compare": _compare,
    "compare, late": _compare_while_nobody_feeds,
    "reconcile": _reconcile,
    "apply": _retire,
    "run": _fill,
}
"""By command that may find a difference, and how: that it does."""

SHOWING = {"status", "lag", "history", "diff", "accept", "plan check", "plan schema"}
"""Commands that compare nothing themselves."""

ASKING = {"swap", "ask"}
"""Commands whose comparing is another's: ``swap`` moves as ``apply`` does, ``ask`` has the door's shadow reads."""


def _commands(group: typer.Typer, before: str = "") -> Iterator[str]:
    for each in group.registered_commands:
        assert each.callback is not None
        yield before + (each.name or each.callback.__name__)
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from _commands(inner.typer_instance, f"{before}{inner.name or inner.typer_instance.info.name} ")


def test_every_command_of_the_strangler_is_accounted_for_here() -> None:
    (strangler,) = (each.typer_instance for each in app.registered_groups if each.name == "strangler")
    assert strangler is not None
    assert set(_commands(strangler)) == {*(name.partition(",")[0] for name in FINDING), *SHOWING, *ASKING}


@pytest.mark.parametrize("command", FINDING)
def test_what_a_command_finds_every_other_knows(command: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    FINDING[command](world)
    world.loses = False
    capsys.readouterr()
    assert outcome(["strangler", "diff", "plan.yaml", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {(each["slice"], each["subject"], each["classification"]) for each in listed} >= {("all", LOST, "missing")}
    assert outcome(["strangler", "status", "plan.yaml", "--format", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["open_mismatches"] == len(listed)
    assert any("open mismatch" in gate for gate in shown["closed_gates"]), shown["closed_gates"]
    assert outcome(["strangler", "status", "plan.yaml"]) == 0
    assert "ready for" not in capsys.readouterr().out
    with world.installation() as installation:
        before = read_routes(installation.control).routes[0].phase
    world.phase = Phase(shown["next"])
    assert outcome(["strangler", "apply", "plan.yaml", "--why", "try"]) == 7
    assert "open mismatch" in capsys.readouterr().err
    with world.installation() as installation:
        assert read_routes(installation.control).routes[0].phase is before


@pytest.mark.parametrize("command", FINDING)
def test_what_was_found_is_resolved_when_it_is_put_right(
    command: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    FINDING[command](world)
    world.loses = False
    assert outcome(["strangler", "run", "plan.yaml", "--once"]) == 0
    assert outcome(["strangler", "reconcile", "plan.yaml", "all", "--repair"]) == 0
    if command.startswith("compare"):  # what a comparison of answers found, another one has to find equal
        assert outcome(["strangler", "compare", "plan.yaml", "all"]) == 0
    capsys.readouterr()
    assert outcome(["strangler", "diff", "plan.yaml", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_repair_leaves_word_of_what_it_repaired(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.go(Phase.TARGET)
    world.spoil()
    assert outcome(["strangler", "reconcile", "plan.yaml", "all", "--repair"]) == 0
    capsys.readouterr()
    assert outcome(["strangler", "diff", "plan.yaml", "--all", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["subject"], each["state"], each["found_by"]) for each in listed if each["subject"] == LOST] == [
        (LOST, "resolved", "reconcile")
    ]
    assert outcome(["strangler", "diff", "plan.yaml", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_what_the_feed_refuses_every_command_knows(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.go(Phase.TARGET)
    lost = drive((10.0, 400), start=NOON + timedelta(hours=2), vehicle="V1", every_s=10)
    world.legacy.put(dataclasses.replace(lost, lat_deg=np.full(len(lost), np.nan)))
    assert outcome(["strangler", "run", "plan.yaml", "--once"]) == 0
    capsys.readouterr()
    assert outcome(["strangler", "diff", "plan.yaml", "--format", "json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert outcome(["strangler", "status", "plan.yaml", "--format", "json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["refusals"]["question"] == listed["cause"]
    assert (shown["refusals"]["refused"], shown["refusals"]["documents"]) == (41, 3 * 31 + 41)
    world.phase = Phase.RETIRED
    assert outcome(["strangler", "apply", "plan.yaml", "--why", "done with it"]) == 7
    assert "sudden rise in refused documents: 41 of 41 documents (100.0 %), 0.0 % before" in capsys.readouterr().err
    accepted = ["strangler", "accept", "plan.yaml", listed["cause"], "--reason", "the maker knows", "--days", "14"]
    assert outcome(accepted) == 0
    capsys.readouterr()
    assert outcome(["strangler", "status", "plan.yaml"]) == 0
    out = capsys.readouterr().out
    assert "ready for retired" in out
    assert "refused: 41 of 134 documents (30.6 %), lately 41 more of 41; accepted for now" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    for heading in ("backfill", "lag", "shadow reads", "mismatches"):
        assert heading in words, f"{heading!r} is left out at 80 columns"
    assert "more column" not in words
