"""Summaries over HTTP: ours with the whole decision and its audit record, beside FastAPI over the same PostgreSQL.

    python -m benchmarks.http_reads [--seconds S] [--policies N] [--journeys N]

prints one line of JSON. Reads a second and core are requests by CPU seconds of all that answers them: the service and
PostgreSQL, which the peer asks for every answer and ours commits its audit to. What the service's process alone takes
stands beside it (``…_service``). Load is made by ``wrk``, whose own CPU is not counted: by so many connections that
neither side waits idle for its disk, and by fewer beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import sqlalchemy as sa
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.approvals import fill_approvals
from benchmarks.environments import ROOT, NotBuilt, python_of, version_of
from benchmarks.postgresql import postgresql
from benchmarks.results import Bench, Peer, Result, printed
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.static import StaticProvider, StaticSettings
from journeymesh.journeys.journey import JOURNEY_SCHEMA, journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store

SECONDS, QUICK_SECONDS = 5.0, 2.0
TURNS = ("ours", "fastapi", "fastapi", "ours") * 2
"""Short turns, many of them: a shared machine is half as fast again from one half minute to the next."""
POLICIES, QUICK_POLICIES, JOURNEYS_EACH = 500, 50, 120
CONNECTIONS, FEW_CONNECTIONS, CALM_CONNECTIONS, OPEN_CONNECTIONS = 64, 16, 2, 1_000
TENANT, PERSON, PURPOSE = "tenant-0", "analyst", "pricing"
APPROVALS = 10_000
_NAMES = ("ours", "fastapi")


def http_reads(bench: Bench, quick: bool) -> None:
    """The figures of reads over HTTP, measured in a fresh process."""
    seconds, policies = (QUICK_SECONDS, QUICK_POLICIES) if quick else (SECONDS, POLICIES)
    found = printed("benchmarks.http_reads", "--seconds", str(seconds), "--policies", str(policies))
    ours, peer = found["ours"], found["fastapi"]

    def beside(name: str, unit: str) -> list[Peer]:
        return [Peer("FastAPI", version_of("fastapi"), peer[name], unit, "uvicorn, asyncpg; checks the token alone")]

    note = (
        f"CPU of service and PostgreSQL; the service alone {ours['reads_per_s_service']:,.0f}, FastAPI "
        f"{peer['reads_per_s_service']:,.0f}; p99 {ours['reads_p99_ms']:.1f} ms at {CONNECTIONS} connections, FastAPI "
        f"{peer['reads_p99_ms']:.1f} ms"
    )
    reads = Result("summary_reads_per_s_core", ours["reads_per_s_core"], "reads/s", note=note)
    reads.peers.extend(beside("reads_per_s_core", "reads/s"))
    bench.add(reads)
    alone = f"{ours['reads_per_s_service'] / peer['reads_per_s_service']:.2f}× by the service's process alone"
    for few in ("", "_few"):
        name, connections = "ratio_fastapi" + few, FEW_CONNECTIONS if few else CONNECTIONS
        ratio, told = _beside(found, "reads" + few)
        told = f"{connections} connections; {told}" + ("" if few else f"; {alone}")
        bench.add(Result(name, ratio, "×", None, None if few else 3.0, note=told))
        ratio, told = _beside(found, "hits" + few)
        told = f"{connections} connections; {told}"
        bench.add(Result("ratio_fastapi_conditional" + few, ratio, "×", None, None if few else 5.0, note=told))
    calm = f"p50 {ours['calm_p50_ms']:.2f} ms; {CALM_CONNECTIONS} connections; FastAPI p99 {peer['calm_p99_ms']:.2f} ms"
    bench.add(Result("decision_http_p99_ms", ours["calm_p99_ms"], "ms", None, 10.0, note=calm))
    memory = Result("mb_per_1000_connections", ours["mb_per_1000"], "MB")
    memory.peers.extend(beside("mb_per_1000", "MB"))
    bench.add(memory)


def _beside(found: dict[str, Any], what: str) -> tuple[float, str]:
    """(how many times the peer's, what is told of it)"""
    ours, peer = found["ours"], found["fastapi"]
    by_turn = [a / b for a, b in zip(ours[f"{what}_by_turn"], peer[f"{what}_by_turn"], strict=True)]
    name = f"{what}_per_s_core"
    told = f"{ours[name]:,.0f} a second and core, FastAPI {peer[name]:,.0f}; medians of {len(by_turn)} turns, turn by "
    return ours[name] / peer[name], f"{told}turn {min(by_turn):.2f} to {max(by_turn):.2f}×"


def measured(seconds: float, policies: int, journeys: int) -> dict[str, Any]:
    """Both servers in turns, each four times, over one database.

    Raises:
        NotBuilt: wrk, PostgreSQL or the peer's environment is not there.
    """
    if shutil.which("wrk") is None:
        raise NotBuilt("wrk is not installed")
    found: dict[str, Any] = {"policies": policies, "journeys_each": journeys}
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as name, postgresql() as (url, database):
        folder = Path(name)
        token = _people(folder)
        _fill(url, policies, journeys)
        asked: dict[str, list[dict[str, Any]]] = {name: [] for name in _NAMES}
        for server in TURNS:
            with _served(server, url, folder) as (port, process):
                asked[server].append(_asked(port, (process.pid, database), token, policies, seconds, folder))
        answers = [asked[server][0].pop("answer") for server in _NAMES]
        found["answers_agree"] = _agree(*answers)
        for server, runs in asked.items():
            found[server] = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for what in ("reads", "hits", "reads_few", "hits_few"):
                found[server][f"{what}_by_turn"] = [run[f"{what}_per_s_core"] for run in runs]
    return found


def _asked(port: int, pids: tuple[int, int], token: str, policies: int, seconds: float, folder: Path) -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}"
    headers = {"authorization": f"Bearer {token}", "data-purpose": PURPOSE}
    with httpx.Client(base_url=address, headers=headers) as client:
        answer = client.get("/v1/policies/P-0/summary?period=month")
        answer.raise_for_status()
        tags = [client.get(f"/v1/policies/P-{n}/summary?period=month").headers["etag"] for n in range(policies)]
    script = folder / "asked.lua"
    script.write_text(_script(headers, None, policies))
    _loaded(address, pids, script, CONNECTIONS, min(seconds, 2.0))  # warm
    reads = _loaded(address, pids, script, CONNECTIONS, seconds)
    reads_few = _loaded(address, pids, script, FEW_CONNECTIONS, seconds)
    calm = _loaded(address, pids, script, CALM_CONNECTIONS, seconds)
    script.write_text(_script(headers, tags, policies))
    hits = _loaded(address, pids, script, CONNECTIONS, seconds)
    hits_few = _loaded(address, pids, script, FEW_CONNECTIONS, seconds)
    return {
        "answer": answer.json()["items"],
        "reads_per_s_core": reads["per_cpu_s"],
        "reads_per_s_service": reads["per_service_s"], "reads_per_s": reads["per_s"], "reads_p99_ms": reads["p99_ms"],
        "hits_per_s_core": hits["per_cpu_s"],
        "hits_per_s_service": hits["per_service_s"], "hits_per_s": hits["per_s"],
        "reads_few_per_s_core": reads_few["per_cpu_s"], "hits_few_per_s_core": hits_few["per_cpu_s"],
        "calm_p50_ms": calm["p50_ms"], "calm_p99_ms": calm["p99_ms"],
        "mb_per_1000": _open_connections(port, pids[0], headers), "rss_mb": _rss_mb(pids[0]),
    }  # fmt: skip


