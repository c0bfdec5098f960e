"""journeyapi over two tenants that use one policy number, with real decisions, approvals and audit in a database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from journeymesh.access.cedar import CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.approvals import ApprovalAction, Person, Wish
from journeymesh.governance.contract import Contracts, load_contract
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.providers import Providers
from journeymesh.identity.static import StaticProvider, StaticSettings, create_key
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.ledger.audit import Audit, RecordQuery
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.port import AuditRecord
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.services.http.building import HttpApp
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.journeyapi.app import build_app
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.ingest import StoreTaker
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers_database
from journeymesh.services.journeyapi.ports import ServedData
from journeymesh.services.journeyapi.product import StoreProduct
from journeymesh.services.journeyapi.versions import StoreVersions
from journeymesh.stores.port import Store, StoreBatch
from journeymesh.strangler.policy_book import PolicyBook
from tests.support import records

TENANTS = ("north", "south")
PURPOSE = "service-provision"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=30)
BEGIN = NOON - timedelta(days=90)
SHARED, ALONE, LAPSED, UNKNOWN = "P-1", "P-{}", "L-{}", "P-nobody"
"""Numbers: of both tenants; of one tenant alone, active and lapsed, to be filled in; of nobody."""
HTTP = HttpConfig(burst=10**9, requests_per_s=1e9, strangers_burst=10**9, strangers_per_s=1e9, access_log=False)


def policies(*tenants: str) -> list[Policy]:
    """The policies of these tenants."""
    found = []
    for tenant in tenants:
        for number, status in ((SHARED, "active"), (ALONE, "active"), (LAPSED, "lapsed")):
            name = number.format(tenant)
            vehicle = f"car-{tenant}-{name}"
            found.append(Policy(number=name, valid_from=BEGIN, vehicle=vehicle, tenant=tenant, status=status))
    return found


def journeys_of(policy: Policy, count: int = 3, **changed: Any) -> list[dict[str, Any]]:
    """Journeys of the policy, a day apart."""
    rows = []
    for day in range(count):
        start = NOON + timedelta(days=day)
        row = records.journey(
            policy.vehicle or "", start, policy=policy.number, tenant=policy.tenant, product=policy.product,
            policy_from=policy.valid_from, zone="UTC",
        )  # fmt: skip
        rows.append(row | changed)
    return rows


def fill(store: Store, *tenants: str) -> list[Policy]:
    """Put these tenants' policies and journeys into the store."""
    store.migrate()
    given = policies(*tenants)
    rows = [row for policy in given for row in journeys_of(policy)]
    store.write(StoreBatch(journeys=records.journeys(*rows), policies=given))
    return given


@dataclass(frozen=True)
class Answer:
    """What the service sent."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


@dataclass
class TwoTenants:
    """The service, and what is behind it."""

    app: HttpApp
    store: Store
    static: StaticProvider
    audit: Audit
    versions: StoreVersions
    book: PolicyBook
    policies: list[Policy]
    approvals: ApprovalRecords
    approval_book: ApprovalBook

    def token(self, tenant: str) -> str:
        """Of somebody of this tenant who may read everything of theirs."""
        return self.static.mint(f"{tenant}-analyst")

    async def get(self, token: str, path: str, purpose: str = PURPOSE, **headers: str) -> Answer:
        """The answer to a request, straight from the application."""
        return await self.send("GET", token, path, purpose, **headers)

    async def send(
        self, method: str, token: str, path: str, purpose: str = PURPOSE, body: bytes = b"", **headers: str
    ) -> Answer:
        """The answer to a request of any method. Without a token where it is empty."""
        named = {"authorization": f"Bearer {token}"} if token else {}
        named |= {"data-purpose": purpose, **headers}
        route, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": route, "raw_path": route.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1), "server": ("test", 80), "state": {}, "extensions": {},
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        ended = asyncio.Event()
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (message := next(given, None)) is None:
                await ended.wait()  # the caller stays until they have it all
            return message or {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                ended.set()

        await self.app(scope, receive, send)
        whole = b"".join(part.get("body", b"") for part in sent[1:])
        return Answer(sent[0]["status"], tuple(sent[0]["headers"]), whole)

    def ask(self, tenant: str, *paths: str, purpose: str = PURPOSE, **headers: str) -> list[Answer]:
        """The answers to somebody of this tenant, one after the other."""

        async def all_of_them() -> list[Answer]:
            async with self.running():
                token = self.token(tenant)
                return [await self.get(token, path, purpose, **headers) for path in paths]

        return asyncio.run(all_of_them())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the application's loop is this one. Once: its threads end with it."""
        async with self.app.lifespan():
            yield

    def records_of(self, tenant: str) -> list[AuditRecord]:
        """What this tenant's auditor reads."""
        return [each for each in self.audit.query(RecordQuery(limit=1000)) if each.body.get("tenant") in (None, tenant)]


