"""Serving from the command line: an access file to begin with, both services as processes, and their end."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from tests.ports import records
from tests.unit.services.journeyapis import NOON, POLICY

from journeymesh.cli.main import outcome
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store

TENANT = POLICY.tenant
PEOPLE = f"""
people:
  analyst:
    tenant: {TENANT}
    domains: [pricing]
    capabilities:
      journeys: [product:read, journeys:read, summaries:read]
      platform: [approvals:request]
  privacy-officer:
    tenant: {TENANT}
    domains: [privacy]
    capabilities:
      platform: [approvals:decide, audit:read, decisions:explain]
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of journeys and an access file, named by the environment."""
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///journeys.db")) as store:
        store.migrate()
        # Lately, for what is older than the purpose's retention does not leave.
        put = [records.journey(start=datetime.now(UTC) - timedelta(hours=hours)) for hours in (30, 27)]
        lasting = replace(POLICY, valid_from=NOON, valid_to=None)
        store.write(StoreBatch(journeys=records.journeys(*put), policies=[lasting]))
    assert outcome(["access", "init", "access"]) == 0
    (tmp_path / "access/people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("JOURNEYMESH_ACCESS", str(tmp_path / "access/access.yaml"))
    return tmp_path


@contextmanager
def serving(room: Path, service: str, *options: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """(a client of the service, its process), which is ended at the end."""
    log = room / f"{service}.log"
    with open(log, "wb") as written:
        command = [sys.executable, "-m", "journeymesh", "serve", service, "--port", "0", *options]
        process = subprocess.Popen(command, cwd=room, stdout=written, stderr=written, env=dict(os.environ))
    try:
        until_s = time.monotonic() + 60
        while f"{service}: http" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, "the service does not start"
            time.sleep(0.05)
        address = log.read_text().partition(f"{service}: ")[2].split()[0]
        with httpx.Client(base_url=address, timeout=30) as client:
            yield client, process
    finally:
        process.kill()
        process.wait(30)


def token(who: str, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The headers of somebody, by the command that mints tokens."""
    capsys.readouterr()
    assert outcome(["token", "--as", who]) == 0
    return {"authorization": f"Bearer {capsys.readouterr().out.strip()}"}


def test_from_an_empty_folder_to_an_approved_answer_and_an_audit_that_holds(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyst, officer = token("analyst", capsys), token("privacy-officer", capsys)
    asked = {**analyst, "data-purpose": "pricing"}
    path = f"/v1/policies/{POLICY.number}/summary?period=week"
    with serving(room, "identityapi") as (identity, _), serving(room, "journeyapi") as (journeys, _):
        assert journeys.get("/readyz").status_code == identity.get("/readyz").status_code == 200
        assert journeys.get(path, headers=asked).json()["reason"] == "approval_missing"
        wish = {"purpose": "pricing", "domain": "pricing", "reason": "a tariff"}
        made = identity.post("/v1/approvals", headers=analyst, json=wish).json()["id"]
        for who, step in ((officer, "approve"), (analyst, "acknowledge")):
            assert identity.post(f"/v1/approvals/{made}:{step}", headers=who, json={"why": "agreed"}).status_code == 200
        time.sleep(1.0)
        answer = journeys.get(path, headers=asked)
        assert [row["journeys"] for row in answer.json()["items"]] == [2]
        why = identity.get(f"/v1/decisions/{answer.headers['decision-id']}/explain", headers=officer)
        assert why.status_code == 200
    capsys.readouterr()
    assert outcome(["audit", "checkpoint"]) == 0
    assert outcome(["audit", "verify"]) == 0
    assert "the audit holds" in capsys.readouterr().out
    assert outcome(["audit", "list", "--format", "ndjson"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"decision", "approval"} <= {row["kind"] for row in listed}
    with closing(sqlite3.connect(room / "access/access.db")) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f'DROP TRIGGER "{name}"')
        raw.execute("UPDATE audit_records SET body = replace(body, 'pricing', 'nothing') WHERE kind = 'approval'")
    assert outcome(["audit", "verify"]) == 5
    assert "bad: " in capsys.readouterr().err


def test_on_sigterm_requests_under_way_end_and_the_service_with_0(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(room, "journeyapi", "--store", "sqlite:///journeys.db") as (client, process):
        headers = token("analyst", capsys)
        statuses: list[int] = []

        def ask() -> None:
            while True:
                try:
                    statuses.append(client.get("/v1/products/journeys", headers=headers).status_code)
                except httpx.TransportError:
                    return

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        asking.join(30)
        assert statuses
        assert set(statuses) == {200}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["serve", "journeyapi", "--access", "nix.yaml"], 2, "nix.yaml does not exist"),
        (["serve", "journeyapi", "--store", "sqlite:///nix.db"], 5, "there is no such file"),
        (["serve", "journeyapi", "--plan", "nix.yaml"], 2, "nix.yaml does not exist"),
        (["token", "--as", "nobody"], 3, "no person 'nobody'"),
        (["token", "--as", "analyst", "--provider", "keycloak"], 2, "no static provider 'keycloak'"),
        (["access", "init", "access"], 2, "exists already"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_says_what_to_do(
    room: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, told: str
) -> None:
    capsys.readouterr()
    assert outcome(arguments) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert told in said[0]
    assert not (room / "nix.db").exists()


def test_a_missing_key_says_how_to_make_one(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (room / "access/keys/pseudonyms.key").unlink()
    assert outcome(["access", "check", "access/access.yaml"]) == 2
    assert "pseudonyms" in capsys.readouterr().err


def test_keys_are_their_owners_alone(room: Path) -> None:
    for key in (room / "access/keys").iterdir():
        assert key.stat().st_mode & 0o077 == 0
