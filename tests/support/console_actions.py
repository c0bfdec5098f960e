"""The console's actions, row by row: what a page offers, and what an API says to whoever really tries it.

A route of the console, a link or a form of a page without a row here fails `test_every_action.py`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import httpx

from journeymesh.services.console.app import ROUTES
from journeymesh.services.console.viewer import WHY
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.opening import open_identityapi
from journeymesh.wire.identity import Reason

FORMS: Final = ("csv", "parquet", "arrow", "ndjson")
_PLACE: Final = re.compile(r"{(\w+):\w+}")
NO_PURPOSE: Final = "No purpose is approved for you yet."


@dataclass(frozen=True, slots=True)
class Shown:
    """Something of a page: ``sign`` stands in it where it is offered. ``api``: what journeyapi is asked for it, with
    this capability and in this form."""

    page: str
    sign: str
    capability: str
    api: str
    form: str | None = None


def _files(what: str, sign: str, api: str, capability: dict[str, str]) -> tuple[Shown, ...]:
    return tuple(
        Shown("/policies/{policy}", sign.format(form=form), capability.get(form, capability[""]), api, form)
        for form in FORMS
    )


READS: Final = (
    Shown("/policies", 'aria-label="Table: Policies"', "summaries:read", "/v1/summaries?period=term"),
    Shown("/policies?sort=distance_m", 'aria-sort="descending"', "summaries:read",
          "/v1/summaries?period=term&sort=distance_m"),
    Shown("/policies/{policy}", 'aria-label="Table: Parts of the score"', "summaries:read",
          "/v1/policies/{policy}/score"),
    Shown("/policies/{policy}", 'aria-label="Table: By month"', "summaries:read",
          "/v1/policies/{policy}/summary?period=month"),
    Shown("/policies/{policy}", 'aria-label="Table: Latest journeys"', "journeys:read",
          "/v1/policies/{policy}/journeys?order=desc"),
    Shown("/policies/{policy}", 'aria-label="Table: Quality of the product"', "product:read", "/v1/products/journeys"),
    Shown("/journeys/{journey}", '<div class="figures">', "journeys:read", "/v1/journeys/{journey}"),
    Shown("/journeys/{journey}", '<svg class="track"', "tracks:read", "/v1/journeys/{journey}/track"),
    Shown("/journeys/{journey}", 'aria-labelledby="refused"', "journeys:read", "/v1/journeys/{journey}/refusals"),
    Shown("/journeys/{journey}", 'aria-labelledby="versions"', "journeys:read", "/v1/journeys/{journey}/versions"),
    Shown("/refusals?policy={policy}", 'class="filters" action="/refusals"', "journeys:read",
          "/v1/policies/{policy}/refusals"),
    Shown("/data", 'aria-label="Table: Purposes"', "product:read", "/v1/products/journeys"),
    *_files("journeys", "/exports/journeys?policy={{policy}}&amp;purpose={{used}}&amp;format={form}\"",
            "/v1/policies/{policy}/journeys", {"": "journeys:export", "ndjson": "journeys:read"}),
    *_files("summary", "/exports/summary?policy={{policy}}&amp;purpose={{used}}&amp;period=month&amp;format={form}\"",
            "/v1/policies/{policy}/summary?period=month", {"": "summaries:read"}),
)  # fmt: skip

SIGNED_IN: Final = "whoever is signed in"
ROWS: Final = {
    "GET /": SIGNED_IN,
    "GET /find": "search: test_offers",
    "GET /policies": "reads",
    "GET /policies/{policy}": "reads",
    "GET /journeys/{journey}": "reads",
    "GET /exports/journeys": "reads",
    "GET /exports/summary": "reads",
    "GET /refusals": "reads",
    "GET /data": "reads",
    "GET /approvals": "steps",
    "GET /approvals/{approval}": "steps",
    "POST /approvals": "requests",
    "POST /approvals/{approval}/{step}": "steps",
    "GET /decisions/{decision}": "decisions: test_offers",
    "GET /basemap.pmtiles": SIGNED_IN,
    "GET /live": SIGNED_IN,
    "POST /units": SIGNED_IN,
    "POST /sign-out": SIGNED_IN,
    "GET /sign-in": "anybody",
    "POST /sign-in": "anybody",
    "GET /sign-in/start": "anybody",
    "GET /sign-in/callback": "anybody",
    "POST /sign-out/everywhere": "the provider",
}
"""Each route of the console, and where what it does is held against the APIs, or who may do it always."""
STEPS: Final = ("approve", "reject", "acknowledge", "revoke")


def routes() -> set[str]:
    """Every route that the console answers, as rows name them."""
    return {
        f"{method} {_PLACE.sub(_name_alone, path)}"
        for route in ROUTES
        for path in route.paths
        for method in route.http_methods
        if method not in ("HEAD", "OPTIONS")
    }


def _name_alone(place: re.Match[str]) -> str:
    return "{" + place[1] + "}"


def actions_of(page: str) -> set[str]:
    """The routes that a page's links and forms lead to; other places of the page itself are none."""
    found = {f"GET {each}" for each in re.findall(r'<a [^>]*?href="([^"#][^"]*)"', page)}
    for form in re.findall(r"<form [^>]*>", page):
        action = re.search(r'action="([^"]*)"', form)
        assert action is not None, form
        found.add(f"{'POST' if 'method=' in form else 'GET'} {action[1]}")
    found |= {f"GET {each}" for each in re.findall(r'(?:hx-get|hx-sse:connect)="([^"]*)"', page)}
    return {_row_of(html.unescape(each).partition("?")[0].partition("#")[0]) for each in found}


def _row_of(action: str) -> str:
    """The row of an action; where there is none, the action."""
    rows = (row for row in ROWS if re.fullmatch("[^/]+".join(map(re.escape, re.split(r"{\w+}", row))), action))
    return next(rows, action)


def refusals_of(page: str) -> set[tuple[str, str]]:
    """(why, capability) of each thing that a page says is not available."""
    found = re.findall(
        r"<summary>Not available: (.*?)</summary>.*?<dt>Capability</dt><dd><code>(.*?)</code>", page, re.DOTALL
    )
    return {(html.unescape(why), capability) for why, capability in found}


def words_of(reason: str, used: str | None) -> str:
    """What a page says where an API refuses for this reason. ``used``: the purpose that was named, if any was."""
    needed = reason in (Reason.APPROVAL_MISSING, Reason.PURPOSE_MISSING)
    return NO_PURPOSE if needed and used is None else WHY[Reason(reason)]


@contextmanager
def restored_identityapi(folder: Path, into: Path) -> Iterator[httpx.AsyncClient]:
    """identityapi over a copy of this folder's databases."""
    copytree(folder / "access", into)
    http = HttpConfig(burst=10**6, requests_per_s=1e6, strangers_burst=10**6, strangers_per_s=1e6, access_log=False)
    with ExitStack() as opened:
        application: Any = opened.enter_context(open_identityapi(into / "access.yaml", config=http, life=Life()))
        yield httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://identityapi.test")
