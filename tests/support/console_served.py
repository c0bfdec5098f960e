"""The console over both real APIs, in one event loop: people in a file, a store with a drive and its fixes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import yaml

from journeymesh.cli.access import write_access
from journeymesh.client.calls import EXPORTS
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.services.console.app import build_app
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.opening import open_identityapi, open_journeyapi
from journeymesh.stores.port import StoreBatch, Superseded
from journeymesh.wiring import open_store
from journeymesh.wiring.access import open_minter
from tests.support.builders import drive

CONSOLE = "http://console.test"
HOSTS = {"journeyapi.test": "journeyapi", "identityapi.test": "identityapi"}
REQUESTER = ("purposes:read", "approvals:read", "approvals:request")
PEOPLE: dict[str, dict[str, Any]] = {
    "analyst": {
        "tenant": "northgate",
        "domains": ["pricing"],
        "capabilities": {
            "journeys": ["product:read", "journeys:read", "summaries:read", "journeys:export"],
            "platform": list(REQUESTER),
        },
    },
    "claims-handler": {
        "tenant": "northgate",
        "domains": ["claims"],
        "capabilities": {
            "journeys": ["product:read", "journeys:read", "summaries:read", "tracks:read"],
            "platform": list(REQUESTER),
        },
    },
    "claims-lead": {
        "tenant": "northgate",
        "domains": ["claims"],
        "capabilities": {"journeys": ["summaries:read"], "platform": [*REQUESTER, "approvals:decide"]},
    },
    "summaries-only": {
        "tenant": "northgate",
        "domains": ["pricing"],
        "capabilities": {"journeys": ["summaries:read"], "platform": []},
    },
    "privacy-officer": {
        "tenant": "northgate",
        "domains": ["privacy"],
        "capabilities": {
            "journeys": ["product:read"],
            "platform": ["purposes:read", "approvals:read", "approvals:decide"],
        },
    },
    "auditor": {
        "tenant": "northgate",
        "domains": ["audit"],
        "capabilities": {"platform": ["decisions:explain", "audit:read"]},
    },
    "exporter": {
        "tenant": "northgate",
        "domains": ["pricing", "claims"],
        "capabilities": {"journeys": ["journeys:export"], "platform": ["approvals:read"]},
    },
    "tracks-only": {
        "tenant": "northgate",
        "domains": ["claims"],
        "capabilities": {"journeys": ["tracks:read"], "platform": ["purposes:read", "approvals:request"]},
    },
    "of-no-domain": {
        "tenant": "northgate",
        "capabilities": {"journeys": ["product:read", "journeys:read", "summaries:read"], "platform": list(REQUESTER)},
    },
    "deciding-elsewhere": {
        "tenant": "northgate",
        "domains": ["sales"],
        "capabilities": {"platform": ["approvals:read", "approvals:decide"]},
    },
    "officer-and-analyst": {
        "tenant": "northgate",
        "domains": ["privacy", "pricing"],
        "capabilities": {
            "journeys": ["product:read", "journeys:read", "summaries:read"],
            "platform": [*REQUESTER, "approvals:decide"],
        },
    },
    "bare": {"tenant": "northgate"},
    "southerner": {
        "tenant": "south",
        "domains": ["claims"],
        "capabilities": {
            "journeys": ["product:read", "journeys:read", "summaries:read", "tracks:read"],
            "platform": list(REQUESTER),
        },
    },
}


class Network(httpx.AsyncBaseTransport):
    """Both APIs by their hosts. ``faults``: what is wrong with one: ``down``, ``slow``, ``nonsense``."""

    def __init__(self, applications: Mapping[str, Any]) -> None:
        self._at = {host: httpx.ASGITransport(applications[name]) for host, name in HOSTS.items()}
        self.faults: dict[str, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        match self.faults.get(HOSTS[host]):
            case "down":
                raise httpx.ConnectError("refused")
            case "slow":
                await asyncio.sleep(60)
            case "nonsense":
                return httpx.Response(200, content=b'{"items": [{"capability": 7}]', request=request)
            case "fault":
                return httpx.Response(500, content=b"<html>", request=request)
        return await self._at[host].handle_async_request(request)


@dataclass
class Browser:
    """What a browser of one person does, without scripts. ``cookies`` are its own."""

    world: World
    client: httpx.AsyncClient

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.world.run(self.client.get(path, headers=headers))

    def post(self, path: str, fields: Mapping[str, str], *, origin: str | None = CONSOLE) -> httpx.Response:
        headers = {} if origin is None else {"origin": origin}
        return self.world.run(self.client.post(path, data=dict(fields), headers=headers))

    def send(self, path: str, **fields: str) -> httpx.Response:
        """A form of the page that the browser shows, with the session's token."""
        return self.post(path, {**fields, "form_token": self.form_token()})

    def form_token(self) -> str:
        return self.get("/approvals").text.partition('name="form_token" value="')[2].partition('"')[0]

    def sign_in(self, who: str) -> httpx.Response:
        return self.post("/sign-in", {"token": self.world.token(who), "after": "/"})


