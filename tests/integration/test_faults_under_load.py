"""Faults under load: the identity provider goes down, its keys rotate, an approval is revoked, the store restarts.

journeyapi runs as its users run it, over PostgreSQL that holds journeys, approvals and audit. Callers with a right to
the data and callers without one ask all the while, and every one of them is answered.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from joserfc.jwk import ECKey, Key
from tests.support import programs, records
from tests.support.journeyapis import NOON, POLICY
from tests.support.postgresql_server import PostgresqlServer
from tests.support.scripted_server import Exchange, scripted_server
from tests.support.tokens_made import jwks, signed

from journeymesh.cli.access import write_access
from journeymesh.governance.approval_records import ApprovalQuery
from journeymesh.governance.approvals import ApprovalAction, Person, Wish
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store
from journeymesh.wiring.access import open_access, open_audit

PER_S = 50
PATHS = (f"/v1/policies/{POLICY.number}/summary?period=week", f"/v1/policies/{POLICY.number}/journeys")
PROVIDER, OTHER_TENANT = "issuer", "other"
DOMAINS = {"known": "pricing", "newcomer": "pricing", "revoked": "fraud", "incapable": "pricing", "foreign": "pricing"}
HOLDERS = ("known", "newcomer")
"""Who has a right to the data throughout."""
IMPOSTORS = ("forger", "thief")
"""Whose tokens do not hold, or do no longer."""
UNTIL_REVOKED = ("well", "issuer closes", "issuer silent", "rotating", "rotated", "revoking")
FAULTY = ("issuer closes", "issuer silent", "rotating", "stopping", "stopped", "starting")
"""The phases in which somebody may be told to come back."""
PROBLEM = {"type", "title", "status", "detail", "reason", "decision_id", "request_id"}
REVOKED_WITHIN_S = 1.0
RECOVERED_WITHIN_S = 6.0
REFUSED_WITHIN_S = 6.0


class Issuer:
    """An OpenID provider that answers as Keycloak does, or, ``closes`` or ``silent``, not at all."""

    def __init__(self) -> None:
        self.key: Key = ECKey.generate_key("P-256", {"kid": "first"})
        self.url = ""
        self._back = threading.Event()
        self._manner = ""

    def go_down(self, manner: str) -> None:
        self._manner = manner
        self._back.clear()

    def come_back(self) -> None:
        self._manner = ""
        self._back.set()

    def answer(self, exchange: Exchange) -> None:
        form = parse_qs(exchange.asked().decode())
        if self._manner:
            if self._manner == "silent":
                self._back.wait(10)
            exchange.close_connection = True
        elif exchange.path.endswith("/certs"):
            exchange.answer(jwks(self.key))
        elif _subject(exchange.headers["authorization"]) == "incapable":
            exchange.answer({"error": "access_denied"}, 403)
        else:
            scopes = ["product:read", "journeys:read", "summaries:read"]
            exchange.answer([{"rsname": form["permission"][0], "scopes": scopes}])


def _subject(authorization: str) -> str:
    claims = authorization.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=="))["sub"])


class Callers:
    """Who asks: each name with the token of its next request."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer, self._first, self._numbers = issuer, issuer.key, itertools.count()
        stranger = ECKey.generate_key("P-256", {"kid": issuer.key.kid})
        lasting = {name: self._minted(name) for name in ("known", "revoked", "unapproved", "incapable", "foreign")}
        self.tokens: dict[str, Callable[[], str]] = {
            **{name: lambda name=name: lasting[name] for name in lasting},  # type: ignore[misc]
            "newcomer": lambda: self._minted("newcomer"),
            "forger": lambda: self._minted("known", stranger),
        }

    def withdraw_the_first_key(self) -> None:
        """From now on somebody also tries tokens that are signed with the key that the issuer had before."""
        self.tokens["thief"] = lambda: self._minted("known", self._first)

    def _minted(self, name: str, key: Key | None = None) -> str:
        now_s = time.time()
        return signed(
            key or self._issuer.key,
            iss=self._issuer.url, sub=name, iat=now_s, exp=now_s + 600, jti=str(next(self._numbers)),
            tenant=OTHER_TENANT if name == "foreign" else POLICY.tenant, domains=[DOMAINS.get(name, "sales")],
        )  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request and what came of it."""

    phase: str
    who: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Load:
    """Asks so many times a second, whether or not the answers before came."""

    client: httpx.AsyncClient
    callers: Callers
    asked: list[Asked] = field(default_factory=list)
    etags: dict[str, str] = field(default_factory=dict)
    _turns: Counter[str] = field(default_factory=Counter)
    _sent: list[asyncio.Task[Asked]] = field(default_factory=list)

    async def go_on(self, phase: str, seconds: float) -> None:
        """Ask for so many seconds, everybody in turn."""
        began_s, sent = time.monotonic(), 0
        while (now_s := time.monotonic() - began_s) < seconds:
            for number in range(sent, int(now_s * PER_S)):
                names = list(self.callers.tokens)
                path = PATHS[number // len(names) % 2]
                self._sent.append(asyncio.create_task(self.ask(phase, names[number % len(names)], path)))
                sent += 1
            await asyncio.sleep(0.01)

    async def ask(self, phase: str, who: str, path: str) -> Asked:
        headers = {"authorization": f"Bearer {self.callers.tokens[who]()}", "data-purpose": "pricing"}
        self._turns[who] += 1
        if path in self.etags and self._turns[who] % 4 < 2:  # also those without a right try with a tag that fits
            headers["if-none-match"] = self.etags[path]
        answer = await self.client.get(path, headers=headers)
        self.asked.append(Asked(phase, who, path, answer.status_code, answer.headers, answer.content))
        return self.asked[-1]

    async def settled(self) -> int:
        """How many were sent, once all are answered. Raises what came of one that was not."""
        await asyncio.gather(*self._sent)
        return len(self._sent)

    def statuses(self, phase: str, who: str) -> set[int]:
        """What somebody was answered in a phase."""
        return {each.status for each in self.asked if (each.phase, each.who) == (phase, who)}


@pytest.fixture
def postgresql() -> Iterator[PostgresqlServer]:
    """A server that this test alone stops and starts."""
    with closing(PostgresqlServer()) as server:
        yield server


@pytest.fixture
def access(tmp_path: Path, postgresql: PostgresqlServer) -> Iterator[tuple[Path, Issuer]]:
    """(an access file with an issuer and approvals, the issuer), over a store with two journeys of a policy."""
    issuer = Issuer()
    with closing(open_store(postgresql.url)) as store:
        store.migrate()
        # Lately, for what is older than the purpose's retention does not leave.
        put = [_lately(hours) for hours in (30, 27)]
        store.write(StoreBatch(journeys=records.journeys(*put), policies=[replace(POLICY, valid_from=NOON)]))
    with scripted_server(issuer.answer) as server:
        issuer.url = server.url
        file = write_access(tmp_path / "access")
        whole = file.read_text()
        begins = whole.index("providers:")
        provider = f"providers:\n  - {{kind: oidc, name: {PROVIDER}, issuer: '{server.url}'}}\n"
        file.write_text(whole[:begins].replace("sqlite:///access.db", postgresql.url) + provider)
        with open_access(file, migrate=True) as opened:
            for tenant, domain in ((POLICY.tenant, "pricing"), (POLICY.tenant, "fraud"), (OTHER_TENANT, "pricing")):
                analyst = Person(PROVIDER, f"{domain} of {tenant}", tenant, frozenset({domain}))
                wish = Wish(
                    product="journeys", purpose="pricing", domain=domain, reason="the tariff of next year",
                    valid_from=datetime.now(UTC), valid_to=datetime.now(UTC) + timedelta(days=1),
                )  # fmt: skip
                made = opened.approvals.request(wish, analyst)
                opened.approvals.step(made.id, ApprovalAction.APPROVE, _officer(tenant), "agreed")
                opened.approvals.step(made.id, ApprovalAction.ACKNOWLEDGE, analyst)
        yield file, issuer


def _lately(hours: int) -> dict[str, Any]:
    return records.journey(start=datetime.now(UTC) - timedelta(hours=hours), policy_from=NOON)


def _officer(tenant: str) -> Person:
    return Person(PROVIDER, "officer", tenant, frozenset({"privacy"}))


def _revoke(file: Path) -> None:
    """As another replica does."""
    with open_access(file) as opened:
        (held,) = opened.approvals.query(ApprovalQuery(tenant=POLICY.tenant, domain="fraud"))
        opened.approvals.step(held.id, ApprovalAction.REVOKE, _officer(POLICY.tenant), "the project ended")


@contextmanager
def journeyapi(folder: Path, file: Path, store: str) -> Iterator[str]:
    """The URL of the service, a process."""
    log = folder / "journeyapi.log"
    command = [sys.executable, "-m", "journeymesh", "serve", "journeyapi", "--port", "0"]
    with open(log, "wb") as written:
        process = programs.Popen(
            [*command, "--access", str(file), "--store", store], stdout=written, stderr=written, cwd=folder
        )
    try:
        until_s = time.monotonic() + 60
        while "journeyapi: http" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, "the service does not start"
            time.sleep(0.05)
        yield log.read_text().partition("journeyapi: ")[2].split()[0]
    finally:
        process.kill()
        process.wait(30)


async def _through_the_faults(
    load: Load, file: Path, issuer: Issuer, postgresql: PostgresqlServer
) -> tuple[dict[str, bytes], float]:
    """(the right answer of each path, the seconds from the store's start to the first right answer)."""
    right: dict[str, bytes] = {}
    for path in PATHS:
        asked = await load.ask("first", "known", path)
        assert asked.status == 200, asked.body
        right[path], load.etags[path] = asked.body, asked.headers["etag"]
    await load.go_on("well", 2)
    await load.settled()  # what was asked before a fault is not answered in it
    issuer.go_down("closes")
    await load.go_on("issuer closes", 2)
    issuer.go_down("silent")
    await load.go_on("issuer silent", 1.5)
    issuer.key = ECKey.generate_key("P-256", {"kid": "second"})
    issuer.come_back()
    await load.go_on("rotating", 3)
    load.callers.withdraw_the_first_key()
    await load.go_on("rotated", 2)
    revoking = asyncio.create_task(asyncio.to_thread(_revoke, file))
    while not revoking.done():
        await load.go_on("revoking", 0.1)
    await revoking
    await load.go_on("revoking", REVOKED_WITHIN_S)
    await load.go_on("revoked", 1.5)
    await load.settled()
    stopping = asyncio.create_task(asyncio.to_thread(postgresql.stop))
    while not stopping.done():
        await load.go_on("stopping", 0.1)
    await stopping
    await load.go_on("stopping", REVOKED_WITHIN_S)
    await load.go_on("stopped", 1.5)
    while (await load.client.get("/readyz")).status_code != 503:  # the store is given two seconds of silence
        await load.go_on("stopped", 0.2)
    starting = asyncio.create_task(asyncio.to_thread(postgresql.start))
    while not starting.done():
        await load.go_on("starting", 0.1)
    await starting
    started_s = time.monotonic()
    while (await load.ask("starting", "newcomer", PATHS[0])).status != 200:
        assert time.monotonic() - started_s < RECOVERED_WITHIN_S, "it does not recover"
        await load.go_on("starting", 0.1)
    recovered_s = time.monotonic() - started_s
    await load.go_on("starting", 1)
    await load.go_on("well again", 2)
    assert (await load.client.get("/readyz")).status_code == 200
    for who in IMPOSTORS:  # alone, so that the few fetches of keys are for them
        refused_by_s = time.monotonic() + REFUSED_WITHIN_S
        while (await load.ask("well again", who, PATHS[0])).status != 401:
            assert time.monotonic() < refused_by_s, f"a {who} is told to come back for ever"
            await asyncio.sleep(0.2)
    return right, recovered_s


@pytest.mark.timeout(120)
def test_every_request_is_answered_and_nobody_has_data_without_a_right(
    tmp_path: Path, access: tuple[Path, Issuer], postgresql: PostgresqlServer
) -> None:
    file, issuer = access

    async def run(url: str) -> tuple[Load, dict[str, bytes], float, int]:
        async with httpx.AsyncClient(base_url=url, timeout=35, limits=httpx.Limits(max_connections=500)) as client:
            load = Load(client, Callers(issuer))
            right, recovered_s = await _through_the_faults(load, file, issuer, postgresql)
            return load, right, recovered_s, await load.settled()

    with journeyapi(tmp_path, file, postgresql.url) as url:
        load, right, recovered_s, sent = asyncio.run(run(url))
    counted = Counter((each.phase, each.who, each.status) for each in load.asked)
    told = "\n".join(f"{phase:14} {who:11} {status} {count:4}" for (phase, who, status), count in counted.items())
    print(f"{sent} requests; right again {recovered_s:.2f} s after the store's start\n{told}")

    assert len(load.asked) >= sent >= 500
    _check_answers(load.asked, right)
    for who in HOLDERS:
        assert {each.status for each in load.asked if each.who == who} == {200, 304, 503}, told
        for phase in ("well", "rotated", "revoked", "well again"):
            assert load.statuses(phase, who) <= {200, 304}, told
    assert load.statuses("well", "revoked") <= {200, 304}, told
    assert load.statuses("revoked", "revoked") == {403}, told
    assert load.statuses("well", "forger") == {401}, told
    # Who was known goes on while the provider is away; of whom it would have to be asked waits.
    for phase in ("issuer closes", "issuer silent"):
        assert load.statuses(phase, "known") <= {200, 304}, told
        assert 503 in load.statuses(phase, "newcomer"), told
    # What is known of approvals does not outlast the database that they are in.
    assert load.statuses("stopped", "known") == load.statuses("stopped", "newcomer") == {503}, told
    with open_audit(file) as (audit, signer, kept):
        audit.checkpoint(signer, kept)
        assert audit.verify(kept, signer.keys).holds


def _check_answers(asked: list[Asked], right: dict[str, bytes]) -> None:
    """Each answer by itself: right, or a denial without data, or 503 that says when to come back."""
    for each in asked:
        name = f"{each.who}, {each.phase}: {each.status}"
        if each.status in (200, 304):
            assert each.who in HOLDERS or (each.who == "revoked" and each.phase in UNTIL_REVOKED), name
            assert each.body == (right[each.path] if each.status == 200 else b""), name
            assert each.headers["decision-id"], name
            continue
        assert each.status in (401, 403, 404, 503), name
        assert each.headers["content-type"] == "application/problem+json", name
        assert set(json.loads(each.body)) <= PROBLEM, name
        if each.status == 503:
            # Keys that nobody knows are looked for so often and no oftener: impostors are told to come back.
            assert each.phase in FAULTY or each.who in IMPOSTORS, name
            assert int(each.headers["retry-after"]) >= 1, name
        else:
            assert each.who not in HOLDERS, name
            assert (each.status == 401) is (each.who in IMPOSTORS), name
