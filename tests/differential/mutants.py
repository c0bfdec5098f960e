"""The decider with one guard taken away: each has to be found by comparing it with the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import Any

from msgspec.structs import replace

from journeymesh.access.cedar import CedarFile, CedarPolicies, CedarVerdict, Question, shipped_files
from journeymesh.access.decide import Decider
from journeymesh.access.decision import Ask, Decision
from journeymesh.access.record import DecisionState
from journeymesh.governance.approvals import Approval
from journeymesh.governance.contract import Contract
from journeymesh.governance.obligations import Obligations
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity, TokenRefused
from journeymesh.wire.identity import Reason
from tests.differential.driven import Driven
from tests.differential.world import World


class WithoutToken(Decider):
    def _reason(self, token: str | None, ask: Ask, found: DecisionState) -> Reason:
        return super()._reason(token or "nobody's", ask, found)


class WithoutProof(Decider):
    """Takes a token that its provider refuses for whoever it says it is."""

    def _reason(self, token: str | None, ask: Ask, found: DecisionState) -> Reason:
        try:
            return super()._reason(token, ask, found)
        except TokenRefused:
            surroundings: Any = self._providers
            if found.identity is None and token in surroundings.identities:
                found.identity = surroundings.identities[token]
                return Reason.ALLOWED
            raise


class WithoutExpiry(Decider):
    def _in_time(self, identity: Identity) -> bool:
        return True


class WithoutKnownCapability(Decider):
    def _capability(self, ask: Ask) -> Capability | None:
        return super()._capability(ask) or Capability(ask.capability, ask.product, False, "")


class WithoutCapability(Decider):
    def _capable(self, token: str, asked: Capability) -> bool:
        super()._capable(token, asked)
        return True


class WithoutPurposeNamed(Decider):
    def _purpose_named(self, ask: Ask) -> bool:
        return True


class WithoutCatalogue(Decider):
    def _in_catalogue(self, purpose: str) -> bool:
        return True


class Anything(dict[str, Obligations]):
    """A contract's purposes, as they were if it admitted every one."""

    def __missing__(self, purpose: str) -> Obligations:
        return Obligations()


class WithoutContract(Decider):
    def _in_contract(self, contract: Contract, purpose: str) -> bool:
        contract.purposes = Anything(contract.purposes)  # type: ignore[misc]
        return True


class WithoutApproval(Decider):
    def _approved(self, approval: Approval | None, product: str, major: int) -> bool:
        return approval is None or super()._approved(approval, product, major)


class WithoutVersion(Decider):
    def _of_this_version(self, approval: Approval, product: str, major: int) -> bool:
        return True


class WithoutApprovalTime(Decider):
    def _approval_in_time(self, approval: Approval) -> bool:
        return True


class WithoutCedar(Decider):
    def _permitted(self, verdict: CedarVerdict) -> bool:
        return True


class WithoutOwnRows(Decider):
    def _narrowed(self, obligations: Obligations, tenant: str) -> Obligations:
        return obligations


class WithTenantBesidePolicy(Decider):
    """Lets a tenant that is named beside a policy play a part."""

    def _question(self, asked: Capability, ask: Ask, identity: Identity, found: DecisionState) -> Question:
        question = super()._question(asked, ask, identity, found)
        return replace(question, about_tenant=ask.tenant or question.about_tenant)


class WithoutStatuses(Decider):
    def _question(self, asked: Capability, ask: Ask, identity: Identity, found: DecisionState) -> Question:
        return replace(super()._question(asked, ask, identity, found), statuses=None)


class WithReads(Decider):
    def _question(self, asked: Capability, ask: Ask, identity: Identity, found: DecisionState) -> Question:
        return replace(super()._question(asked, ask, identity, found), reads=True)


class WithOldCapabilities(Decider):
    """Takes a provider that cannot answer for a yes."""

    def _capable(self, token: str, asked: Capability) -> bool:
        try:
            return super()._capable(token, asked)
        except TokenRefused:
            raise
        except Exception:
            return True


class WithOldApprovals(Decider):
    """Goes on with approvals that are too old."""

    def _reason(self, token: str | None, ask: Ask, found: DecisionState) -> Reason:
        surroundings: Any = self._approvals
        if surroundings.case.book == "stale":
            surroundings.case = replaced(surroundings.case, book="faithful")
        return super()._reason(token, ask, found)


class WithoutAudit(Decider):
    def _recorded(self, reason: Reason, ask: Ask, found: DecisionState) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        return done


