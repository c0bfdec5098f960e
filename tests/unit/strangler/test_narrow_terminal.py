"""However narrow a terminal is, no listing of the strangler leaves anything out."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.cli.main import outcome
from journeymesh.strangler.slices import Phase
from tests.support.worlds import World


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("status", ["phase: shadow", "answers: legacy", "target: embedded", "policies: "]),
        ("lag", ["target: embedded", "state: ", "lag: ", "events: "]),
        ("history", ["slice: all", "move: ", "outcome: moved", "why: "]),
        ("diff", ["slice: all", "policy: P1", "what: missing", "subject: ", "source has: ", "seen: 1", "state: open"]),
    ],
)
def test_what_does_not_fit_stands_below(
    command: str, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path)
    monkeypatch.setattr("journeymesh.cli.strangler.open_installation", world.installation)
    world.go(Phase.SHADOW)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/target.db")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM journeys WHERE policy = 'P1'"))
    engine.dispose()
    outcome(["strangler", "reconcile", "plan.yaml", "all"])
    monkeypatch.setenv("COLUMNS", "12")
    capsys.readouterr()
    assert outcome(["strangler", command, "plan.yaml"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert [text for text in said if text not in told] == []
    assert "more column" not in told
