"""Both services as they are deployed, over SQLite, with the limits that they have by themselves, and somebody who may
hand in fixes and ask for decisions about others: a stranger's attack ends sooner."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from journeymesh.cli.access import write_access
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store
from journeymesh.wiring.access import open_minter
from tests.support.journeyapis import NOON, POLICY

PEOPLE = f"""
people:
  attacker:
    tenant: {POLICY.tenant}
    domains: [telematics]
    capabilities:
      journeys: [fixes:write, product:read, summaries:read]
      platform: [approvals:request, decisions:make]
  privacy-officer:
    tenant: {POLICY.tenant}
    domains: [privacy]
    capabilities:
      platform: [approvals:decide]
"""
STARTS_WITHIN_S = 120.0


@dataclass(frozen=True)
class Running:
    """A running service."""

    name: str
    port: int
    pid: int
    token: str

    def resident_mib(self) -> float:
        """The memory that it holds now."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


@contextmanager
def running_services(room: Path) -> Iterator[dict[str, Running]]:
    """Both services by name; they end with the context."""
    store = f"sqlite:///{room}/journeys.db"
    with closing(open_store(store)) as opened:
        opened.migrate()
        opened.write(StoreBatch(policies=[replace(POLICY, valid_from=NOON, valid_to=None)]))
    access = write_access(room / "access")
    (room / "access/people.yaml").write_text(PEOPLE)
    minter = open_minter(access)
    tokens = {who: minter.mint(who, ttl_s=24 * 3600.0) for who in ("attacker", "privacy-officer")}
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(_served(room, name, access, tokens["attacker"], *options))
            for name, options in (("identityapi", ()), ("journeyapi", ("--store", store)))
        }
        _approve(found["identityapi"].port, tokens)
        yield found


def _approve(port: int, tokens: dict[str, str]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

        def post(who: str, path: str, body: dict[str, str]) -> dict[str, str]:
            answer = client.post(path, json=body, headers={"authorization": f"Bearer {tokens[who]}"})
            answer.raise_for_status()
            told: dict[str, str] = answer.json()
            return told

        wish = {"product": "journeys", "purpose": "journey-collection", "domain": "telematics", "reason": "a test"}
        made = post("attacker", "/v1/approvals", wish)["id"]
        post("privacy-officer", f"/v1/approvals/{made}:approve", {"why": "agreed"})
        post("attacker", f"/v1/approvals/{made}:acknowledge", {"why": "agreed"})
    time.sleep(1.5)  # every replica knows it within a second


@contextmanager
def _served(room: Path, name: str, access: Path, token: str, *options: str) -> Iterator[Running]:
    log = room / f"{name}.log"
    command = [sys.executable, "-m", "journeymesh", "serve", name, "--access", str(access), "--port", "0", *options]
    with open(log, "wb") as written:
        process = subprocess.Popen(command, stdout=written, stderr=written, env=dict(os.environ))
    try:
        until_s = time.monotonic() + STARTS_WITHIN_S
        while f"{name}: http" not in log.read_text():
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"{name} does not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        port = int(log.read_text().partition(f"{name}: ")[2].split()[0].rpartition(":")[2])
        yield Running(name, port, process.pid, token)
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself: {log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