class WithOpenDenials(Decider):
    """A denial that keeps the obligations that were found."""

    def decide(self, token: str | None, ask: Ask) -> Decision:
        return replace(super().decide(token, ask), obligations=Obligations())


class WithoutErrors(CedarPolicies):
    """Believes Cedar though a policy erred."""

    def _verdict(self, said: str, reasons: Sequence[str], errors: Sequence[str]) -> CedarVerdict:
        return super()._verdict(said, reasons, ())


@dataclass(frozen=True)
class Mutant:
    """What is taken away, and the decider without it."""

    name: str
    driven: Callable[[World], Driven]


_DECIDERS: tuple[tuple[str, type[Decider]], ...] = (
    ("a token came", WithoutToken),
    ("the token is its bearer's", WithoutProof),
    ("the token has not expired", WithoutExpiry),
    ("the capability is known", WithoutKnownCapability),
    ("the capability is held", WithoutCapability),
    ("a purpose is named", WithoutPurposeNamed),
    ("the catalogue has the purpose", WithoutCatalogue),
    ("the contract admits the purpose", WithoutContract),
    ("there is an approval", WithoutApproval),
    ("the approval is of this version", WithoutVersion),
    ("the approval is of this time", WithoutApprovalTime),
    ("Cedar permits", WithoutCedar),
    ("rows are of the own tenant", WithoutOwnRows),
    ("a policy's tenant counts, not the one named", WithTenantBesidePolicy),
    ("the contract's statuses are told to Cedar", WithoutStatuses),
    ("what a purpose reads is told to Cedar", WithReads),
    ("a provider's fault denies", WithOldCapabilities),
    ("stale approvals deny", WithOldApprovals),
    ("the audit is written", WithoutAudit),
    ("a denial lets nothing leave", WithOpenDenials),
)

_FENCE = "forbid (principal, action, resource)\nunless"
_FORMER = '["lapsed", "cancelled"]'
_APPROVAL = "context has approval"
_CONDITIONS = (
    ("purpose compared", f"  {_APPROVAL} &&\n  context.approval.purpose == context.purpose\n", f"  {_APPROVAL}\n"),
    ("approval's tenant compared", f"{_APPROVAL} && context.approval.tenant == principal.tenant", _APPROVAL),
    ("approval's domain compared", f"{_APPROVAL} && principal.domains.contains(context.approval.domain)", _APPROVAL),
    ("lapsed is former", _FORMER, '["cancelled"]'),
    ("cancelled is former", _FORMER, '["lapsed"]'),
    ("statuses compared", "unless { context.statuses.contains(resource.status) }", "unless { context has statuses }"),
    ("fence of what is open", _FENCE, _FENCE.replace("action,", 'action in Action::"personal",')),
    ("fence of what is personal", _FENCE, _FENCE.replace("action,", 'action in Action::"open",')),
    ("fence of the product as a whole", _FENCE, _FENCE.replace("resource", "resource is Policy")),
    ("fence of insurance policies", _FENCE, _FENCE.replace("resource", "resource is Product")),
)
"""Conditions of policies: a name, the text, and the text without the condition."""


def _text(change: Callable[[str], str]) -> list[CedarFile]:
    return [CedarFile(file.name, change(file.text)) for file in shipped_files()]


def _without_policy(name: str) -> list[CedarFile]:
    """The shipped policies without this one."""

    def change(text: str) -> str:
        pieces = text.split("@id(")
        return "@id(".join(each for each in pieces if not each.startswith(f'"{name}")'))

    return _text(change)


def _files_mutant(name: str, files: list[CedarFile]) -> Mutant:
    return Mutant(name, lambda world: Driven(world, files=files))


def _decider_mutant(name: str, kind: type[Decider]) -> Mutant:
    return Mutant(name, lambda world: Driven(world, decider=kind))


def mutants() -> list[Mutant]:
    """Every mutant."""
    found = [_decider_mutant(name, kind) for name, kind in _DECIDERS]
    found.append(Mutant("Cedar did not err", lambda world: Driven(world, policies=WithoutErrors)))
    for name in CedarPolicies.of(shipped_files()).ids:
        found.append(_files_mutant(f"policy {name}", _without_policy(name)))
    for name, old, other in _CONDITIONS:
        files = _text(lambda text, old=old, other=other: text.replace(old, other, 1))  # type: ignore[misc]
        assert files != shipped_files(), f"{name}: the text is not in the policies any more"
        found.append(_files_mutant(f"condition: {name}", files))
    return found