def _script(headers: dict[str, str], tags: list[str] | None, policies: int) -> str:
    """wrk's script: the policies one after the other, each with its tag where tags are given."""
    held = "\n".join(f"wrk.headers[{name!r}] = {value!r}" for name, value in headers.items())
    listed = "{}" if tags is None else "{" + ",".join(f"'{tag}'" for tag in tags) + "}"
    return f"""{held}
local tags = {listed}
local n = 0
request = function()
  n = (n + 1) % {policies}
  if tags[n + 1] then wrk.headers["if-none-match"] = tags[n + 1] end
  return wrk.format("GET", "/v1/policies/P-" .. n .. "/summary?period=month")
end
"""


def _loaded(address: str, pids: tuple[int, int], script: Path, connections: int, seconds: float) -> dict[str, float]:
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(script),
        address,
    ]
    (service_s, database_s), began = (_cpu_s(pids[0]), _tree_cpu_s(pids[1])), time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    service_s, database_s = _cpu_s(pids[0]) - service_s, _tree_cpu_s(pids[1]) - database_s
    if "Non-2xx" in ran.stdout or "Socket errors" in ran.stdout:
        raise RuntimeError(f"requests failed: {ran.stdout}")
    count = int(re.search(r"(\d+) requests in", ran.stdout)[1])  # type: ignore[index]
    quantiles = {name: _ms(value) for name, value in re.findall(r"^\s+(50|99)%\s+(\S+)", ran.stdout, re.MULTILINE)}
    return {
        "per_s": count / (time.perf_counter() - began), "per_cpu_s": count / (service_s + database_s),
        "per_service_s": count / service_s, "p50_ms": quantiles["50"],
        "p99_ms": quantiles["99"],
    }  # fmt: skip


