"""What identityapi's routes answer from, and how they say what they need."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from litestar import Request
from litestar.response.base import ASGIResponse

from journeymesh.access.ports import Pseudonyms
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.contract import Contracts
from journeymesh.identity.identity import PLATFORM
from journeymesh.identity.providers import Providers
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointSigner
from journeymesh.ledger.port import AuditWriter
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.gate import BEARER_ONLY, Decisions, needs
from journeymesh.services.http.openapi import documents
from journeymesh.services.http.problems import NOT_FOUND, TOKEN_MISSING, TOO_MANY_REQUESTS, ProblemRaised

P = ParamSpec("P")
T = TypeVar("T")
PARTS: Final = "parts"
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,100}")
_JSON_HEADERS: Final = {"content-type": "application/json", "cache-control": "private, no-store"}


@dataclass(slots=True, kw_only=True)
class Parts:
    """What the routes answer from.

    - ``contracts``: of the data products, with the purposes that they speak of
    - ``writer`` and ``pseudonyms``: where steps of approvals are recorded, and as whom
    - ``signer`` and ``kept``: what signs checkpoints and where they are kept
    - ``cursors``: what seals where a listing goes on
    - ``threads``: where waiting for a database or a provider happens
    """

    providers: Providers
    decisions: Decisions
    contracts: Contracts
    approvals: ApprovalRecords
    audit: Audit
    writer: AuditWriter
    pseudonyms: Pseudonyms
    signer: CheckpointSigner
    kept: CheckpointFolder
    cursors: Cursors
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "identityapi"))

    async def in_thread(self, call: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """What the call gives, without the event loop waiting for it."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *args, **named))

    def close(self) -> None:
        """End the threads."""
        self.threads.shutdown(wait=True, cancel_futures=True)


def parts_of(request: Request[Any, Any, Any]) -> Parts:
    """The application's parts."""
    parts: Parts = request.app.state[PARTS]
    return parts


def id_of_path(request: Request[Any, Any, Any], name: str) -> str:
    """The id that the path names.

    Raises:
        ProblemRaised: it is no id of ours, so there is nothing of that id.
    """
    found: str = request.path_params[name]
    if not _ID.fullmatch(found):
        raise ProblemRaised(NOT_FOUND)
    return found


def guarded(capability: str, **told: Any) -> dict[str, Any]:
    """Keywords of a route that needs this capability of the platform and gives and takes what is told."""
    return needs(capability, product=PLATFORM, opt=documents(**told))


def for_bearer(**told: Any) -> dict[str, Any]:
    """Keywords of a route that needs a token that holds, and tells only of its bearer."""
    told["problems"] = (TOKEN_MISSING, TOO_MANY_REQUESTS, *told.get("problems", ()))
    return {"opt": {BEARER_ONLY: True, **documents(**told)}}


def answered(value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> ASGIResponse:
    """The value as a JSON answer that nobody keeps."""
    said = {**_JSON_HEADERS, **(headers or {})}
    return ASGIResponse(body=msgspec.json.encode(value), status_code=status, headers=said)
