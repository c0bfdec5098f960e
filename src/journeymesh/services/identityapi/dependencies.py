"""What identityapi's routes answer from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, ParamSpec, Protocol, TypeVar

import msgspec

from journeymesh.access.decision import Offer
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.contract import Contracts
from journeymesh.identity.providers import Providers
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.checkpoints import CheckpointFolder, CheckpointSigner
from journeymesh.ledger.port import AuditWriter
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.services.http.answers import ReadyAnswer, json_answer
from journeymesh.services.http.cursors import Cursors
from journeymesh.services.http.gate import Decisions
from journeymesh.services.http.problems import NOT_FOUND, ProblemRaised
from journeymesh.services.http.requests import HttpRequest

P = ParamSpec("P")
T = TypeVar("T")
DEPENDENCIES: Final = "dependencies"
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,100}")
_NOT_KEPT: Final = {"cache-control": "private, no-store"}


class DecisionsAndOffers(Decisions, Protocol):
    """Who decides, and says what would be decided."""

    def offers(self, token: str, product: str) -> list[Offer]:
        """What would be decided now for each capability of the product and each purpose of its contract.

        Raises:
            TokenRefused, ProviderUnavailable.
        """


@dataclass(slots=True, kw_only=True)
class IdentityDependencies:
    """What the routes answer from.

    - ``contracts``: of the data products, with the purposes that they speak of
    - ``steps_of``: how many steps a tenant's approvals have had, from memory
    - ``writer`` and ``pseudonyms``: where steps of approvals are recorded, and as whom
    - ``signer`` and ``kept``: what signs checkpoints and where they are kept
    - ``cursors``: what seals where a listing goes on
    - ``threads``: where waiting for a database or a provider happens
    """

    providers: Providers
    decisions: DecisionsAndOffers
    contracts: Contracts
    approvals: ApprovalRecords
    steps_of: Callable[[str], int]
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


def dependencies_of(request: HttpRequest) -> IdentityDependencies:
    """The application's dependencies."""
    deps: IdentityDependencies = request.state[DEPENDENCIES]
    return deps


def id_of_path(request: HttpRequest, name: str) -> str:
    """The id that the path names.

    Raises:
        ProblemRaised: it is no id of ours, so there is nothing of that id.
    """
    found: str = request.path_params[name]
    if not _ID.fullmatch(found):
        raise ProblemRaised(NOT_FOUND)
    return found


def answered(value: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None) -> ReadyAnswer:
    """The value as a JSON answer that nobody keeps."""
    return json_answer(msgspec.json.encode(value), {**_NOT_KEPT, **(headers or {})}, status)
