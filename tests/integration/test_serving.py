"""Serving from the command line: an access file to begin with, both services as processes, and their end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
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
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from tests.support import programs, records
from tests.support.builders import drive
from tests.support.journeyapis import NOON, POLICY

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

MAPPING = """
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: v, unit: m/s}
policies:
  collection: policies
  number: {path: number}
  device: {path: device}
  valid_from: {path: from, clock: bson_date}
"""
PLAN = """
version: 1
control: sqlite:///control.db
legacy: {source: "${LEGACY_URL}", mapping: mapping.yaml, rules: rules.yaml}
stores: {embedded: {url: "sqlite:///moved.db"}}
gates: {max_lag_s: 600, shadow_coverage: 0, shadow_reads: 0}
slices:
  - {name: cars, policies: {hash_percent: [0, 100]}, target: embedded, phase: shadow}
"""
RULES = """
version: own-1
profile: always_on
score:
  harsh_events_per_100km: {best: 0.0, worst: 40.0, weight: 0.7}
  speeding_share: {best: 0.0, worst: 0.2, weight: 0.1}
  night_share: {best: 0.0, worst: 0.4, weight: 0.1}
  mileage_ratio: {best: 1.0, worst: 2.0, weight: 0.1}
"""
OF_CONTENT = re.compile(r'W/"c[0-9a-f]{32}"')
"""The tag of an answer that had to be read to be known."""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of journeys and an access file, named by the environment."""
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///journeys.db")) as store:
        store.migrate()
        # Lately, for what is older than the purpose's retention does not leave.
        put = [_lately(hours) for hours in (30, 27)]
        lasting = replace(POLICY, valid_from=NOON, valid_to=None)
        store.write(StoreBatch(journeys=records.journeys(*put), policies=[lasting]))
    assert outcome(["access", "init", "access"]) == 0
    (tmp_path / "access/people.yaml").write_text(PEOPLE)
    monkeypatch.setenv("JOURNEYMESH_ACCESS", str(tmp_path / "access/access.yaml"))
    return tmp_path


def _lately(hours: int) -> dict[str, Any]:
    return records.journey(start=datetime.now(UTC) - timedelta(hours=hours), policy_from=NOON)


