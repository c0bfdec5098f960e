"""The approvals of a large insurer, written as they would stand after a year of requests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from journeymesh.governance.approval_tables import ApprovalDatabase, requests, steps
from journeymesh.governance.contract import load_contract
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.ledger.audit_tables import AuditDatabase


def fill_approvals(url: str, uses: Iterable[tuple[str, str, str]]) -> None:
    """The tables of approvals and of the audit, with one acknowledged approval for each (purpose, tenant, domain).

    They began yesterday and last a month.
    """
    AuditDatabase(url).migrate()
    database = ApprovalDatabase(url)
    database.migrate()
    major, now = load_contract().major, datetime.now(UTC)
    first_us, last_us = (int((now + timedelta(days=days)).timestamp() * 1e6) for days in (-1, 30))
    rows = [
        {
            "id": f"{n:024x}", "product": JOURNEYS, "product_major": major, "purpose": purpose, "tenant": tenant,
            "domain": domain, "provider": "static", "subject": "person-1", "requested_us": first_us,
            "reason": "measured", "valid_from_us": first_us, "valid_to_us": last_us,
        }
        for n, (purpose, tenant, domain) in enumerate(uses)
    ]  # fmt: skip
    taken = [
        {"approval": row["id"], "number": number, "state": state, "provider": "static", "subject": "person-2",
         "at_us": first_us, "why": "measured"}
        for row in rows
        for number, state in enumerate(("requested", "approved", "acknowledged"))
    ]  # fmt: skip
    with database.writing() as connection:
        connection.execute(sa.insert(requests), rows)
        connection.execute(sa.insert(steps), taken)
