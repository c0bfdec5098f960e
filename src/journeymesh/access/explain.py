"""A decision's audit record in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from journeymesh.access.reasons import REASONS
from journeymesh.wire.identity import Reason


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision was made as it was. ``lines`` are sentences in the order of the guards; ``todo`` the next step."""

    decision_id: str
    allowed: bool
    reason: Reason
    lines: tuple[str, ...]
    todo: str


def explain(body: Mapping[str, Any]) -> Explanation:
    """The words to the body of an audit record of a decision. Nobody and no policy is named: the record does not."""
    reason = Reason(body["reason"])
    allowed = reason is Reason.ALLOWED
    told = REASONS[reason]
    lines = [_who(body), _what(body)]
    if body.get("approval"):
        lines.append(
            f"It rests on the approval {body['approval']}." if allowed else f"Approval {body['approval']} was found."
        )
    if body.get("determining"):
        verb = "permitted" if allowed else "forbade"
        lines.append(f"Cedar {verb} it by {', '.join(body['determining'])}.")
    elif reason is Reason.POLICY_FORBIDS:
        lines.append("No Cedar policy permitted it.")
    if body.get("count"):
        lines.append(f"It stands for {body['count']} requests without a token.")
    detail = f" ({body['detail']})" if body.get("detail") else ""
    lines.append(f"{'Allowed' if allowed else 'Denied'}: {told.what}{detail}.")
    return Explanation(str(body["decision_id"]), allowed, reason, tuple(lines), told.todo)


def _who(body: Mapping[str, Any]) -> str:
    if not body.get("provider"):
        return "Nobody was identified."
    domains = ", ".join(body.get("domains") or ()) or "no domain"
    return f"{body['subject']} of {body['provider']} asked, of tenant {body['tenant']}, working for {domains}."


def _what(body: Mapping[str, Any]) -> str:
    if not body.get("capability"):
        return "What was asked for was not looked at, or is no capability."
    about = "one policy" if body.get("resource_kind") == "policy" else "the product as a whole"
    purpose = f" for {body['purpose']}" if body.get("purpose") else ""
    return f"Asked: {body['capability']} on {body['product']}{purpose}, about {about}."