@dataclass
class World:
    """The console, the APIs behind it and people's tokens."""

    runner: asyncio.Runner
    app: Any
    network: Network
    minter: Any
    clock: list[float] = field(default_factory=lambda: [0.0])
    opened: list[httpx.AsyncClient] = field(default_factory=list)

    def run(self, awaited: Any) -> Any:
        async def wait() -> Any:
            return await awaited

        return self.runner.run(wait())

    def token(self, who: str) -> str:
        return str(self.minter.mint(who))

    def browser(self, who: str | None = None) -> Browser:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=CONSOLE)
        self.opened.append(client)
        browser = Browser(self, client)
        if who is not None:
            answer = browser.sign_in(who)
            assert answer.status_code == 303, answer.text
        return browser

    def ask(
        self, who: str, api: str, path: str, purpose: str | None = None, body: Any = None, form: str | None = None
    ) -> httpx.Response:
        """An API's own answer to somebody, without the console."""
        headers = {"authorization": f"Bearer {self.token(who)}"} | ({"data-purpose": purpose} if purpose else {})
        headers |= {} if form is None else {"accept": EXPORTS[form]}
        method = "GET" if body is None else "POST"

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.network, base_url=f"http://{api}.test") as client:
                return await client.request(method, path, headers=headers, json=body)

        answer: httpx.Response = self.run(ask())
        return answer

    def approve(self, who: str, purpose: str, domain: str) -> str:
        """An approval that every service knows."""
        wish = {"purpose": purpose, "domain": domain, "reason": "a test"}
        made = str(self.ask(who, "identityapi", "/v1/approvals", body=wish).json()["id"])
        for by, step in (("privacy-officer", "approve"), (who, "acknowledge")):
            answer = self.ask(by, "identityapi", f"/v1/approvals/{made}:{step}", body={"why": "agreed"})
            assert answer.status_code == 200, answer.text
        ends_at = time.monotonic() + 30  # the books of both services follow their database twice a second
        while not self._known(who, purpose):
            assert time.monotonic() < ends_at, "the approval is not seen"
        return made

    def _known(self, who: str, purpose: str) -> bool:
        offers = self.ask(who, "identityapi", "/v1/me/offers").json()["items"]
        answer = self.ask(who, "journeyapi", "/v1/policies", purpose)
        return any(each["allowed"] and each["purpose"] == purpose for each in offers) and answer.status_code == 200


def policy(number: str, tenant: str, vehicle: str, **also: Any) -> Policy:
    return Policy(
        number=number,
        tenant=tenant,
        vehicle=vehicle,
        product="car-standard",
        valid_from=datetime.now(UTC) - timedelta(days=40),
        zone="Europe/London",
        **also,
    )


def changed_later(journeys: pa.Table, fixes: Fixes) -> StoreBatch:
    """What a late fix makes of these journeys, the first of them a little longer, and a fix of theirs refused."""
    if not len(journeys):
        return StoreBatch()
    first = journeys.to_pylist()[0]
    after = pa.Table.from_pylist([{**first, "distance_m": first["distance_m"] + 250.0}], schema=JOURNEY_SCHEMA)
    at, lat_deg, lon_deg = first["started_at"] + timedelta(seconds=90), fixes.lat_deg[90], fixes.lon_deg[90]
    refused = Refusal(
        "position_spike", f"SECRET-ORIGIN/{first['vehicle']}", "SECRET-DETAIL", first["vehicle"], at,
        float(lat_deg), float(lon_deg), "SECRET-CONTENT",
    )  # fmt: skip
    superseded = [Superseded(first["journey_id"], first["journey_id"])]
    return StoreBatch(journeys=after, superseded=superseded, refusals=[refused])


@contextmanager
def console_served(folder: Path, policies: Sequence[Policy] | None = None, **config: Any) -> Iterator[World]:
    """The console. Each policy's vehicle drove once, yesterday."""
    write_databases(folder, policies or [policy("P-1", "northgate", "V1"), policy("S-1", "south", "V2")])
    with console_over(folder, **config) as world:
        yield world


def write_databases(folder: Path, policies: Sequence[Policy]) -> None:
    """Journeys, people and keys in a folder that may be copied. Each policy's vehicle drove once, yesterday."""
    with closing(open_store(f"sqlite:///{folder / 'journeys.db'}")) as store:
        store.migrate()
        for held in policies:
            fixes = drive((10.0, 300), (20.0, 300), start=datetime.now(UTC) - timedelta(hours=30), vehicle=held.vehicle)
            made = make_journeys(fixes, ALWAYS_ON, policies, to_us(datetime.now(UTC)))
            store.write(StoreBatch(journeys=made.journeys, fixes=made.timeline, policies=[held]))
            store.write(changed_later(made.journeys, fixes))
    write_access(folder / "access")
    (folder / "access/people.yaml").write_text(yaml.safe_dump({"people": PEOPLE}))


@contextmanager
def console_over(folder: Path, **config: Any) -> Iterator[World]:
    """The console over both APIs, over the databases of this folder."""
    access, url = folder / "access/access.yaml", f"sqlite:///{folder / 'journeys.db'}"
    http = HttpConfig(burst=10**6, requests_per_s=1e6, strangers_burst=10**6, strangers_per_s=1e6, access_log=False)
    with ExitStack() as opened:
        applications = {
            "journeyapi": opened.enter_context(open_journeyapi(access, store=url, config=http, life=Life())),
            "identityapi": opened.enter_context(open_identityapi(access, config=http, life=Life())),
        }
        network = Network(applications)
        runner = opened.enter_context(asyncio.Runner())
        clock = [0.0]
        settings = ConsoleConfig(
            journeyapi="http://journeyapi.test",
            identityapi="http://identityapi.test",
            public_url=CONSOLE,
            plain_http=True,
            **{"api_within_s": 10.0, "http": http, "sign_ins_burst": 10**6, **config},
        )
        app = build_app(settings, transport=network, clock_s=lambda: clock[0])
        world = World(runner, app, network, open_minter(access), clock)
        try:
            yield world
        finally:
            for client in world.opened:
                world.run(client.aclose())