@contextlib.contextmanager
def two_tenants(
    store: Store,
    database_url: str,
    folder: Path,
    tenants: Sequence[str] = TENANTS,
    *,
    filled: bool = True,
    taking: bool = False,
    approved: bool = True,
) -> Iterator[TwoTenants]:
    """The service over this store, which is filled, and this database; ``taking``: it takes fixes, too; ``approved``:
    two purposes are, for each tenant."""
    held = fill(store, *tenants) if filled else []
    everything = sorted(each.name for each in of_product(JOURNEYS))
    people = {
        f"{tenant}-analyst": {"tenant": tenant, "domains": ["pricing"], "capabilities": {JOURNEYS: everything}}
        for tenant in TENANTS
    }
    (folder / "people.yaml").write_text(yaml.safe_dump({"people": people}), "utf-8")
    if not (folder / "key.pem").exists():
        create_key(folder / "key.pem")
    static = StaticProvider("static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem"))
    contracts = Contracts([load_contract()], load_purposes())
    approvals_database, audit_database = ApprovalDatabase(database_url), AuditDatabase(database_url)
    approvals_database.migrate()
    audit_database.migrate()
    records_kept = ApprovalRecords(approvals_database, contracts)
    for tenant in TENANTS if approved else ():
        for purpose in (PURPOSE, "pricing"):
            approve(records_kept, tenant, purpose)
    with contextlib.ExitStack() as opened:
        opened.callback(audit_database.close)
        opened.callback(approvals_database.close)
        audit = Audit(audit_database)
        writer = audit.writer()
        opened.callback(writer.close)
        approvals = ApprovalBook(records_kept, stale_after_s=60.0)
        opened.callback(approvals.close)
        decider = Decider(DecisionInputs(
            providers=Providers([static]), approvals=approvals, contracts=contracts,
            policies=CedarPolicies.of(shipped_files()), audit=writer, pseudonyms=Pseudonyms(b"k" * 32),),)  # fmt: skip
        versions = opened.enter_context(StoreVersions(store, every_s=3600.0, clock_s=lambda: 0.0))
        book = opened.enter_context(PolicyBook(store.policies, every_s=3600.0))
        answers = answers_database(database_url) if taking else None
        if answers is not None:
            answers.migrate()
            opened.callback(answers.close)
        app = build_app(
            JourneyapiConfig(cursor_key=bytes(32), http=HTTP), decider,
            ServedData(reads=store, policies=book, versions=versions, product=StoreProduct({"id": "journeys"}, store),
                       taker=StoreTaker(store, ALWAYS_ON) if taking else None,
                       kept=None if answers is None else KeptAnswers(answers)),
        )  # fmt: skip
        yield TwoTenants(app, store, static, audit, versions, book, held, records_kept, approvals)


def approve(kept: ApprovalRecords, tenant: str, purpose: str) -> None:
    """Somebody of the tenant requests the purpose, and somebody else of the tenant approves it."""
    analyst = Person("static", f"{tenant}-analyst", tenant, frozenset({"pricing"}))
    officer = Person("static", f"{tenant}-officer", tenant, frozenset({"privacy"}))
    now = datetime.now(UTC)
    wish = Wish(
        product=JOURNEYS, purpose=purpose, domain="pricing", reason="needed",
        valid_from=now - timedelta(seconds=1), valid_to=now + timedelta(days=1),
    )  # fmt: skip
    made = kept.request(wish, analyst)
    kept.step(made.id, ApprovalAction.APPROVE, officer, "needed")
    kept.step(made.id, ApprovalAction.ACKNOWLEDGE, analyst)
