"""A contract and people for the tests of approvals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from journeymesh.governance.approvals import Person, Wish
from journeymesh.governance.contract import Contract, Contracts
from journeymesh.governance.obligations import Obligations
from journeymesh.governance.purposes import Purpose, Purposes

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
PURPOSES = Purposes(tuple(Purpose(name, name, name) for name in ("claims", "pricing", "research")))
CONTRACT = Contract(
    product="journeys",
    version="1.2.0",
    major=1,
    owner="telematics",
    approvers=("domain:privacy", "static:olga"),
    purposes=MappingProxyType({"claims": Obligations(), "pricing": Obligations()}),
    longest_approval_days=100,
    document={},
)
ANN = Person("static", "ann", "acme", frozenset({"claims", "fleet"}))
BOB = Person("static", "bob", "acme", frozenset({"claims"}))
PAM = Person("static", "pam", "acme", frozenset({"privacy"}))
PER = Person("keycloak", "per", "acme", frozenset({"privacy", "claims"}))
OLGA = Person("static", "olga", "acme", frozenset())
EVE = Person("static", "eve", "other", frozenset({"privacy", "claims"}))
WISH = Wish(
    product="journeys",
    purpose="claims",
    domain="claims",
    reason="claim 7 has to be looked into",
    valid_from=NOW,
    valid_to=NOW + timedelta(days=30),
)


def contracts(contract: Contract = CONTRACT) -> Contracts:
    return Contracts([contract], PURPOSES)


def wish(**changes: Any) -> Wish:
    return replace(WISH, **changes)