def _ms(text: str) -> float:
    for unit, factor in (("us", 1e-3), ("ms", 1.0), ("s", 1e3)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tree_cpu_s(pid: int) -> float:
    """Of the process, its children, and those of them that ended."""
    total, clock = 0, os.sysconf("SC_CLK_TCK")
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # it ended meanwhile
            continue
        fields = text.rpartition(")")[2].split()
        if int(text.split()[0]) == pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / clock


def _rss_mb(pid: int) -> float:
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024  # type: ignore[index]


def _open_connections(port: int, pid: int, headers: dict[str, str]) -> float:
    """What the server's memory grows by when so many connections are open, each having asked once."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    asked = f"GET /v1/policies/P-1/summary?period=month HTTP/1.1\r\nhost: x\r\n{lines}\r\n".encode()
    before, held = _rss_mb(pid), []
    try:
        for _ in range(OPEN_CONNECTIONS):
            held.append(opened := socket.create_connection(("127.0.0.1", port), timeout=30))
            opened.sendall(asked)
            opened.recv(65_536)
        return (_rss_mb(pid) - before) * 1_000 / OPEN_CONNECTIONS
    finally:
        for each in held:
            each.close()


@contextmanager
def _served(name: str, url: str, folder: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    if name == "ours":
        command = [sys.executable, "-m", "benchmarks.http_ours"]
    else:
        command = [python_of("fastapi"), str(Path(__file__).parent / "http_fastapi.py")]
    process = subprocess.Popen([*command, url, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{name} did not start")
        yield int(line), process
    finally:
        process.terminate()
        process.wait(60)


def _people(folder: Path) -> str:
    """A person who may read summaries, and her token."""
    person = {"tenant": TENANT, "domains": ["pricing"], "capabilities": {JOURNEYS: ["summaries:read"]}}
    (folder / "people.yaml").write_text(yaml.safe_dump({"people": {PERSON: person}}), "utf-8")
    # ES256, which both sides' libraries verify.
    private = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "key.pem").chmod(0o600)
    return StaticProvider("static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem")).mint(PERSON)


def _fill(url: str, policies: int, journeys: int) -> None:
    """Journeys over a year, the approvals of a large insurer, and one of the person's own."""
    store = open_store(url)
    store.migrate()
    began = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=365)  # all is young
    held = [
        Policy(number=f"P-{n}", valid_from=began, vehicle=f"car-{n}", tenant=TENANT, product="motor",
               zone="Europe/London", declared_annual_distance_m=12e6)
        for n in range(policies)
    ]  # fmt: skip
    for first in range(0, policies, 50):
        tables = [
            _journeys(policy, journeys, np.random.default_rng(first + k))
            for k, policy in enumerate(held[first : first + 50])
        ]
        store.write(StoreBatch(journeys=pa.concat_tables(tables), policies=held[first : first + 50]))
    store.close()
    fill_approvals(url, ((PURPOSE, f"tenant-{n % 20}", f"domain-{n}" if n else "pricing") for n in range(APPROVALS)))
    with sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:")).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")


def _journeys(policy: Policy, count: int, rng: np.random.Generator) -> pa.Table:
    starts = sorted(policy.valid_from + timedelta(seconds=int(s)) for s in rng.integers(0, 365 * 86_400, count))
    rows = []
    for start in starts:
        row: dict[str, Any] = {
            field.name: round(float(rng.uniform(1, 1000)), 3) for field in JOURNEY_SCHEMA if field.type == pa.float64()
        }
        row |= {field.name: int(rng.integers(0, 4)) for field in JOURNEY_SCHEMA if field.type == pa.int32()}
        vehicle = str(policy.vehicle)
        row |= {
            "journey_id": journey_id(vehicle, round(start.timestamp() * 1e6)), "vehicle": vehicle,
            "policy": policy.number, "tenant": policy.tenant, "product": policy.product, "zone": policy.zone,
            "started_at": start, "ended_at": start + timedelta(minutes=20), "rules_version": "2026.1", "hours": [],
            "harsh_events": [],
        }  # fmt: skip
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=JOURNEY_SCHEMA)


def _agree(ours: list[dict[str, Any]], peer: list[dict[str, Any]]) -> bool:
    """Whether both add up to the same."""
    names = ("period_from", "journeys", "harsh_braking")
    same = [[row[name] for name in names] for row in ours] == [[row[name] for name in names] for row in peer]
    return same and all(abs(a["distance_m"] - b["distance_m"]) < 0.01 for a, b in zip(ours, peer, strict=True))


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_reads", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--policies", type=int, default=POLICIES)
    parser.add_argument("--journeys", type=int, default=JOURNEYS_EACH)
    options = parser.parse_args()
    print(json.dumps(measured(options.seconds, options.policies, options.journeys)))


if __name__ == "__main__":
    main()
