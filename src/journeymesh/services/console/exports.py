"""What a page shows, to take away as a file: the same API, asked for another format."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final, get_args

from litestar import Request, get
from litestar.response import Response, Stream

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.calls import EXPORTS, Format
from journeymesh.journeys.period_sums import Period
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import STATUS
from journeymesh.services.console.rendering import page
from journeymesh.services.console.requests import session_of

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
PIECE_BYTES: Final = 256 << 10
SUMMARY_CAPABILITY: Final = "summaries:read"
"""What the API asks of whoever takes summaries away, in any format."""


def capability_for(form: str) -> str:
    """What the API asks of whoever takes journeys away in this format: lines of JSON are an answer like any other."""
    return "journeys:read" if form == "ndjson" else "journeys:export"


@get("/exports/journeys")
async def journeys(request: Request[Any, Any, Any]) -> Response[Any]:
    """A policy's journeys as a file, where the viewer may export them for the purpose; else why they may not."""
    number = request.query_params.get("policy", "")
    needed = capability_for(_format(request))

    def write(asked: AsyncJourneymesh, path: Path, form: Format) -> Awaitable[int]:
        return asked.export(number, path, format=form)

    return await _file(request, "journeys", needed if number else None, write)


@get("/exports/summary")
async def summary(request: Request[Any, Any, Any]) -> Response[Any]:
    """A policy's summaries by period as a file, where the viewer may read them for the purpose."""
    number, wanted = request.query_params.get("policy", ""), request.query_params.get("period", "month")
    period: Period | None = next((each for each in get_args(Period) if each == wanted), None)

    def write(asked: AsyncJourneymesh, path: Path, form: Format) -> Awaitable[int]:
        return asked.export_summary(number, path, period or "month", format=form)

    return await _file(request, "summary", SUMMARY_CAPABILITY if number and period else None, write)


def _format(request: Request[Any, Any, Any]) -> str:
    return str(request.query_params.get("format", "csv"))


async def _file(
    request: Request[Any, Any, Any],
    name: str,
    needed: str | None,
    write: Callable[[AsyncJourneymesh, Path, Format], Awaitable[int]],
) -> Response[Any]:
    """The file that ``write`` writes. ``needed``: its capability; None: the question lacks something."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    purpose = viewer.chosen(request.query_params.get("purpose"))
    form = next((each for each in FORMATS if each == _format(request)), None)
    if form is None or needed is None:
        return page(request, "problem.html", session=session, viewer=viewer, status=400, title="Not exported",
                    what="Name a policy, a period and a format: " + ", ".join(FORMATS) + ".")  # fmt: skip
    if purpose is None or not viewer.may(needed, purpose):
        return page(request, "refused.html", session=session, viewer=viewer, purpose=purpose, status=403,
                    missing=None, refusal=viewer.refusal(needed, purpose))  # fmt: skip
    folder = tempfile.TemporaryDirectory(prefix="journeymesh-export-")
    path = Path(folder.name) / f"{name}.{form}"
    answer = await apis.panel(write(apis.of(session, purpose), path, form))
    if answer.missing is not None:
        folder.cleanup()
        reason = answer.missing.reason
        refusal = None if reason is None else viewer.refusal(needed, purpose, reason)
        return page(request, "refused.html", session=session, viewer=viewer, purpose=purpose, missing=answer.missing,
                    refusal=refusal, status=STATUS[answer.missing.kind])  # fmt: skip
    disposition = f'attachment; filename="{path.name}"'
    headers = {"cache-control": "no-store", "content-disposition": disposition, "content-type": EXPORTS[form]}
    return Stream(_pieces(path, folder), headers=headers, media_type=EXPORTS[form])


async def _pieces(path: Path, folder: tempfile.TemporaryDirectory[str]) -> AsyncIterator[bytes]:
    """The file in pieces; its folder goes when all is sent, or nobody takes it any more."""
    with folder, path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


ROUTES = (journeys, summary)
