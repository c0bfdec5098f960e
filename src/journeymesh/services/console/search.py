"""One search over policies, journeys and the data product: by a number, an id, or a word of its columns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import Missing, nothing
from journeymesh.services.console.rendering import link, page, redirect
from journeymesh.services.console.requests import session_of

LONGEST: Final = 200
COLUMNS_SHOWN: Final = 30
NOT_FOUND: Final = ("not_there", "denied", "refused")
"""What an API says of a number or an id that is none, or that the viewer may not know of."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: what it is, what it is called, and its page."""

    kind: str
    name: str
    path: str
    note: str = ""


@get("/find")
async def find(request: Request[Any, Any, Any]) -> Response[Any]:
    """What there is by this name, or right on to it where it is one policy or journey alone."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    wanted = request.query_params.get("q", "").strip()[:LONGEST]
    purpose = viewer.chosen(request.query_params.get("purpose"))
    if not wanted:
        return redirect(link("/policies", {"purpose": purpose}))
    asked = apis.of(session, purpose)
    may = {name: bool(purpose) and viewer.may(name, purpose) for name in ("summaries:read", "journeys:read")}
    may["product:read"] = viewer.may("product:read")
    policy, journey, product = await asyncio.gather(
        apis.panel(asked.summary(wanted, "term")) if may["summaries:read"] else nothing(),
        apis.panel(asked.journey(wanted)) if may["journeys:read"] else nothing(),
        apis.panel(asked.product()) if may["product:read"] else nothing(),
    )
    hits: list[Hit] = []
    if policy and policy.value is not None:
        hits.append(Hit("Policy", wanted, link("/policies/{policy}", {"purpose": purpose}, policy=wanted)))
    if journey and journey.value is not None:
        found = journey.value.get("journey_id") or wanted
        hits.append(Hit("Journey", found, link("/journeys/{journey}", {"purpose": purpose}, journey=found)))
    if len(hits) == 1:
        return redirect(hits[0].path)
    if product and product.value is not None:
        hits += named_in(product.value.contract, wanted)[:COLUMNS_SHOWN]
    refusals = [
        viewer.refusal(name, purpose if name != "product:read" else None)
        for name, allowed in may.items()
        if not allowed
    ]
    gone: list[Missing] = [
        each.missing
        for each in (policy, journey, product)
        if each and each.missing and each.missing.kind not in NOT_FOUND
    ]
    return page(
        request, "found.html", session=session, viewer=viewer, purpose=purpose, wanted=wanted, hits=hits,
        refusals=refusals, gone=gone,
    )  # fmt: skip


def named_in(contract: dict[str, Any], wanted: str) -> list[Hit]:
    """The product's tables and columns with this word in their name or meaning."""
    word = wanted.casefold()
    hits: list[Hit] = []
    for number, table in enumerate(contract.get("schema") or (), 1):
        for each in (table, *(table.get("properties") or ())):
            name, meaning = str(each.get("name") or ""), str(each.get("description") or "")
            if word in name.casefold() or word in meaning.casefold():
                kind = "Table" if each is table else f"Column of {table.get('name')}"
                hits.append(Hit(kind, name, f"/data#t{number}", meaning))
    return hits


ROUTES = (find,)
