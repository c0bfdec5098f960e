"""Every command that takes a policy's number, over a store in which two tenants use it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.support import records
from tests.support.two_tenants import SHARED, TENANTS, fill, journeys_of

from journeymesh.cli.main import app, outcome
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import RulesUsed, StoreBatch
from journeymesh.wiring import open_store

COMMANDS: dict[str, list[str]] = {
    "summary": ["summary", SHARED, "--period", "day", "--format", "json"],
    "journeys list": ["journeys", "list", "--policy", SHARED, "--format", "json"],
    "report": ["report", SHARED, "--out", "page.html"],
    "strangler ask": [],  # ``terms_of`` over a door: test_door_of_two_tenants
}
"""By command that takes a number: how it is asked for one."""

SOUTHS_KM = r"1\D?234\D"
"""What south's journeys add up to on a page; north's come to some metres."""


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOURNEYMESH_STORE", f"sqlite:///{tmp_path}/journeys.db")
    opened = open_store(f"sqlite:///{tmp_path}/journeys.db")
    souths = next(policy for policy in fill(opened, *TENANTS) if (policy.number, policy.tenant) == (SHARED, "south"))
    opened.write(StoreBatch(journeys=records.journeys(*journeys_of(souths, distance_m=411_411.0))))
    opened.write(StoreBatch(rules=RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)))
    opened.close()


def _commands(group: typer.Typer, before: str = "") -> Iterator[tuple[str, Any]]:
    for each in group.registered_commands:
        assert each.callback is not None
        yield f"{before}{each.name or each.callback.__name__.replace('_', '-')}", each.callback
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        name = inner.name or inner.typer_instance.info.name
        yield from _commands(inner.typer_instance, f"{before}{name} ")


def test_every_command_that_takes_a_number_takes_a_tenant_and_has_a_case_here() -> None:
    taking = {name: set(inspect.signature(call).parameters) for name, call in _commands(app)}
    taking = {name: parameters for name, parameters in taking.items() if "policy" in parameters}
    assert set(taking) == set(COMMANDS)
    assert [name for name, parameters in taking.items() if "tenant" not in parameters] == []


@pytest.mark.parametrize("name", [name for name, arguments in COMMANDS.items() if arguments])
def test_a_number_of_two_tenants_is_refused_without_one_and_answered_for_the_one_that_is_named(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = COMMANDS[name]
    assert outcome(arguments) == 2
    refused = capsys.readouterr()
    assert "north, south" in refused.err
    assert "--tenant" in refused.err
    assert refused.out == ""
    for tenant in TENANTS:
        assert outcome([*arguments, "--tenant", tenant]) == 0
        told = capsys.readouterr().out
        if name == "report":
            told = Path("page.html").read_text("utf-8")
            assert (re.search(SOUTHS_KM, told) is not None) == (tenant == "south")
        else:
            rows = json.loads(told)
            assert (len(rows), {row["tenant"] for row in rows}) == (3, {tenant})
    assert outcome([*arguments, "--tenant", "west"]) != 0
    assert "tenant west has no policy P-1" in capsys.readouterr().err
