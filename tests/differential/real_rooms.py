"""The identity providers' one face and the book of approvals, the product's own, over a world's data."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase, requests, steps
from journeymesh.governance.contract import Contracts
from journeymesh.governance.purposes import Purposes
from journeymesh.identity.identity import Identity, ProviderState
from journeymesh.identity.providers import Providers
from tests.differential.driven import NOW, Driven, Surroundings
from tests.differential.world import NOW_S, PROVIDERS, Granted, World


def routed(token: str) -> str:
    """The world's token as one whose issuer can be read; nobody has signed it."""
    issuer = json.dumps({"iss": f"https://{token.split('-')[1]}.example", "sub": token}).encode()
    header, claims = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"ES256"}', issuer))
    return f"{header}.{claims}.c2ln"


def with_routed_tokens(world: World) -> World:
    """The same world, its tokens such that they can be routed by issuer."""
    return replace(world, people=tuple(replace(each, token=routed(each.token)) for each in world.people))


@dataclass
class OneProvider:
    """A provider of the world's people that are its own."""

    name: str
    people: Surroundings
    kind: str = "static"
    tenants: frozenset[str] | None = None
    staleness_s: float = 0.0

    @property
    def issuers(self) -> tuple[str, ...]:
        return (f"https://{self.name}.example",)

    def identify(self, token: str) -> Identity:
        return self.people.identify(token)

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:
        return self.people.capabilities(token, product)

    def state(self) -> ProviderState:
        return ProviderState(self.name, self.kind, self.issuers[0], True)

    def close(self) -> None:
        pass


@contextmanager
def driven_by_real_rooms(world: World, folder: Path) -> Iterator[Driven]:
    """Deciders that ask ``Providers`` and an ``ApprovalBook`` over a database of the world's approvals."""
    people = Surroundings(world)
    providers = Providers([OneProvider(name, people) for name in PROVIDERS], now_s=lambda: NOW_S)
    database = ApprovalDatabase(f"sqlite:///{folder}/approvals.db")
    database.migrate()
    _fill(database, world.granted)
    records = ApprovalRecords(database, Contracts([], Purposes(())))
    book = ApprovalBook(records, clock=lambda: NOW, stale_after_s=60.0)
    try:
        yield Driven(world, providers=providers, book=book)
    finally:
        book.close()


def _fill(database: ApprovalDatabase, granted: tuple[Granted, ...]) -> None:
    began_us = int((NOW_S - 100.0) * 1e6)
    rows = [
        {
            "id": each.id, "product": each.product, "product_major": each.major, "purpose": each.purpose,
            "tenant": each.tenant, "domain": each.domain, "provider": "static", "subject": "somebody",
            "requested_us": began_us, "reason": "needed", "valid_from_us": int(each.from_s * 1e6),
            "valid_to_us": int(each.to_s * 1e6),
        }
        for each in granted
    ]  # fmt: skip
    taken = [
        {"approval": each.id, "number": number, "state": state, "provider": "static", "subject": "another",
         "at_us": began_us, "why": "needed"}
        for each in granted
        for number, state in enumerate(("requested", "approved", "acknowledged"))
    ]  # fmt: skip
    with database.writing() as connection:
        connection.execute(sa.insert(requests), rows)
        connection.execute(sa.insert(steps), taken)
