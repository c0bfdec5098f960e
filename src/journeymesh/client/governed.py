"""The calls of identityapi: who one is, what one may, approvals, decisions, audit. No input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from journeymesh.client import methods
from journeymesh.client.calls import Call, Listing, Page, call, decoded, get, path_of
from journeymesh.client.exchange import Request
from journeymesh.wire import identity as wire

T = TypeVar("T")
JOURNEYS_PRODUCT: Final = wire.JOURNEYS


Me = wire.Me
HeldCapability = wire.HeldCapability
Capabilities = wire.Capabilities
Offer = wire.OfferGiven
Offers = wire.Offers
Purpose = wire.PurposeGiven
Party = wire.Party
ApprovalStep = wire.StepGiven
Approval = wire.ApprovalGiven
ApprovalTold = wire.ApprovalTold
Decision = wire.DecisionGiven
Provider = wire.ProviderGiven
AuditEntry = wire.AuditEntry


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May the bearer of ``token`` do this? Without a token it is asked about the caller."""

    product: str
    capability: str
    purpose: str | None = None
    token: str | None = None
    tenant: str | None = None
    policy: dict[str, str] | None = None


class IdentityCalls:
    """The calls; both clients have them."""

    @methods.answer
    def me(self) -> Call[Me]:
        """Who the token's bearer is."""
        return call(_get("/v1/me"), Me)

    @methods.answer
    def capabilities(self, product: str = JOURNEYS_PRODUCT) -> Call[Capabilities]:
        """What the token's bearer is capable of with a product."""
        return call(_get("/v1/me/capabilities", {"product": product}), Capabilities)

    @methods.answer
    def offers(self, product: str = JOURNEYS_PRODUCT) -> Call[Offers]:
        """What the token's bearer may do with a product for each purpose, and why not."""
        return call(_get("/v1/me/offers", {"product": product}), Offers)

    @methods.answer
    def purposes(self) -> Call[list[Purpose]]:
        """The tree of purposes."""
        return _items(_get("/v1/purposes"), Purpose)

    @methods.items
    def approvals(
        self, product: str | None = None, purpose: str | None = None, state: str | None = None
    ) -> Listing[Page[Approval]]:
        """The approvals of the caller's tenant, the newest request first. Pages are asked for as they are read."""
        params = {"product": product, "purpose": purpose, "state": state}
        return Listing(call(_get("/v1/approvals", params), Page[Approval]), "after")

    @methods.answer
    def approvals_page(
        self, after: str | None = None, *, state: str | None = None, page_size: int | None = None
    ) -> Call[Page[Approval]]:
        """One page of ``approvals``: ``next`` is the cursor of the page behind it, None at the end."""
        return call(_get("/v1/approvals", {"after": after, "state": state, "limit": page_size}), Page[Approval])

    @methods.answer
    def approval(self, approval_id: str) -> Call[ApprovalTold]:
        """One approval with its history."""
        return call(_get("/v1/approvals/{approval}", approval=approval_id), ApprovalTold)

    @methods.answer
    def request_approval(
        self,
        purpose: str,
        *,
        domain: str,
        reason: str,
        product: str = JOURNEYS_PRODUCT,
        valid_to: datetime | None = None,
    ) -> Call[Approval]:
        """Ask that a domain of the caller's may use a product for a purpose. The caller is the requester."""
        body: dict[str, Any] = {"product": product, "purpose": purpose, "domain": domain, "reason": reason}
        if valid_to is not None:
            body["valid_to"] = valid_to
        return call(_post("/v1/approvals", body), Approval)

    @methods.answer
    def approve(self, approval_id: str, why: str) -> Call[Approval]:
        """Approve, as an approver that the product's contract names and who is not the requester."""
        return _step(approval_id, "approve", why)

    @methods.answer
    def reject(self, approval_id: str, why: str) -> Call[Approval]:
        """Reject, as an approver."""
        return _step(approval_id, "reject", why)

    @methods.answer
    def acknowledge(self, approval_id: str, why: str = "") -> Call[Approval]:
        """Accept the obligations, for the domain that asked. From then on the approval counts."""
        return _step(approval_id, "acknowledge", why)

    @methods.answer
    def revoke(self, approval_id: str, why: str) -> Call[Approval]:
        """Revoke, as an approver. Within a second it counts nowhere."""
        return _step(approval_id, "revoke", why)

    @methods.answer
    def decide(self, ask: Ask) -> Call[Decision]:
        """A decision, as a service or gateway asks for it. A denial is an answer, not an error."""
        return call(_post("/v1/decisions", ask), Decision)

    @methods.answer
    def decide_each(self, asks: Sequence[Ask]) -> Call[list[Decision]]:
        """Several decisions, in the order of the asks."""
        return _items(_post("/v1/decisions:batch", {"asks": list(asks)}), Decision)

    @methods.answer
    def explain(self, decision_id: str) -> Call[dict[str, Any]]:
        """Why a decision was made."""
        return call(_get("/v1/decisions/{decision}/explain", decision=decision_id), dict[str, Any])

    @methods.answer
    def providers(self) -> Call[list[Provider]]:
        """The identity providers and how they are doing."""
        return _items(_get("/v1/providers"), Provider)

    @methods.items
    def audit(self, kind: str | None = None, *, page_size: int | None = None) -> Listing[Page[AuditEntry]]:
        """The audit's records, oldest first. Pages are asked for as they are read."""
        return Listing(call(_get("/v1/audit", {"limit": page_size, "kind": kind}), Page[AuditEntry]), "after")

    @methods.answer
    def checkpoint_audit(self) -> Call[dict[str, Any]]:
        """Sign the heads of all chains and keep the signature elsewhere."""
        return call(_post("/v1/audit:checkpoint", {}), dict[str, Any])

    @methods.answer
    def verify_audit(self) -> Call[dict[str, Any]]:
        """Verify all chains; the first bad record is named."""
        return call(_post("/v1/audit:verify", {}), dict[str, Any])


def _get(template: str, params: Mapping[str, object] | None = None, **ids: str) -> Request:
    return replace(get(template, None, params, **ids), service="identityapi")


def _post(template: str, body: object, **ids: str) -> Request:
    return Request(
        method="POST",
        path=path_of(template, **ids),
        template=template,
        service="identityapi",
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(body),
        repeatable=False,
    )


def _items(request: Request, kind: type[T]) -> Call[list[T]]:
    return Call(request, lambda reply: decoded(reply, request, Page[kind]).items)  # type: ignore[valid-type]


def _step(approval_id: str, step: str, why: str) -> Call[Approval]:
    return call(_post(f"/v1/approvals/{{approval}}:{step}", {"why": why}, approval=approval_id), Approval)
