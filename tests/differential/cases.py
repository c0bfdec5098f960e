"""Requests for decisions, aimed at the guards: most begin as one that is allowed, then one thing about it is changed.

A kind is named after what it is aimed at. Kinds that nothing is changed about keep the share of allows up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.differential.world import (
    CATALOGUE,
    CLAIMED,
    CONTRACT,
    DOMAINS,
    MAJOR,
    NOW_S,
    PERSONAL,
    TENANTS,
    Granted,
    Insured,
    Person,
    World,
)

STALE = "stale"
FAITHFUL = "faithful"
SYMBOLS = "\"\\'}{\n\u202eΩ"


@dataclass(frozen=True)
class Case:
    """One request. ``book``: how the book of approvals behaves: faithful, stale, or answering with this whatever is
    asked. ``operators``: with their policies. ``kind``: what it is aimed at."""

    kind: str
    token: str | None
    product: str
    capability: str
    purpose: str | None
    policy: Insured | None
    tenant: str | None = None
    book: str | Granted = FAITHFUL
    audit_fails: bool = False
    without_contract: bool = False
    operators: bool = False


@dataclass(frozen=True)
class CedarCase:
    """One question to Cedar alone, also such as no decision would come to ask."""

    capability: str
    provider: str
    subject: str
    tenant: str
    domains: frozenset[str]
    policy: Insured | None
    about_tenant: str
    purpose: str | None
    approval: tuple[str, str, str] | None
    statuses: frozenset[str] | None
    operators: bool = False


class Cases:
    """Cases of one world."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rng = random.Random(seed)
        self.sound = [each for each in world.people if _sound(each)]
        self.purposes = {each.token: self._purposes(each) for each in world.people}
        self.able = [each for each in self.sound if self.purposes[each.token] and set(PERSONAL) & each.held]
        self.first_of_static = next(each.token for each in world.people if each.provider == "static")
        self.own = {tenant: [each for each in world.insured if each.tenant == tenant] for tenant in TENANTS}

    def _purposes(self, person: Person) -> list[str]:
        """Those of the contract that are approved for them."""
        found = {
            each.purpose
            for each in self.world.granted
            if each.tenant == person.tenant and each.domain in person.domains and each.product == "journeys"
            if each.major == MAJOR and each.from_s <= NOW_S < each.to_s
        }
        return sorted(found & set(CONTRACT) & set(CATALOGUE))

    def some(self, number: int, kinds: list[str] | None = None) -> Iterator[Case]:
        """So many of these kinds (None: of all, the allowed ones more often)."""
        chosen = kinds or [*KINDS, *["allowed"] * (len(KINDS) // 2)]
        for _ in range(number):
            kind = self.rng.choice(chosen)
            yield replace(KINDS[kind](self), kind=kind)

    def cedar(self, number: int) -> Iterator[CedarCase]:
        """So many questions to Cedar."""
        rng = self.rng
        capabilities = [*PERSONAL, *PERSONAL, "product:read", "audit:read"]
        for _ in range(number):
            person = rng.choice(self.world.people)
            purpose = rng.choice([None, *CATALOGUE])
            approval: tuple[str, str, str] | None = None
            if rng.random() < 0.85:
                theirs = sorted(person.domains) or ["pricing"]
                approval = (
                    _mostly(rng, purpose or "pricing", CATALOGUE), _mostly(rng, person.tenant, TENANTS),
                    _mostly(rng, rng.choice(theirs), DOMAINS),
                )  # fmt: skip
            about = _mostly(rng, person.tenant, TENANTS)
            policy = rng.choice(self.own[about]) if rng.random() < 0.7 else None
            statuses = rng.choice([None, *(duties.statuses for duties in CONTRACT.values())])
            yield CedarCase(
                rng.choice(capabilities), person.provider, person.subject, person.tenant, person.domains, policy,
                about, purpose, approval, statuses, rng.random() < 0.3,
            )  # fmt: skip

    def allowed(self) -> Case:
        """Personal or open, of one policy or none, by somebody who may, though a status may stand against it."""
        person, purpose = self._able()
        if self.rng.random() < 0.1:
            return Case("", person.token, "journeys", "product:read", None, None)
        capability = self.rng.choice(sorted(person.held & set(PERSONAL)))
        policy = self.rng.choice(self.own[person.tenant]) if self.rng.random() < 0.8 else None
        if policy is not None and policy.status in ("lapsed", "cancelled") and self.rng.random() < 0.8:
            policy = replace(policy, status="active")
        return Case("", person.token, "journeys", capability, purpose, policy)

    def _able(self) -> tuple[Person, str]:
        person = self.rng.choice(self.able)
        return person, self.rng.choice(self.purposes[person.token])

    def other_tenant(self, case: Case) -> str:
        """One that is not the bearer's."""
        own = self.world.by_token[case.token or ""].tenant
        return self.rng.choice([tenant for tenant in TENANTS if tenant != own])

    def anything(self) -> Case:
        """Everything at random."""
        rng = self.rng
        person = rng.choice(self.world.people)
        capability = rng.choice([*PERSONAL, "product:read", "approvals:read", "audit:read", *CLAIMED])
        return Case(
            "", rng.choice([person.token, person.token, "forged", None]),
            rng.choice(["journeys", "journeys", "platform"]), capability,
            rng.choice([None, *CATALOGUE, "uncatalogued", "nosiness"]),
            rng.choice([None, rng.choice(self.world.insured)]), rng.choice([None, *TENANTS]),
            rng.choice([FAITHFUL, FAITHFUL, STALE, rng.choice(self.world.granted)]), rng.random() < 0.1,
            rng.random() < 0.1, rng.random() < 0.5,
        )  # fmt: skip


def _sound(person: Person) -> bool:
    return person.expires_at_s > NOW_S and person.token_fault is None and person.capabilities_fault is None


def _mostly(rng: random.Random, usual: str, others: tuple[str, ...]) -> str:
    return usual if rng.random() < 0.8 else rng.choice(others)


def _bearer(cases: Cases, choose: Callable[[Person], bool]) -> Case:
    """The allowed case, borne by somebody else."""
    person = cases.rng.choice([each for each in cases.world.people if choose(each)])
    return replace(cases.allowed(), token=person.token)


def _granted(cases: Cases, **changes: object) -> Case:
    """The allowed case where the book answers with an approval that is wrong in one respect."""
    while True:
        case = cases.allowed()
        if case.capability in PERSONAL:
            break
    person = cases.world.by_token[case.token or ""]
    domain = cases.rng.choice(sorted(person.domains))
    right = Granted("A-wrong", "journeys", MAJOR, case.purpose or "", person.tenant, domain, NOW_S - 1.0, NOW_S + 1.0)
    return replace(case, book=replace(right, **changes))  # type: ignore[arg-type]


def _another_domain(cases: Cases) -> Case:
    case = _granted(cases)
    theirs = cases.world.by_token[case.token or ""].domains
    assert isinstance(case.book, Granted)
    return replace(case, book=replace(case.book, domain=cases.rng.choice([d for d in DOMAINS if d not in theirs])))


def _another_purpose(cases: Cases) -> Case:
    case = _granted(cases)
    assert isinstance(case.book, Granted)
    return replace(case, book=replace(case.book, purpose=cases.rng.choice([p for p in CATALOGUE if p != case.purpose])))


def _another_tenant(cases: Cases) -> Case:
    case = _granted(cases)
    assert isinstance(case.book, Granted)
    return replace(case, book=replace(case.book, tenant=cases.other_tenant(case)))


def _another_version(cases: Cases) -> Case:
    return _granted(cases, **cases.rng.choice([{"major": MAJOR - 1}, {"major": MAJOR + 1}, {"product": "claims"}]))


def _another_time(cases: Cases) -> Case:
    return _granted(cases, **cases.rng.choice([{"to_s": NOW_S}, {"to_s": NOW_S - 1.0}, {"from_s": NOW_S + 0.5}]))


def _lacking(cases: Cases) -> Case:
    person, purpose = cases._able()
    lacks = [*sorted(set(PERSONAL) - person.held), "purposes:read"]
    capability = cases.rng.choice(lacks)
    product = "platform" if capability == "purposes:read" else "journeys"
    return Case("", person.token, product, capability, purpose, None)


def _unapproved(cases: Cases) -> Case:
    """For a purpose that the contract admits and nobody approved for them."""
    while True:
        case = cases.allowed()
        others = sorted((set(CONTRACT) & set(CATALOGUE)) - set(cases.purposes[case.token or ""]))
        if case.capability in PERSONAL and others:
            return replace(case, purpose=cases.rng.choice(others))


def _foreign(cases: Cases) -> Case:
    case = cases.allowed()
    tenant = cases.other_tenant(case)
    if cases.rng.random() < 0.3:
        return replace(case, policy=None, tenant=tenant)
    return replace(case, policy=cases.rng.choice(cases.own[tenant]))


def _foreign_beside_a_policy(cases: Cases) -> Case:
    """A tenant is named beside a policy: it plays no part, whichever of both is the bearer's own."""
    case = cases.allowed()
    person, other = cases.world.by_token[case.token or ""], cases.other_tenant(case)
    if cases.rng.random() < 0.5:
        return replace(case, policy=cases.rng.choice(cases.own[other]), tenant=person.tenant)
    return replace(case, policy=cases.rng.choice(cases.own[person.tenant]), tenant=other)


def _former(cases: Cases) -> Case:
    """Mostly for a purpose that does not admit all of them."""
    for _ in range(5):
        case = cases.allowed()
        if case.purpose in ("pricing", "retention-study"):
            break
    tenant = cases.world.by_token[case.token or ""].tenant
    status = cases.rng.choice(["lapsed", "lapsed", "cancelled"])
    return replace(case, policy=replace(cases.rng.choice(cases.own[tenant]), status=status))


def _operators(cases: Cases) -> Case:
    case = replace(cases.allowed(), operators=True)
    match cases.rng.randrange(4):
        case 0:
            return replace(case, purpose="pricing", capability="tracks:read")
        case 1:
            held = Insured("P-north-0", cases.world.by_token[case.token or ""].tenant, "car", "active")
            return replace(case, policy=held)
        case 2:
            return replace(case, token=cases.first_of_static)
    return case


def _odd(cases: Cases) -> Case:
    """Texts that are no names."""
    case = cases.allowed()
    text = "".join(cases.rng.choices(SYMBOLS, k=3))
    tenant = cases.world.by_token[case.token or ""].tenant
    return cases.rng.choice(
        [
            replace(case, policy=Insured(text, tenant, text, text)),
            replace(case, policy=Insured(text, text, "car", "active")),
            replace(case, purpose=text),
            replace(case, capability=text),
            replace(case, token=text),
            replace(case, policy=None, tenant=text),
        ]
    )


KINDS: dict[str, Callable[[Cases], Case]] = {
    "allowed": Cases.allowed,
    "anything": Cases.anything,
    "no token": lambda c: replace(c.allowed(), token=c.rng.choice([None, ""])),
    "a refused token": lambda c: _bearer(c, lambda p: p.token_fault == "refused"),
    "an expired token": lambda c: _bearer(c, lambda p: p.expires_at_s <= NOW_S and p.token_fault is None),
    "an unknown capability": lambda c: replace(c.allowed(), capability=c.rng.choice(CLAIMED)),
    "a capability that is lacked": _lacking,
    "no purpose": lambda c: replace(c.allowed(), purpose=c.rng.choice([None, ""])),
    "a purpose outside the catalogue": lambda c: replace(c.allowed(), purpose="uncatalogued"),
    "a purpose outside the contract": lambda c: replace(c.allowed(), purpose=c.rng.choice(["marketing", "orphaned"])),
    "no contract": lambda c: replace(c.allowed(), without_contract=True),
    "no approval": _unapproved,
    "an approval of another version": _another_version,
    "an approval of another time": _another_time,
    "an approval for another purpose": _another_purpose,
    "an approval of another tenant": _another_tenant,
    "an approval for another domain": _another_domain,
    "another tenant's": _foreign,
    "another tenant named beside": _foreign_beside_a_policy,
    "a former customer's": _former,
    "an open capability on another tenant's": lambda c: replace(_foreign(c), capability="product:read"),
    "fixes for another tenant": lambda c: replace(_foreign(c), capability="fixes:write"),
    "operators' policies": _operators,
    "odd texts": _odd,
    "a provider that is down": lambda c: _bearer(c, lambda p: "down" in (p.token_fault, p.capabilities_fault)),
    "a provider that breaks": lambda c: _bearer(c, lambda p: "broken" in (p.token_fault, p.capabilities_fault)),
    "a provider that takes it back": lambda c: _bearer(c, lambda p: p.capabilities_fault == "refused"),
    "approvals that are stale": lambda c: replace(c.allowed(), book=STALE),
    "an audit that fails": lambda c: replace(c.allowed(), audit_fails=True),
}
