"""The calls of identityapi: who one is, what one may, approvals, decisions, audit. No input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from journeymesh.client.calls import Call, decoded, part
from journeymesh.client.exchange import Request

T = TypeVar("T")
JOURNEYS_PRODUCT: Final = "journeys"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token's bearer is, as their provider vouches."""

    provider: str
    subject: str
    tenant: str
    domains: list[str] = []
    expires_at: datetime | None = None


class HeldCapability(msgspec.Struct, frozen=True, kw_only=True):
    """A capability the caller has. ``personal``: using it needs an approved purpose."""

    name: str
    personal: bool
    told: str = ""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller is capable of with a product; each use still needs its purpose."""

    product: str
    capabilities: list[HeldCapability]

    def __contains__(self, name: object) -> bool:
        return any(each.name == name for each in self.capabilities)


class Purpose(msgspec.Struct, frozen=True, kw_only=True):
    """Why data may be used. ``dpv`` is an IRI of the W3C Data Privacy Vocabulary."""

    id: str
    title: str = ""
    description: str = ""
    dpv: str | None = None
    narrower: list[Purpose] = []


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A person or client, by their provider's name for them."""

    provider: str
    subject: str


class ApprovalStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an approval: to which state, by whom, when and why."""

    state: str
    at: datetime
    by: Party | None = None
    why: str = ""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded, dated yes (or not yet, or no longer) to one purpose on one major version of a product.

    ``obligations``: what has to be done to the data, which the domain acknowledges.
    """

    id: str
    product: str
    product_major: int
    purpose: str
    tenant: str
    domain: str
    state: str
    reason: str
    requested_by: Party
    requested_at: datetime | None = None
    decided_by: Party | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    obligations: dict[str, Any] | None = None


class ApprovalTold(msgspec.Struct, frozen=True, kw_only=True):
    """An approval and every step of it, the request first."""

    approval: Approval
    history: list[ApprovalStep]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one decision. ``obligations`` is what must be done to the data first."""

    decision_id: str
    allowed: bool
    reason: str
    obligations: dict[str, Any] | None = None
    determining: list[str] = []
    approval_id: str | None = None
    retry_after_s: float | None = None


class Ask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """May the bearer of ``token`` do this? Without a token it is asked about the caller."""

    product: str
    capability: str
    purpose: str | None = None
    token: str | None = None
    tenant: str | None = None
    policy: dict[str, str] | None = None


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider and how it is doing."""

    name: str
    kind: str
    issuer: str
    ready: bool
    keys_age_s: float | None = None
    what: str = ""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One record of one writer's chain."""

    writer: str
    number: int
    at: datetime
    kind: str
    body: dict[str, Any]
    digest: str


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of a listing. ``next``: the cursor of the one behind it; None: that was all."""

    items: list[T]
    next: str | None = None


Step = Literal["approve", "reject", "acknowledge", "revoke"]


def me() -> Call[Me]:
    """Who the caller is."""
    return _get("/v1/me", Me)


def capabilities(product: str) -> Call[Capabilities]:
    """What the caller is capable of with a product."""
    return _get("/v1/me/capabilities", Capabilities, params={"product": product})


def purposes() -> Call[list[Purpose]]:
    """The tree of purposes."""
    return _list("/v1/purposes", Purpose)


def approvals(product: str | None, purpose: str | None, state: str | None, after: str | None) -> Call[Page[Approval]]:
    """A page of the approvals of the caller's tenant."""
    return _page("/v1/approvals", Approval, {"product": product, "purpose": purpose, "state": state, "after": after})


def approval(approval_id: str) -> Call[ApprovalTold]:
    """One approval with its history."""
    return _get(f"/v1/approvals/{part(approval_id)}", ApprovalTold, template="/v1/approvals/{approval}")


def request_approval(purpose: str, domain: str, reason: str, product: str, valid_to: datetime | None) -> Call[Approval]:
    """Ask for the approval of a purpose on a product."""
    body: dict[str, Any] = {"product": product, "purpose": purpose, "domain": domain, "reason": reason}
    if valid_to is not None:
        body["valid_to"] = valid_to
    return _post("/v1/approvals", Approval, body)


def step(approval_id: str, step: Step, why: str) -> Call[Approval]:
    """Take an approval one step further."""
    path = f"/v1/approvals/{part(approval_id)}:{step}"
    return _post(path, Approval, {"why": why}, template=f"/v1/approvals/{{approval}}:{step}")


def decide(ask: Ask) -> Call[Decision]:
    """A decision about the bearer of a token, or about the caller."""
    return _post("/v1/decisions", Decision, ask)


def decide_each(asks: Sequence[Ask]) -> Call[list[Decision]]:
    """Several decisions, in the order of the asks."""
    request = _posted("/v1/decisions:batch", {"asks": list(asks)}, None)
    return Call(request, lambda reply: decoded(reply, request, Page[Decision]).items)


def explain(decision_id: str) -> Call[dict[str, Any]]:
    """Why a decision was made, in words."""
    path = f"/v1/decisions/{part(decision_id)}/explain"
    return _get(path, dict[str, Any], template="/v1/decisions/{decision}/explain")


def providers() -> Call[list[Provider]]:
    """The identity providers."""
    return _list("/v1/providers", Provider)


def audit(after: str | None, limit: int | None, kind: str | None) -> Call[Page[AuditEntry]]:
    """A page of the audit."""
    return _page("/v1/audit", AuditEntry, {"after": after, "limit": limit, "kind": kind})


def audit_step(what: Literal["checkpoint", "verify"]) -> Call[dict[str, Any]]:
    """Sign the heads of all chains, or verify the chains."""
    return _post(f"/v1/audit:{what}", dict[str, Any], {})


def _got(path: str, template: str | None, params: Mapping[str, str] | None = None) -> Request:
    return Request(method="GET", path=path, template=template or path, service="identityapi", params=params or {})


def _posted(path: str, body: object, template: str | None) -> Request:
    return Request(
        method="POST",
        path=path,
        template=template or path,
        service="identityapi",
        headers={"content-type": "application/json"},
        body=msgspec.json.encode(body),
        repeatable=False,
    )


def _get(path: str, kind: type[T], *, template: str | None = None, params: Mapping[str, str] | None = None) -> Call[T]:
    request = _got(path, template, params)
    return Call(request, lambda reply: decoded(reply, request, kind))


def _list(path: str, kind: type[T]) -> Call[list[T]]:
    request = _got(path, None, {})
    return Call(request, lambda reply: decoded(reply, request, Page[kind]).items)  # type: ignore[valid-type]


def _page(path: str, kind: type[T], asked: Mapping[str, object]) -> Call[Page[T]]:
    request = _got(path, None, {name: str(value) for name, value in asked.items() if value is not None})
    return Call(request, lambda reply: decoded(reply, request, Page[kind]))  # type: ignore[valid-type]


def _post(path: str, kind: type[T], body: object, *, template: str | None = None) -> Call[T]:
    request = _posted(path, body, template)
    return Call(request, lambda reply: decoded(reply, request, kind))
