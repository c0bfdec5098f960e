"""What a decision costs in process, over the real rooms: 10,000 approvals in a database, tokens verified once.

    python -m benchmarks.decisions [--decisions N] [--approvals N] [--database URL]

prints one line of JSON. The audit record is made inside of what is measured; its commit is apart, and then beside it: a
thread of the same process that takes its turns at the interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.approvals import fill_approvals
from benchmarks.results import Bench, Result, printed
from journeymesh.access.cedar import KEPT_VERDICTS, CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.access.decision import Ask
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.contract import Contracts, load_contract
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.providers import Providers
from journeymesh.identity.static import StaticProvider, StaticSettings, create_key
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.chain import canonical
from journeymesh.ledger.port import AuditWriter
from journeymesh.ledger.pseudonyms import Pseudonyms

DECISIONS, QUICK_DECISIONS = 50_000, 5_000
APPROVALS = 10_000
PEOPLE, TENANTS = 300, 20
TOGETHER = 64
"""Decisions whose records may share a commit, as they do where as many requests are under way."""


def decisions(bench: Bench, quick: bool) -> None:
    """The figures of decisions, measured in a fresh process."""
    found = printed("benchmarks.decisions", "--decisions", str(QUICK_DECISIONS if quick else DECISIONS))
    note = (
        f"{found['decisions']:,} decisions, {found['allows'] / found['decisions']:.0%} allows, {found['approvals']:,} "
        f"approvals; p50 {found['asked_p50_ms']:.2f} ms where Cedar is asked every time"
    )
    bench.add(Result("decision_p50_ms", found["p50_ms"], "ms", None, 0.3, note=note))
    asked = (
        f"{found['cpu_p99_ms']:.2f} ms of CPU; {found['asked_p99_ms']:.2f} ms where Cedar is asked every time, "
        f"{found['committing_p99_ms']:.2f} ms while records are committed"
    )
    bench.add(Result("decision_p99_ms", found["p99_ms"], "ms", None, 2.0, note=asked))
    shared = f"p99 {found['commit_p99_ms']:.1f} ms; {TOGETHER} records share a commit, {found['engine']}"
    bench.add(Result("decision_commit_p50_ms", found["commit_p50_ms"], "ms", note=shared))


def measured(count: int, approvals: int, url: str | None) -> dict[str, Any]:
    """So many decisions, three times: Cedar's verdicts remembered, Cedar asked every time, records committed beside."""
    rng = random.Random(5)
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as folder, ExitStack() as rooms:
        place = url or f"sqlite:///{folder}/access.db"
        people = _people(Path(folder), rng)
        found: dict[str, Any] = {"approvals": approvals, "engine": place.partition(":")[0]}
        _fill(place, approvals, rng)
        for name, kept, writer in (
            ("", KEPT_VERDICTS, Unwritten()),
            ("asked_", 0, Unwritten()),
            ("committing_", KEPT_VERDICTS, None),
        ):
            decider = rooms.enter_context(_decider(Path(folder), place, kept, writer))
            asks = list(_asks(rng, people, count))
            _timed(decider, asks[: PEOPLE * 2])  # the tokens are verified once
            timed = _timed(decider, asks)
            found |= {f"{name}p50_ms": _at(timed.took_ms, 50), f"{name}p99_ms": _at(timed.took_ms, 99)}
            found |= {f"{name}cpu_p50_ms": _at(timed.cpu_ms, 50), f"{name}cpu_p99_ms": _at(timed.cpu_ms, 99)}
            found |= {"decisions": count, "allows": timed.allows}
            found |= {"commit_p50_ms": _at(timed.commits_ms, 50), "commit_p99_ms": _at(timed.commits_ms, 99)}
            rooms.close()
    return found


class Unwritten:
    """Takes audit records, encodes them as a writer does, and commits none."""

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:  # noqa: ARG002
        """Done at once."""
        canonical(body)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def close(self) -> None:
        """Nothing waits."""


class Timed(NamedTuple):
    """Each decision in ms, and in ms of its thread's CPU time; from its append to its record's commit in ms; allows."""

    took_ms: list[float]
    cpu_ms: list[float]
    commits_ms: list[float]
    allows: int


