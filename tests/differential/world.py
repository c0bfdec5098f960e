"""A seeded world of identities, contracts and approvals, as plain data: nothing of the product is in it.

The operator's policies of this world, ``OPERATORS``, are added to the shipped ones where a case says so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

NOW_S = 1_772_452_800.0
"""2026-03-02 12:00 UTC, when all of it happens."""
DAY_S = 86_400.0
MAJOR = 3
PROVIDERS = ("keycloak", "kubernetes", "static")
TENANTS = ("north", "south", "west", "east")
DOMAINS = ("pricing", "claims", "fraud", "product", "overflowing")
PERSONAL = ("journeys:read", "summaries:read", "tracks:read", "journeys:export", "fixes:write")
STATUSES = ("active", "active", "active", "suspended", "lapsed", "cancelled")
CATALOGUE = ("claims-handling", "pricing", "fraud-detection", "retention-study", "group-study", "collection",
             "marketing", "orphaned")  # fmt: skip
COLLECTING = frozenset({"collection"})
"""Purposes for which nothing may be read."""
CLAIMED = ("journeys:delete", "tracks:export", "approvals:forge")
"""Capabilities that do not exist, though every provider says that everybody has them."""

OPERATORS = """
@id("no-tracks-for-pricing")
forbid (principal, action == Action::"tracks:read", resource)
when { context has purpose && context.purpose == "pricing" };

@id("hold")
forbid (principal, action, resource == Policy::"P-north-0");

@id("not-this-one")
forbid (principal == Identity::"static:s-0", action in Action::"personal", resource);

@id("overflow")
forbid (principal, action, resource)
when { principal.domains.contains("overflowing") && 9223372036854775807 + 1 == 0 };
"""


@dataclass(frozen=True)
class Duties:
    """What the contract has for a purpose; None: whatever the value."""

    tenants: frozenset[str] | None = None
    products: frozenset[str] | None = None
    statuses: frozenset[str] | None = None
    mask: frozenset[str] = frozenset()
    group: int = 1
    retention_days: int | None = None


CONTRACT = {
    "claims-handling": Duties(),
    "pricing": Duties(statuses=frozenset({"active", "suspended"}), mask=frozenset({"vehicle"}), retention_days=365),
    "fraud-detection": Duties(statuses=frozenset({"active", "suspended", "lapsed", "cancelled"})),
    "retention-study": Duties(statuses=frozenset({"active", "lapsed"}), mask=frozenset({"lat_deg", "lon_deg"})),
    "group-study": Duties(products=frozenset({"car"}), tenants=frozenset({"north", "south"}), group=20),
    "collection": Duties(),
    "uncatalogued": Duties(),
}
"""Allowed purposes. ``marketing`` and ``orphaned`` are not among them; ``uncatalogued`` is not in the catalogue."""


@dataclass(frozen=True)
class Person:
    """Who bears a token. ``token_fault``/``capabilities_fault``: what asking for it ends in: refused, down, broken."""

    token: str
    provider: str
    subject: str
    tenant: str
    domains: frozenset[str]
    expires_at_s: float
    held: frozenset[str]
    token_fault: str | None = None
    capabilities_fault: str | None = None


@dataclass(frozen=True)
class Granted:
    """An approval."""

    id: str
    product: str
    major: int
    purpose: str
    tenant: str
    domain: str
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Insured:
    """An insurance policy."""

    number: str
    tenant: str
    product: str
    status: str


@dataclass(frozen=True)
class World:
    """Everything that decisions are made from."""

    people: tuple[Person, ...]
    granted: tuple[Granted, ...]
    insured: tuple[Insured, ...]

    @property
    def by_token(self) -> dict[str, Person]:
        return {each.token: each for each in self.people}


def made(seed: int, people: int = 360) -> World:
    """The world of this seed."""
    rng = random.Random(seed)
    insured = [
        Insured(f"P-{tenant}-{number}", tenant, rng.choice(("car", "van")), rng.choice(STATUSES))
        for tenant in TENANTS
        for number in range(40)
    ]
    return World(tuple(_person(rng, number) for number in range(people)), tuple(_granted(rng)), tuple(insured))


def _person(rng: random.Random, number: int) -> Person:
    provider = PROVIDERS[number % len(PROVIDERS)]
    held = {name for name in PERSONAL if rng.random() < 0.7} | {*CLAIMED, "product:read"}
    held |= {name for name in ("approvals:read", "audit:read") if rng.random() < 0.5}
    faults: list[str | None] = [None] * 17 + ["refused", "down", "broken"]
    late = rng.random()
    expires = NOW_S + (3600.0 if late < 0.9 else 0.0 if late < 0.92 else -1.0 if late < 0.96 else 0.001)
    return Person(
        f"token-{provider}-{number}", provider, f"s-{number // len(PROVIDERS)}", rng.choice(TENANTS),
        frozenset(rng.sample(DOMAINS, rng.randint(0, 3))), expires, frozenset(held),
        rng.choice(faults), rng.choice(faults),
    )  # fmt: skip


def _granted(rng: random.Random) -> list[Granted]:
    found = []
    for purpose in (*CATALOGUE, "uncatalogued"):
        for tenant in TENANTS:
            for domain in DOMAINS:
                if rng.random() < 0.6:
                    found.append((purpose, tenant, domain, "journeys", MAJOR, -DAY_S, DAY_S))
                if rng.random() < 0.3:  # of another version, product or time: good for nothing
                    wrong = rng.choice([("journeys", MAJOR - 1, -DAY_S, DAY_S), ("claims", MAJOR, -DAY_S, DAY_S),
                                        ("journeys", MAJOR, -DAY_S, 0.0), ("journeys", MAJOR, 1.0, DAY_S)])  # fmt: skip
                    found.append((purpose, tenant, domain, *wrong))
    rng.shuffle(found)
    return [
        Granted(f"A-{number}", product, major, purpose, tenant, domain, NOW_S + since, NOW_S + until)
        for number, (purpose, tenant, domain, product, major, since, until) in enumerate(found)
    ]
