"""Approvals: those of the viewer's tenant, what awaits the viewer, and the steps that they may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Request, get, post
from litestar.response import Response

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.errors import ApiError
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import missing_of
from journeymesh.services.console.rendering import link, page, redirect
from journeymesh.services.console.requests import form_of, session_of
from journeymesh.services.console.sessions import Session
from journeymesh.services.console.viewer import Viewer
from journeymesh.wire.identity import ApprovalGiven, State

MOST: Final = 200
ENDS_SOON: Final = timedelta(days=14)
STEPS: Final = ("approve", "reject", "acknowledge", "revoke")


@dataclass(frozen=True, slots=True)
class Listed:
    """An approval, and the steps of it that this viewer may take now. ``soon``: it ends within two weeks."""

    approval: ApprovalGiven
    steps: tuple[str, ...]
    soon: bool


@get("/approvals")
async def approvals(request: Request[Any, Any, Any]) -> Response[bytes]:
    """All approvals of the viewer's tenant, and the form to request one."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    listed = await apis.panel(_listed(apis.of(session), viewer))
    wished = request.query_params.get("purpose")
    return page(request, "approvals.html", session=session, viewer=viewer, listed=listed, wished=wished, wrong=None)


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
        return await _wrong(request, session, error)
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
        return await _wrong(request, session, error)
    return redirect(link("/approvals"))


async def awaiting(apis: Apis, session: Session, viewer: Viewer) -> list[Listed]:
    """What awaits the viewer: steps to take, and approvals of theirs that end soon; none where they may see none."""
    if not viewer.may("approvals:read"):
        return []
    found = await apis.panel(_listed(apis.of(session), viewer))
    return [each for each in found.value or () if each.soon or _urgent(each)]


def _urgent(listed: Listed) -> bool:
    return any(step in ("approve", "acknowledge") for step in listed.steps)


async def _listed(asked: AsyncJourneymesh, viewer: Viewer) -> list[Listed]:
    found: list[Listed] = []
    async for each in asked.approvals():
        found.append(listed_for(each, viewer, datetime.now(UTC)))
        if len(found) == MOST:
            break
    return found


def listed_for(approval: ApprovalGiven, viewer: Viewer, now: datetime) -> Listed:
    """The steps that the viewer may take: an approver that the contract names and who did not request it approves,
    rejects and revokes; the domain that asked takes on the obligations."""
    me = viewer.me
    own = approval.requested_by.provider == me.provider and approval.requested_by.subject == me.subject
    named = any(each in _names(viewer) for each in viewer.journeys.approvers)
    decides = viewer.may("approvals:decide") and named and not own
    once = approval.decided_by
    again = once is not None and once.provider == me.provider and once.subject == me.subject
    steps: list[str] = []
    match approval.state:
        case State.REQUESTED if decides:
            steps = ["approve", "reject"]
        case State.ONCE_APPROVED if decides and not again:
            steps = ["approve", "reject"]
        case State.APPROVED:
            steps = ["acknowledge"] if approval.domain in me.domains and viewer.may("approvals:request") else []
            steps += ["revoke"] if decides else []
        case State.ACKNOWLEDGED | State.ACTIVE if decides:
            steps = ["revoke"]
    ends = approval.state is State.ACTIVE and approval.domain in me.domains and approval.valid_to - now <= ENDS_SOON
    return Listed(approval, tuple(steps), ends)


def _names(viewer: Viewer) -> set[str]:
    return {f"{viewer.me.provider}:{viewer.me.subject}", *(f"domain:{name}" for name in viewer.me.domains)}


async def _wrong(request: Request[Any, Any, Any], session: Session, error: ApiError) -> Response[bytes]:
    """The page again, with what the API said to the step."""
    apis: Apis = request.app.state["apis"]
    viewer = await apis.viewer(session)
    listed = await apis.panel(_listed(apis.of(session), viewer))
    wrong = missing_of(error)
    values = {"listed": listed, "wished": None, "wrong": wrong}
    return page(request, "approvals.html", session=session, viewer=viewer, status=error.status or 503, **values)


ROUTES = (approvals, request_approval, take_step)