def _timed(decider: Decider, asks: list[tuple[str, Ask]]) -> Timed:
    took_ms: list[float] = []
    commits_ms: list[float] = []
    cpu_ms: list[float] = []
    allows = 0
    for first in range(0, len(asks), TOGETHER):
        waiting = []
        for token, ask in asks[first : first + TOGETHER]:
            began, busy = time.perf_counter(), time.thread_time()
            decision = decider.decide(token, ask)
            ended = time.perf_counter()
            cpu_ms.append((time.thread_time() - busy) * 1000)
            took_ms.append((ended - began) * 1000)
            allows += decision.allowed
            waiting.append((ended, decision.recorded))
        for ended, recorded in waiting:
            recorded.result()
            commits_ms.append((time.perf_counter() - ended) * 1000)
    return Timed(took_ms, cpu_ms, commits_ms, allows)


def _at(values: list[float], percentile: int) -> float:
    return statistics.quantiles(values, n=100)[percentile - 1]


def _people(folder: Path, rng: random.Random) -> list[tuple[str, str]]:
    """(token, tenant) of people with their capabilities, in a file and by a key of the static provider."""
    everything = [each.name for each in of_product(JOURNEYS)]
    domains = [f"domain-{number}" for number in range(20)]
    held = {
        f"person-{number}": {
            "tenant": f"tenant-{number % TENANTS}",
            "domains": rng.sample(domains, 2),
            "capabilities": {JOURNEYS: rng.sample(everything, 5)},
        }
        for number in range(PEOPLE)
    }
    (folder / "people.yaml").write_text(yaml.safe_dump({"people": held}), "utf-8")
    create_key(folder / "key.pem")
    provider = _provider(folder)
    return [(provider.mint(name), str(person["tenant"])) for name, person in held.items()]


def _provider(folder: Path) -> StaticProvider:
    return StaticProvider("static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem"))


def _fill(url: str, approvals: int, rng: random.Random) -> None:
    """So many acknowledged approvals, over tenants, domains and the contract's purposes."""
    purposes = list(load_contract().purposes)
    fill_approvals(
        url,
        (
            (rng.choice(purposes), f"tenant-{rng.randrange(TENANTS)}", f"domain-{rng.randrange(20)}")
            for _ in range(approvals)
        ),
    )


@contextmanager
def _decider(folder: Path, url: str, kept: int, unwritten: AuditWriter | None) -> Iterator[Decider]:
    contracts = Contracts([load_contract()], load_purposes())
    book = ApprovalBook(ApprovalRecords(ApprovalDatabase(url), contracts))
    writer = unwritten or Audit(AuditDatabase(url)).writer()
    providers = Providers([_provider(folder)])
    try:
        yield Decider(
            DecisionInputs(
                providers=providers,
                approvals=book,
                contracts=contracts,
                policies=CedarPolicies.of(shipped_files(), kept=kept),
                audit=writer,
                pseudonyms=Pseudonyms(os.urandom(32)),
            )
        )
    finally:
        book.close()
        writer.close()
        providers.close()


def _asks(rng: random.Random, people: list[tuple[str, str]], count: int) -> Iterator[tuple[str, Ask]]:
    """What applications ask: mostly about a policy of their tenant, for a purpose of the contract."""
    names = [each.name for each in of_product(JOURNEYS)]
    purposes = list(load_contract().purposes)
    began = datetime(2024, 1, 1, tzinfo=UTC)
    policies = {
        (tenant, number): Policy(
            number=f"P-{tenant}-{number}", valid_from=began, vehicle="V1", tenant=f"tenant-{tenant}",
            status=rng.choice(["active", "active", "active", "lapsed"]),
        )
        for tenant in range(TENANTS)
        for number in range(500)
    }  # fmt: skip
    for number in range(count):
        token, tenant = people[number] if number < len(people) else rng.choice(people)
        of = int(tenant.removeprefix("tenant-")) if rng.random() < 0.95 else rng.randrange(TENANTS)
        policy = policies[of, rng.randrange(500)]
        yield token, Ask(product=JOURNEYS, capability=rng.choice(names), purpose=rng.choice(purposes), policy=policy)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decisions", description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--approvals", type=int, default=APPROVALS)
    parser.add_argument("--database", help="of approvals and audit, empty (a SQLite file)")
    options = parser.parse_args()
    print(json.dumps(measured(options.decisions, options.approvals, options.database)))


if __name__ == "__main__":
    main()