@contextmanager
def serving(room: Path, service: str, *options: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """(a client of the service, its process), which is ended at the end."""
    log = room / f"{service}.log"
    with open(log, "wb") as written:
        command = [sys.executable, "-m", "journeymesh", "serve", service, "--port", "0", *options]
        process = programs.Popen(command, cwd=room, stdout=written, stderr=written, env=dict(os.environ))
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


def approve(identity: httpx.Client, analyst: dict[str, str], officer: dict[str, str]) -> str:
    """The id of an approval of the analyst's purpose that every replica knows."""
    wish = {"purpose": "pricing", "domain": "pricing", "reason": "a tariff"}
    made = str(identity.post("/v1/approvals", headers=analyst, json=wish).json()["id"])
    for who, step in ((officer, "approve"), (analyst, "acknowledge")):
        assert identity.post(f"/v1/approvals/{made}:{step}", headers=who, json={"why": "agreed"}).status_code == 200
    time.sleep(1.0)
    return made


def test_from_an_empty_folder_to_an_approved_answer_and_an_audit_that_holds(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    analyst, officer = token("analyst", capsys), token("privacy-officer", capsys)
    asked = {**analyst, "data-purpose": "pricing"}
    path = f"/v1/policies/{POLICY.number}/summary?period=week"
    with serving(room, "identityapi") as (identity, _), serving(room, "journeyapi") as (journeys, _):
        assert journeys.get("/readyz").status_code == identity.get("/readyz").status_code == 200
        assert journeys.get(path, headers=asked).json()["reason"] == "approval_missing"
        made = approve(identity, analyst, officer)
        answer = journeys.get(path, headers=asked)
        assert sum(row["journeys"] for row in answer.json()["items"]) == 2
        why = identity.get(f"/v1/decisions/{answer.headers['decision-id']}/explain", headers=officer)
        assert why.status_code == 200
    capsys.readouterr()
    assert outcome(["audit", "checkpoint"]) == 0
    assert outcome(["audit", "verify"]) == 0
    assert "the audit is intact" in capsys.readouterr().out
    assert outcome(["audit", "list", "--format", "ndjson"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"decision", "approval"} <= {row["kind"] for row in listed}
    (spoilt,) = (row for row in listed if row["kind"] == "approval" and '"step":"approve"' in row["body"])
    assert made in spoilt["body"]
    with closing(sqlite3.connect(room / "access/access.db")) as raw, raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f'DROP TRIGGER "{name}"')
        changed = raw.execute(
            "UPDATE audit_records SET body = replace(body, 'pricing', 'nothing') WHERE writer = ? AND number = ?",
            (spoilt["writer"], spoilt["number"]),
        )
        assert changed.rowcount == 1
    assert outcome(["audit", "verify"]) == 5
    (bad,) = capsys.readouterr().err.splitlines()
    assert bad.startswith("bad: ")
    assert spoilt["writer"] in bad
    assert f"record {spoilt['number']}" in bad


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


def test_a_body_that_is_half_sent_at_sigterm_is_answered_while_readiness_fails(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps({"purpose": "pricing", "domain": "pricing", "reason": "a tariff"}).encode()
    with serving(room, "identityapi") as (client, process):
        headers = {
            "host": "api",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **token("analyst", capsys),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        address = (client.base_url.host, client.base_url.port)
        with socket.create_connection(address, timeout=30) as half:
            half.sendall(f"POST /v1/approvals HTTP/1.1\r\n{head}\r\n".encode() + body[:20])
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            until_s = time.monotonic() + 10
            while (ready := client.get("/readyz").status_code) == 200 and time.monotonic() < until_s:
                time.sleep(0.02)
            assert ready == 503
            assert process.poll() is None
            half.sendall(body[20:])
            assert half.recv(65_536).startswith(b"HTTP/1.1 201 ")
        assert process.wait(30) == 0


def test_over_a_plan_the_side_of_the_route_answers_and_the_service_follows_it(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mongodb_url: str
) -> None:
    pymongo = pytest.importorskip("pymongo")
    name = f"serving_{uuid4().hex[:8]}"
    monkeypatch.setenv("LEGACY_URL", urlsplit(mongodb_url)._replace(path=f"/{name}").geturl())
    (room / "mapping.yaml").write_text(MAPPING)
    (room / "plan.yaml").write_text(PLAN)
    (room / "rules.yaml").write_text(RULES)
    analyst, officer = token("analyst", capsys), token("privacy-officer", capsys)
    asked = {**analyst, "data-purpose": "pricing"}
    path = f"/v1/policies/{POLICY.number}/summary?period=week"
    with closing(pymongo.MongoClient(mongodb_url)) as legacy:
        try:
            put_in_legacy(legacy[name])
            assert outcome(["strangler", "apply", "plan.yaml", "--why", "begin"]) == 0
            assert outcome(["strangler", "run", "plan.yaml", "--once"]) == 0
            with (
                serving(room, "identityapi") as (identity, _),
                serving(room, "journeyapi", "--plan", "plan.yaml") as (journeys, _),
            ):
                approve(identity, analyst, officer)
                assert journeys.get("/readyz").status_code == 200
                of_legacy = journeys.get(path, headers=asked)
                assert sum(row["journeys"] for row in of_legacy.json()["items"]) == 2
                weighed = {each["part"]: each["weight"] for each in of_legacy.json()["items"][0]["score_parts"]}
                # By the plan's own rules: seven to one.
                assert round(weighed["harsh_events_per_100km"] / weighed["night_share"], 3) == 7.0
                assert OF_CONTENT.fullmatch(of_legacy.headers["etag"])
                onward = ["--set", "cars=target_with_reverse_shadow", "--why", "equal"]
                assert outcome(["strangler", "apply", "plan.yaml", *onward]) == 0
                time.sleep(1.0)
                of_target = journeys.get(path, headers=asked)
                assert of_target.content == of_legacy.content
                assert of_target.headers["etag"] == of_legacy.headers["etag"]  # it does not tell who answered
                tagged = {**asked, "if-none-match": of_target.headers["etag"]}
                assert journeys.get(path, headers=tagged).status_code == 304
        finally:
            legacy.drop_database(name)


def put_in_legacy(database: Any) -> None:
    """A policy and the fixes of two drives of its vehicle."""
    database.policies.insert_one({"number": POLICY.number, "device": "car-1", "from": NOON})
    for hours in (30, 27):
        began = datetime.now(UTC) - timedelta(hours=hours)
        fixes = drive((12.0, 300), start=began, vehicle="car-1", every_s=10)
        places = zip(fixes.fixed_at_us.tolist(), fixes.lat_deg.tolist(), fixes.lon_deg.tolist(), strict=True)
        database.boxes.insert_many(
            {"device": "car-1", "t": datetime.fromtimestamp(at_us / 1e6, UTC), "lat": lat, "lon": lon, "v": 12.0}
            for at_us, lat, lon in places
        )


def test_a_port_that_is_taken_is_one_line(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for service in (["journeyapi", "--store", "sqlite:///journeys.db"], ["identityapi"]):
            capsys.readouterr()
            assert outcome(["serve", *service, "--port", str(port)]) == 2
            (said,) = capsys.readouterr().err.strip().splitlines()
            assert f"cannot listen on 127.0.0.1:{port}" in said
            assert "name another host or port" in said


def test_a_database_that_one_may_not_write_is_one_line_without_its_password(
    room: Path, capsys: pytest.CaptureFixture[str], postgresql_url: str
) -> None:
    name, password = f"powerless_{uuid4().hex[:8]}", uuid4().hex
    as_them = urlsplit(postgresql_url)
    with psycopg_connection(postgresql_url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(f"GRANT USAGE ON SCHEMA {name} TO {name}")  # to look, not to create
        try:
            url = as_them._replace(
                netloc=f"{name}:{password}@{as_them.hostname}:{as_them.port}",
                query=f"options=-csearch_path%3D{name}",
            ).geturl()
            file = room / "access/access.yaml"
            file.write_text(file.read_text().replace("sqlite:///access.db", f'"{url}"'))
            for command in (["access", "migrate", str(file)], ["serve", "identityapi", "--port", "0"]):
                capsys.readouterr()
                assert outcome(command) == 5
                (said,) = capsys.readouterr().err.strip().splitlines()
                assert "grant the user the rights on the schema" in said
                assert password not in said
        finally:
            connection.execute(f"DROP SCHEMA {name}")
            connection.execute(f"DROP ROLE {name}")


def psycopg_connection(url: str) -> Any:
    return pytest.importorskip("psycopg").connect(url, autocommit=True)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["serve", "journeyapi", "--access", "nix.yaml"], 2, "nix.yaml does not exist"),
        (["serve", "journeyapi", "--store", "sqlite:///nix.db"], 5, "there is no such file"),
        (["serve", "journeyapi", "--plan", "nix.yaml"], 2, "nix.yaml does not exist"),
        (["token", "--as", "nobody"], 3, "no person 'nobody'"),
        (["token", "--as", "analyst", "--provider", "keycloak"], 2, "no static provider 'keycloak'"),
        (["access", "init", "access"], 2, "already exists"),
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
