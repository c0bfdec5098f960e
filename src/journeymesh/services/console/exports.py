"""What a page shows, to take away as a file: the same API, asked for another format."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, get_args

from litestar import Request, get
from litestar.response import Response, Stream

from journeymesh.client.calls import EXPORTS, Format
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import STATUS
from journeymesh.services.console.rendering import page
from journeymesh.services.console.requests import session_of

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
PIECE_BYTES: Final = 256 << 10


def capability_for(form: str) -> str:
    """What the API asks of whoever takes journeys away in this format: lines of JSON are an answer like any other."""
    return "journeys:read" if form == "ndjson" else "journeys:export"


@get("/exports/journeys")
async def journeys(request: Request[Any, Any, Any]) -> Response[Any]:
    """A policy's journeys as a file, where the viewer may export them for the purpose; else why they may not."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    query = request.query_params
    purpose, number, form = viewer.chosen(query.get("purpose")), query.get("policy", ""), query.get("format", "csv")
    if form not in FORMATS or not number:
        return page(request, "problem.html", session=session, viewer=viewer, status=400, title="Not exported",
                    what="Name a policy and a format: " + ", ".join(FORMATS) + ".")  # fmt: skip
    needed = capability_for(form)
    if purpose is None or not viewer.may(needed, purpose):
        return page(request, "refused.html", session=session, viewer=viewer, purpose=purpose, status=403,
                    missing=None, refusal=viewer.refusal(needed, purpose))  # fmt: skip
    folder = tempfile.TemporaryDirectory(prefix="journeymesh-export-")
    path = Path(folder.name) / f"journeys.{form}"
    answer = await apis.panel(apis.of(session, purpose).export(number, path, format=form))
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


ROUTES = (journeys,)
