"""Approvals: those of the viewer's tenant, what awaits the viewer, and the steps that identityapi lets them take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Request, get, post
from litestar.response import Response

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.calls import Page
from journeymesh.client.errors import ApiError
from journeymesh.identity.capabilities import CAPABILITIES
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import Panel, missing_of
from journeymesh.services.console.rendering import link, page, redirect
from journeymesh.services.console.requests import form_of, session_of
from journeymesh.services.console.sessions import Session
from journeymesh.services.console.viewer import Viewer
from journeymesh.wire.identity import ApprovalGiven, ApprovalTold, State

PAGE_ROWS: Final = 50
AWAITING_SHOWN: Final = 20
ENDS_SOON: Final = timedelta(days=14)
STEPS: Final = ("approve", "reject", "acknowledge", "revoke")
URGENT: Final = frozenset({"approve", "acknowledge"})


@get("/approvals")
async def approvals(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A page of the approvals of the viewer's tenant, the newest request first, and the form to request one."""
    session = session_of(request)
    return await _shown(request, session)


@get("/approvals/{approval:str}")
async def approval(request: Request[Any, Any, Any]) -> Response[bytes]:
    """One approval: what it obliges to, every step of it, and those that the viewer may take."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    read: Panel[ApprovalTold] = Panel()
    if viewer.may("approvals:read"):
        read = await apis.panel(apis.of(session).approval(request.path_params["approval"]))
    refusal = None if viewer.may("approvals:read") else viewer.refusal("approvals:read", None)
    return page(request, "approval.html", session=session, viewer=viewer, read=read, refusal=refusal)


@post("/approvals", status_code=303)
async def request_approval(request: Request[Any, Any, Any]) -> Response[Any]:
    """Ask that a domain of the viewer's may use the product for a purpose."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    fields = await form_of(request, session)
    asked = apis.of(session)
    try:
        await asked.request_approval(
            fields.get("purpose", ""), domain=fields.get("domain", ""), reason=fields.get("reason", "")
        )
    except ApiError as error:
        return await _shown(request, session, error)
    return redirect("/approvals")


@post("/approvals/{approval:str}/{step:str}", status_code=303)
async def take_step(request: Request[Any, Any, Any]) -> Response[Any]:
    """Approve, reject, acknowledge or revoke."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    fields = await form_of(request, session)
    approval, step = request.path_params["approval"], request.path_params["step"]
    if step not in STEPS:
        return redirect("/approvals")
    try:
        await getattr(apis.of(session), step)(approval, fields.get("why", ""))
    except ApiError as error:
        return await _shown(request, session, error)
    return redirect(link("/approvals"))


@dataclass(frozen=True, slots=True)
class Awaiting:
    """What awaits a viewer. ``more``: there are others, which the page of all approvals has."""

    approvals: list[ApprovalGiven]
    more: bool


async def awaiting(asked: AsyncJourneymesh, viewer: Viewer) -> Awaiting:
    """Steps that others wait for, and approvals of the viewer's domains that end within two weeks."""
    now = datetime.now(UTC)
    found: list[ApprovalGiven] = []
    for state in (State.REQUESTED, State.ONCE_APPROVED, State.APPROVED, State.ACTIVE):
        async for each in asked.approvals(state=state):
            if URGENT.intersection(each.steps) or ends_soon(each, viewer, now):
                found.append(each)
            if len(found) > AWAITING_SHOWN:
                return Awaiting(found[:AWAITING_SHOWN], more=True)
    return Awaiting(found, more=False)


def ends_soon(approval: ApprovalGiven, viewer: Viewer, now: datetime) -> bool:
    """Whether an approval that a domain of the viewer's uses ends within two weeks."""
    in_use = approval.state is State.ACTIVE and approval.domain in viewer.me.domains
    return in_use and approval.valid_to - now <= ENDS_SOON


async def _shown(request: Request[Any, Any, Any], session: Session, error: ApiError | None = None) -> Response[bytes]:
    """The page. ``error``: what an API said to a step that was tried."""
    apis: Apis = request.app.state["apis"]
    viewer = await apis.viewer(session)
    query = request.query_params if error is None else {}
    listed: Panel[Page[ApprovalGiven]] = Panel()
    if viewer.may("approvals:read"):
        listed = await apis.panel(apis.of(session).approvals_page(query.get("after") or None, page_size=PAGE_ROWS))
    soon = (
        {each.id for each in listed.value.items if ends_soon(each, viewer, datetime.now(UTC))} if listed.value else ()
    )
    return page(
        request, "approvals.html", session=session, viewer=viewer, listed=listed, soon=soon,
        wished=query.get("purpose"), reason=_reason_for(query.get("for")),
        wrong=None if error is None else missing_of(error),
        following=link("/approvals", {"after": listed.value.next}) if listed.value and listed.value.next else None,
        first=not query.get("after"), status=200 if error is None else error.status or 503,
    )  # fmt: skip


def _reason_for(capability: str | None) -> str:
    """What a request's form begins with where a page said what the approval is for."""
    known = next((each for each in CAPABILITIES if each.name == capability), None)
    return f"To {known.meaning} ({known.name})." if known else ""


ROUTES = (approvals, approval, request_approval, take_step)
