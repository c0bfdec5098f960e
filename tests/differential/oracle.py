"""What a decision has to be, written from docs/explanation/decisions.md. It imports nothing of the product."""

from __future__ import annotations

from dataclasses import dataclass

from tests.differential.cases import Case, CedarCase
from tests.differential.world import (
    CATALOGUE,
    COLLECTING,
    CONTRACT,
    MAJOR,
    NOW_S,
    Duties,
    Granted,
    Insured,
    Person,
    World,
)

OPEN = {
    "journeys": {"product:read"},
    "platform": {
        "purposes:read", "approvals:read", "approvals:request", "approvals:decide", "decisions:make",
        "decisions:explain", "audit:read", "audit:operate", "providers:read",
    },
}  # fmt: skip
READS = {"journeys:read", "summaries:read", "tracks:read"}
NEEDS_A_PURPOSE = {*READS, "journeys:export", "fixes:write"}
PROVIDERS_RETRY_S, RETRY_S = 7.0, 5.0


@dataclass(frozen=True)
class Answer:
    """What can be seen of a decision. ``obligations``: None: nothing may leave. ``approvals``: any one of these."""

    reason: str
    determining: tuple[str, ...] = ()
    identified: bool = False
    obligations: Duties | None = None
    approvals: frozenset[str | None] = frozenset({None})
    retry_after_s: float | None = None
    recorded: bool = True


class Fault(Exception):
    """Something does not work."""

    def __init__(self, retry_s: float = RETRY_S) -> None:
        self.retry_s = retry_s
        super().__init__()


class Oracle:
    """Judges cases of one world."""

    def __init__(self, world: World) -> None:
        self.people = world.by_token
        self.granted: dict[tuple[str, str, str, int], list[Granted]] = {}
        for each in world.granted:
            self.granted.setdefault((each.purpose, each.tenant, each.product, each.major), []).append(each)

    def judge(self, case: Case) -> Answer:
        recorded = not case.audit_fails
        person = self.people.get(case.token or "")
        if not case.token:
            return Answer("token_missing", recorded=recorded)
        try:
            if person is None or not _is_theirs(person.token_fault) or not person.expires_at_s > NOW_S:
                return Answer("token_refused", recorded=recorded)
        except Fault as fault:
            return Answer("fault", retry_after_s=fault.retry_s, recorded=recorded)
        try:
            return self._after_identity(case, person, recorded)
        except Fault as fault:
            return Answer("fault", identified=True, retry_after_s=fault.retry_s, recorded=recorded)

    def _after_identity(self, case: Case, person: Person, recorded: bool) -> Answer:
        def denied(reason: str, determining: tuple[str, ...] = (), identified: bool = True) -> Answer:
            return Answer(reason, determining, identified, recorded=recorded)

        personal = case.product == "journeys" and case.capability in NEEDS_A_PURPOSE
        if not personal and case.capability not in OPEN.get(case.product, set()):
            return denied("capability_unknown")
        if not _is_theirs(person.capabilities_fault):
            return denied("token_refused", identified=False)
        if case.capability not in person.held:
            return denied("capability_missing")
        approvals: list[Granted] = []
        duties = Duties()
        if personal:
            if not case.purpose:
                return denied("purpose_missing")
            if case.purpose not in CATALOGUE or case.without_contract or case.purpose not in CONTRACT:
                return denied("purpose_unknown")
            approvals = self._approvals(case, person)
            if not approvals:
                return denied("approval_missing")
            duties = CONTRACT[case.purpose]
        allowed, determining = cedar(
            CedarCase(
                case.capability, person.provider, person.subject, person.tenant, person.domains,
                case.policy, case.tenant or person.tenant, case.purpose if personal else None,
                (approvals[0].purpose, approvals[0].tenant, approvals[0].domain) if approvals else None,
                duties.statuses, case.operators,
            )
        )  # fmt: skip
        if not allowed:
            return denied("policy_forbids", determining)
        own = frozenset({person.tenant})
        rows = own if duties.tenants is None else own & duties.tenants
        return Answer(
            "allowed", determining, True,
            Duties(rows, duties.products, duties.statuses, duties.mask, duties.group, duties.retention_days),
            frozenset(each.id for each in approvals) or frozenset({None}), recorded=recorded,
        )  # fmt: skip

    def _approvals(self, case: Case, person: Person) -> list[Granted]:
        """Those that the book may answer with, and that are of this product, version and time."""
        if case.book == "stale":
            raise Fault
        if isinstance(case.book, Granted):  # the book is wrong
            found = [case.book]
        else:
            found = self.granted.get((case.purpose or "", person.tenant, case.product, MAJOR), [])
            found = [each for each in found if each.domain in person.domains]
        return [
            each
            for each in found
            if each.product == case.product and each.major == MAJOR and each.from_s <= NOW_S < each.to_s
        ]


def _is_theirs(fault: str | None) -> bool:
    """Whether the provider says yes; it may also fail to say anything."""
    if fault == "down":
        raise Fault(PROVIDERS_RETRY_S)
    if fault == "broken":
        raise Fault
    return fault is None


def cedar(case: CedarCase) -> tuple[bool, tuple[str, ...]]:
    """Whether Cedar allows, and by which policies."""
    forbids = [name for name, applies in _forbids(case) if applies]
    if forbids:
        return False, tuple(sorted(forbids))
    if case.capability in READS:
        return True, ("read-personal-data",)
    return True, (
        {"journeys:export": "export-personal-data", "fixes:write": "write-fixes"}.get(
            case.capability, "open-capability"
        ),
    )


def _forbids(case: CedarCase) -> list[tuple[str, bool]]:
    personal = case.capability in NEEDS_A_PURPOSE
    about = case.policy.tenant if case.policy is not None else case.about_tenant
    foreign = about != case.tenant
    approval = case.approval
    former = isinstance(case.policy, Insured) and case.policy.status in ("lapsed", "cancelled")
    told = case.statuses is not None and case.policy is not None and case.policy.status not in case.statuses
    if case.operators and "overflowing" in case.domains:
        raise Fault
    return [
        ("tenant-fence", foreign),
        ("writes-only-of-the-own-tenant", foreign and case.capability == "fixes:write"),
        ("personal-data-needs-a-purpose", personal and case.purpose is None),
        ("approval-covers-the-purpose",
         personal and (approval is None or case.purpose is None or approval[0] != case.purpose)),
        ("approval-is-of-the-tenant", personal and (approval is None or approval[1] != case.tenant)),
        ("approval-is-for-a-domain-of-theirs", personal and (approval is None or approval[2] not in case.domains)),
        ("former-customers", personal and former and told),
        ("nothing-is-read-back", personal and case.purpose in COLLECTING and case.capability != "fixes:write"),
        ("no-tracks-for-pricing", case.operators and case.capability == "tracks:read" and case.purpose == "pricing"),
        ("hold", case.operators and case.policy is not None and case.policy.number == "P-north-0"),
        ("not-this-one", case.operators and personal and (case.provider, case.subject) == ("static", "s-0")),
    ]  # fmt: skip
