"""journeyapi as it is deployed, for ``http_reads``: real decisions, approvals and audit in the same PostgreSQL.

    python -m benchmarks.http_ours URL FOLDER

prints its port. ``FOLDER`` holds the static provider's people and key.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from journeymesh.access.cedar import CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.contract import Contracts, load_contract
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.providers import Providers
from journeymesh.identity.static import StaticProvider, StaticSettings
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.serving import serve
from journeymesh.services.journeyapi.app import build_app
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.ports import ServedData
from journeymesh.services.journeyapi.product import StoreProduct
from journeymesh.services.journeyapi.versions import StoreVersions
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.wiring import open_store

# One client is everybody here, and neither side writes a line per request.
HTTP = HttpConfig(requests_per_s=1e6, burst=10**6, access_log=False)


def main(url: str, folder: Path) -> None:
    """Serve until told to stop."""
    with ExitStack() as opened:
        store = opened.enter_context(closing(open_store(url)))
        contracts = Contracts([load_contract()], load_purposes())
        provider = StaticProvider("static", StaticSettings(people=folder / "people.yaml", key=folder / "key.pem"))
        audit = opened.enter_context(closing(Audit(AuditDatabase(url)).writer()))
        decider = Decider(
            DecisionInputs(
                providers=opened.enter_context(closing(Providers([provider]))),
                approvals=opened.enter_context(
                    closing(ApprovalBook(ApprovalRecords(ApprovalDatabase(url), contracts)))
                ),
                contracts=contracts,
                policies=CedarPolicies.of(shipped_files()),
                audit=audit,
                pseudonyms=Pseudonyms(os.urandom(32)),
            )
        )
        versions = opened.enter_context(StoreVersions(store))
        book = opened.enter_context(PolicyBook(store.policies))
        life = Life()
        app = build_app(
            JourneyapiConfig(cursor_key=os.urandom(32), http=HTTP),
            decider,
            ServedData(reads=store, policies=book, versions=versions, product=StoreProduct({}, store)),
            life=life,
        )
        serve(app, "127.0.0.1", 0, life=life, config=HTTP, on_ready=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
