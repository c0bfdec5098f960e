"""Before a slice leaves legacy for good an operator sees who else uses it; that closes no gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome
from journeymesh.errors import SourceUnreadable
from journeymesh.sources.vehicle_port import OtherClient, OtherClients
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.slices import Phase
from tests.support.legacy_double import MemoryLegacy
from tests.support.worlds import World

SEEN = OtherClients((OtherClient("reports", "10.0.0.7", {"query": 2}, 1), OtherClient("", "10.0.0.9", {}, 3)))


class Told(MemoryLegacy):
    """A legacy whose server tells its clients."""

    told: OtherClients = SEEN

    def other_clients(self) -> OtherClients:
        return self.told


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    held = World(tmp_path)
    held.legacy = Told(held_policies=held.legacy.held_policies, rows=held.legacy.rows, events=held.legacy.events)
    monkeypatch.setattr("journeymesh.cli.strangler.open_installation", held.installation)
    return held


def text_of(command: str, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    outcome(["strangler", command, "plan.yaml", *more])
    return capsys.readouterr().out


def test_they_are_shown_before_retiring_and_keep_nothing_from_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.go(Phase.SHADOW)
    assert "other clients" not in text_of("status", capsys)
    world.go(Phase.TARGET)
    lines = [
        "other clients of legacy now: 2",
        "    reports at 10.0.0.7: 2 query, 1 idle connection",
        "    without a name at 10.0.0.9: 3 idle connections",
    ]
    text = text_of("status", capsys)
    assert "\n".join(lines) in text
    assert "ready for retired" in text
    (shown,) = json.loads(text_of("status", capsys, "--format", "json"))
    assert shown["other_clients"]["clients"][0] == {
        "application": "reports", "host": "10.0.0.7", "operations": {"query": 2}, "connections": 1,
    }  # fmt: skip
    world.phase = Phase.RETIRED
    text = text_of("apply", capsys, "--why", "done", "--dry-run")
    assert text.startswith("\n".join(lines))
    assert "all: target → retired (would move)" in text


def test_a_server_that_does_not_tell_them_is_said_not_to(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.go(Phase.TARGET)
    monkeypatch.setattr(Told, "told", OtherClients(unknown="it has no such stage"))
    text = text_of("status", capsys)
    assert "cannot list other clients of legacy:\n    it has no such stage" in text
    assert "ready for retired" in text


def test_a_legacy_that_is_down_is_said_to_be(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.go(Phase.TARGET)

    def down(_: Installation) -> MemoryLegacy:
        raise SourceUnreadable("legacy is down", todo="start it")

    monkeypatch.setattr(Installation, "legacy", down)
    assert "cannot list other clients of legacy:\n    legacy is down: start it" in text_of("status", capsys)
