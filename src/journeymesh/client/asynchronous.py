"""The client for programs that await answers: what ``Journeymesh`` is, for an event loop."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from journeymesh.client import book_calls, calls, carrier, governed
from journeymesh.client.answers import AsyncPages, Rows
from journeymesh.client.calls import Call, FixesTaken, Format, Instant, Product
from journeymesh.client.exchange import Outcome, Pause, Reply, Request, Send, Step, TokenWanted, Unanswered, exchange
from journeymesh.client.remembered import Remembered
from journeymesh.client.retries import Retries
from journeymesh.client.rows import Fix, Journey, ListedPolicy, Summary
from journeymesh.client.tokens import AsyncToken, HeldToken
from journeymesh.journeys.summaries import Period

T = TypeVar("T")


class AsyncJourneymesh:
    """``Journeymesh`` for an event loop: the same calls, awaited. Use it in one loop; close it, or use ``async with``.

    It is made as ``Journeymesh`` is; ``token`` may also be a function whose result is awaited.

    Raises:
        UsageError: a URL is none, or would send the token in the clear. ExtraMissing: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: AsyncToken = None,
        purpose: str | None = None,
        identity_url: str | None = None,
        timeout_s: float = 30.0,
        connect_s: float = 5.0,
        retries: Retries | None = None,
        remember_bytes: int = carrier.REMEMBERED_BYTES,
        plain_http: bool = False,
        transport: Any = None,
    ) -> None:
        self._bases = carrier.addresses(url, identity_url, plain_http=plain_http)
        self._httpx = carrier.require_httpx()
        self._http = self._httpx.AsyncClient(**carrier.settings(timeout_s, connect_s), transport=transport)
        self._purpose = purpose
        self._retries = retries or Retries()
        self._remembered = Remembered(remember_bytes)
        self._token, self._held, self._asking = token, HeldToken(), asyncio.Lock()

    def for_purpose(self, purpose: str | None) -> AsyncJourneymesh:
        """The same client, connections and token, for another purpose."""
        other = copy.copy(self)
        other._purpose = purpose
        return other

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncJourneymesh:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- journeyapi ------------------------------------------------------------------------------------------------

    def journeys(
        self,
        policy: str,
        since: Instant | None = None,
        until: Instant | None = None,
        fields: Sequence[str] | None = None,
        *,
        page_size: int | None = None,
    ) -> AsyncPages[Journey]:
        """A policy's journeys that start in ``[since, until)``, oldest first. Pages are asked for as they are read.

        Raises:
            UsageError: a journey has no such field, or an instant has no time zone.
        """
        fields = tuple(fields) if fields is not None else None
        calls.journeys(policy, since, until, fields, page_size, self._purpose, None)  # a wrong call fails here
        return AsyncPages(
            lambda after: self._ask(calls.journeys(policy, since, until, fields, page_size, self._purpose, after))
        )

    async def export(
        self,
        policy: str,
        path: str | os.PathLike[str],
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        format: Format = "parquet",
    ) -> int:
        """Write a policy's journeys into a file and return its bytes. On any fault the file is not there."""
        part = Path(f"{os.fspath(path)}.part")
        try:
            with part.open("w+b") as into:
                await self._ask(calls.export(policy, since, until, format, self._purpose, into))
                size = into.tell()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    async def summary(
        self, policy: str, period: Period = "month", since: Instant | None = None, until: Instant | None = None
    ) -> Rows[Summary]:
        """What a policy's journeys add up to in each day, week, month or term, oldest first."""
        return await self._ask(calls.summary(policy, period, since, until, self._purpose))

    def policies(
        self, product: str | None = None, status: str | None = None, *, page_size: int | None = None
    ) -> AsyncPages[ListedPolicy]:
        """The policies that the caller may know for the purpose, by number. Pages are asked for as they are read."""
        return AsyncPages(
            lambda after: self._ask(book_calls.policies(product, status, page_size, self._purpose, after))
        )

    def summaries(
        self,
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Summary]:
        """What the journeys of all policies that the caller may know add up to, by policy and period.

        Raises:
            UsageError: an instant has no time zone.
        """
        chosen = (period, since, until, product, status, page_size, self._purpose)
        book_calls.summaries(*chosen, None)  # a wrong call fails here
        return AsyncPages(lambda after: self._ask(book_calls.summaries(*chosen, after)))

    async def top(
        self,
        by: str,
        count: int = 10,
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        lowest: bool = False,
    ) -> Rows[Summary]:
        """The summaries with the highest value of a field among all policies that the caller may know.

        Raises:
            UsageError: a summary has no such field, or ``count`` is not from 1 to 1,000.
        """
        call = book_calls.top(by, count, period, since, until, product, status, lowest, self._purpose)
        return await self._ask(call)

    async def export_summaries(
        self,
        path: str | os.PathLike[str],
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        format: Format = "parquet",
    ) -> int:
        """Write those summaries into a file and return its bytes. On any fault the file is not there."""
        part = Path(f"{os.fspath(path)}.part")
        try:
            with part.open("w+b") as into:
                chosen = (period, since, until, product, status, format, self._purpose)
                await self._ask(book_calls.export_summaries(*chosen, into))
                size = into.tell()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    async def journey(self, journey_id: str) -> Journey:
        """One journey; the id of one that a late fix replaced leads to its successor."""
        return await self._ask(calls.journey(journey_id, self._purpose))

    async def track(self, journey_id: str) -> Rows[Fix]:
        """Where a journey went, fix by fix, as far as its fixes are kept."""
        return await self._ask(calls.track(journey_id, self._purpose))

    async def product(self) -> Product:
        """The data product: contract, freshness, quality."""
        return await self._ask(calls.product())

    async def put_fixes(self, fixes: Any, idempotency_key: str | None = None) -> FixesTaken:
        """Hand in fixes: an Arrow table, a Polars or pandas frame, or rows.

        Without a key the batch's digest is its key, so the same batch counts once however often it is sent.

        Raises:
            UsageError: they are no fixes.
        """
        return await self._ask(calls.put_fixes(fixes, idempotency_key, self._purpose))

    # --- identityapi -----------------------------------------------------------------------------------------------

    async def me(self) -> governed.Me:
        """Who the token's bearer is."""
        return await self._ask(governed.me())

    async def capabilities(self, product: str = governed.JOURNEYS_PRODUCT) -> governed.Capabilities:
        """What the token's bearer is capable of with a product."""
        return await self._ask(governed.capabilities(product))

    async def purposes(self) -> list[governed.Purpose]:
        """The tree of purposes."""
        return await self._ask(governed.purposes())

    async def approvals(
        self, product: str | None = None, purpose: str | None = None, state: str | None = None
    ) -> AsyncIterator[governed.Approval]:
        """The approvals of the caller's tenant, the newest request first. Pages are asked for as they are read."""
        after: str | None = None
        while True:
            page = await self._ask(governed.approvals(product, purpose, state, after))
            for approval in page.items:
                yield approval
            if (after := page.next) is None:
                return

    async def approval(self, approval_id: str) -> governed.ApprovalTold:
        """One approval with its history."""
        return await self._ask(governed.approval(approval_id))

    async def request_approval(
        self,
        purpose: str,
        *,
        domain: str,
        reason: str,
        product: str = governed.JOURNEYS_PRODUCT,
        valid_to: datetime | None = None,
    ) -> governed.Approval:
        """Ask that a domain of the caller's may use a product for a purpose. The caller is the requester."""
        return await self._ask(governed.request_approval(purpose, domain, reason, product, valid_to))

    async def approve(self, approval_id: str, why: str) -> governed.Approval:
        """Approve, as an approver that the product's contract names and who is not the requester."""
        return await self._ask(governed.step(approval_id, "approve", why))

    async def reject(self, approval_id: str, why: str) -> governed.Approval:
        """Reject, as an approver."""
        return await self._ask(governed.step(approval_id, "reject", why))

    async def acknowledge(self, approval_id: str, why: str = "") -> governed.Approval:
        """Accept the obligations, for the domain that asked. From then on the approval counts."""
        return await self._ask(governed.step(approval_id, "acknowledge", why))

    async def revoke(self, approval_id: str, why: str) -> governed.Approval:
        """Revoke, as an approver. Within a second it counts nowhere."""
        return await self._ask(governed.step(approval_id, "revoke", why))

    async def decide(self, ask: governed.Ask) -> governed.Decision:
        """A decision, as a service or gateway asks for it. A denial is an answer, not an error."""
        return await self._ask(governed.decide(ask))

    async def decide_each(self, asks: Sequence[governed.Ask]) -> list[governed.Decision]:
        """Several decisions, in the order of the asks."""
        return await self._ask(governed.decide_each(asks))

    async def explain(self, decision_id: str) -> dict[str, Any]:
        """Why a decision was made."""
        return await self._ask(governed.explain(decision_id))

    async def providers(self) -> list[governed.Provider]:
        """The identity providers and how they are doing."""
        return await self._ask(governed.providers())

    async def audit(
        self, kind: str | None = None, *, page_size: int | None = None
    ) -> AsyncIterator[governed.AuditEntry]:
        """The audit's records, oldest first. Pages are asked for as they are read."""
        after: str | None = None
        while True:
            page = await self._ask(governed.audit(after, page_size, kind))
            for entry in page.items:
                yield entry
            if (after := page.next) is None:
                return

    async def checkpoint_audit(self) -> dict[str, Any]:
        """Sign the heads of all chains and keep the signature elsewhere."""
        return await self._ask(governed.audit_step("checkpoint"))

    async def verify_audit(self) -> dict[str, Any]:
        """Verify all chains; the first bad record is named."""
        return await self._ask(governed.audit_step("verify"))

    # --- how a call is carried out ---------------------------------------------------------------------------------

    async def _ask(self, call: Call[T]) -> T:
        steps = exchange(call.request, self._retries, self._remembered)
        outcome: Outcome = None
        while True:
            try:
                step: Step = steps.send(outcome)
            except StopIteration as end:
                return call.read(end.value)
            match step:
                case TokenWanted():
                    outcome = await self._a_token(step.refused)
                case Pause():
                    await asyncio.sleep(step.seconds)
                    outcome = None
                case Send():
                    outcome = await self._send(step)

    async def _a_token(self, refused: str | None) -> str | None:
        if self._token is None or isinstance(self._token, str):
            return self._token
        async with self._asking:
            if (held := self._held.current(refused)) is not None:
                return held
            given = self._token()
            return self._held.hold(given if isinstance(given, str) else await given)

    async def _send(self, step: Send) -> Reply | Unanswered:
        request: Request = step.request
        try:
            async with self._http.stream(**carrier.arguments(step, self._bases)) as answer:
                if not carrier.goes_elsewhere(request, answer):
                    return carrier.reply_of(answer, await answer.aread())
                assert request.into is not None
                carrier.start_over(request)
                async for piece in answer.aiter_bytes():
                    request.into.write(piece)
                return carrier.reply_of(answer, b"")
        except self._httpx.TransportError as error:
            return carrier.unanswered(error)
        except self._httpx.DecodingError:
            return Unanswered("the answer's encoding is broken", left=True)
