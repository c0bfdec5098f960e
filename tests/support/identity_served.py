"""identityapi over real parts: people in a file, the decider, an audit in SQLite, checkpoints in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from journeymesh.access.cedar import CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.contract import Contract, Contracts
from journeymesh.governance.obligations import Obligations
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.capabilities import of_product
from journeymesh.identity.identity import PLATFORM
from journeymesh.identity.providers import Providers
from journeymesh.identity.static import StaticProvider, StaticSettings, create_key
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointSigner
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.services.http.building import HttpApp
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.identityapi.app import build_app
from journeymesh.services.identityapi.dependencies import IdentityDependencies
from tests.support.asgi_client import AsgiClient

PSEUDONYMS = Pseudonyms(b"k" * 32)
EVERYTHING = sorted(each.name for each in of_product(PLATFORM))
PEOPLE: dict[str, dict[str, Any]] = {
    "officer": {"tenant": "north", "domains": ["privacy"], "capabilities": {PLATFORM: EVERYTHING}},
    "analyst": {
        "tenant": "north",
        "domains": ["pricing", "claims"],
        "capabilities": {
            "journeys": ["summaries:read", "product:read"],
            PLATFORM: ["purposes:read", "approvals:read", "approvals:request"],
        },
    },
    "claims-lead": {
        "tenant": "north",
        "domains": ["claims"],
        "capabilities": {PLATFORM: ["approvals:read", "approvals:request", "approvals:decide"]},
    },
    "second-officer": {"tenant": "north", "domains": ["privacy"], "capabilities": {PLATFORM: EVERYTHING}},
    "bare": {"tenant": "north"},
    "southerner": {"tenant": "south", "domains": ["privacy"], "capabilities": {PLATFORM: EVERYTHING}},
}


@dataclass
class Served:
    """The service as its callers see it, and its parts as a test may look into them."""

    app: HttpApp
    client: AsgiClient
    static: StaticProvider
    parts: IdentityDependencies
    folder: Path

    def bearing(self, who: str | None, **headers: str) -> dict[str, str]:
        return {**headers, **({} if who is None else {"authorization": f"Bearer {self.static.mint(who)}"})}

    def get(self, who: str | None, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=self.bearing(who, **headers))

    def post(self, who: str | None, path: str, body: object = None) -> Any:
        return self.client.post(path, headers=self.bearing(who), json={} if body is None else body)


def contracts(major: int = 1) -> Contracts:
    """The product may be used for pricing, without where journeys began, and for claims; privacy officers approve."""
    contract = Contract(
        product="journeys",
        version=f"{major}.0.0",
        major=major,
        owner="telematics",
        approvers=("domain:privacy",),
        purposes={
            "pricing": Obligations(mask=frozenset({"start_lat_deg"}), retention_days=400),
            "claims-handling": Obligations(),
        },
        longest_approval_days=365,
        document={},
    )
    return Contracts([contract], load_purposes())


@contextlib.contextmanager
def identity_served(
    folder: Path,
    people: Mapping[str, Any] = PEOPLE,
    config: HttpConfig | None = None,
    *,
    url: str | None = None,
    asgi_client: bool = True,
) -> Iterator[Served]:
    """The service, its files in this folder. ``url``: of its database, SQLite in the folder unless another is given.
    ``asgi_client`` False: somebody else runs the application."""
    (folder / "people.yaml").write_text(yaml.safe_dump({"people": dict(people)}))
    create_key(folder / "key.pem")
    static = StaticProvider("static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem"))
    providers = Providers([static])
    url = url or f"sqlite:///{folder / 'audit.db'}"
    database, approvals_database = AuditDatabase(url), ApprovalDatabase(url)
    database.migrate()
    approvals_database.migrate()
    agreed = contracts()
    records = ApprovalRecords(approvals_database, agreed)
    book = ApprovalBook(records)
    audit = Audit(database)
    writer = audit.writer()
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    decider = Decider(
        DecisionInputs(
            providers=providers,
            approvals=book,
            contracts=agreed,
            policies=CedarPolicies.of(shipped_files()),
            audit=writer,
            pseudonyms=PSEUDONYMS,
        ),
    )
    parts = IdentityDependencies(
        providers=providers,
        decisions=decider,
        contracts=agreed,
        approvals=records,
        steps_of=book.steps_of,
        audit=audit,
        writer=writer,
        pseudonyms=PSEUDONYMS,
        signer=CheckpointSigner(pem),
        kept=CheckpointFolder(str(folder / "checkpoints")),
        cursors=Cursors(bytes(range(32))),
    )
    app = build_app(parts, config=config)
    try:
        client = AsgiClient(app)
        with client if asgi_client else contextlib.nullcontext():
            yield Served(app, client, static, parts, folder)
    finally:
        book.close()
        writer.close()
        database.close()
        approvals_database.close()
