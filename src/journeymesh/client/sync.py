"""The client for programs that wait for each answer."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from journeymesh.client import book_calls, calls, carrier, governed
from journeymesh.client.answers import Pages, Rows
from journeymesh.client.calls import Call, FixesTaken, Format, Instant, Product
from journeymesh.client.exchange import Outcome, Pause, Reply, Request, Send, Step, TokenWanted, Unanswered, exchange
from journeymesh.client.remembered import Remembered
from journeymesh.client.retries import Retries
from journeymesh.client.rows import Fix, Journey, ListedPolicy, Summary
from journeymesh.client.tokens import HeldToken, Token
from journeymesh.journeys.summaries import Period

T = TypeVar("T")


class Journeymesh:
    """journeyapi and identityapi for Python. Safe for several threads; close it, or use it in a ``with`` block.

    - ``url``: the service's, or the gateway's before both; ``identity_url``: identityapi's where it is another
    - ``token``: a bearer token, or a function that returns one: it is called again shortly before the token expires
      and when the service refuses it
    - ``purpose``: why the data is used, one that is approved for the product
    - ``timeout_s``: for each part of an exchange (send, wait, receive); ``connect_s``: for the connection
    - ``remember_bytes``: answers kept in memory with their ETag, so that what did not change is not sent again;
      0: none. The service decides on every request all the same.
    - ``plain_http``: allow a token over http:// to other machines, where the network itself encrypts

    Every call raises ``ApiError`` (journeymesh.client.errors) where the service refuses or does not answer.

    Raises:
        UsageError: a URL is none, or would send the token in the clear. ExtraMissing: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
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
        self._http = self._httpx.Client(**carrier.settings(timeout_s, connect_s), transport=transport)
        self._purpose = purpose
        self._retries = retries or Retries()
        self._remembered = Remembered(remember_bytes)
        self._token, self._held, self._asking = token, HeldToken(), threading.Lock()

    def for_purpose(self, purpose: str | None) -> Journeymesh:
        """The same client, connections and token, for another purpose."""
        other = copy.copy(self)
        other._purpose = purpose
        return other

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._http.close()

    def __enter__(self) -> Journeymesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- journeyapi ------------------------------------------------------------------------------------------------

    def journeys(
        self,
        policy: str,
        since: Instant | None = None,
        until: Instant | None = None,
        fields: Sequence[str] | None = None,
        *,
        page_size: int | None = None,
    ) -> Pages[Journey]:
        """A policy's journeys that start in ``[since, until)``, oldest first. Pages are asked for as they are read.

        Raises:
            UsageError: a journey has no such field, or an instant has no time zone.
        """
        fields = tuple(fields) if fields is not None else None
        calls.journeys(policy, since, until, fields, page_size, self._purpose, None)  # a wrong call fails here
        return Pages(
            lambda after: self._ask(calls.journeys(policy, since, until, fields, page_size, self._purpose, after))
        )

    def export(
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
                self._ask(calls.export(policy, since, until, format, self._purpose, into))
                size = into.tell()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    def summary(
        self, policy: str, period: Period = "month", since: Instant | None = None, until: Instant | None = None
    ) -> Rows[Summary]:
        """What a policy's journeys add up to in each day, week, month or term, oldest first."""
        return self._ask(calls.summary(policy, period, since, until, self._purpose))

    def policies(
        self, product: str | None = None, status: str | None = None, *, page_size: int | None = None
    ) -> Pages[ListedPolicy]:
        """The policies that the caller may know for the purpose, by number. Pages are asked for as they are read."""
        return Pages(lambda after: self._ask(book_calls.policies(product, status, page_size, self._purpose, after)))

    def summaries(
        self,
        period: Period = "month",
        since: Instant | None = None,
        until: Instant | None = None,
        *,
        product: str | None = None,
        status: str | None = None,
        page_size: int | None = None,
    ) -> Pages[Summary]:
        """What the journeys of all policies that the caller may know add up to, by policy and period.

        Raises:
            UsageError: an instant has no time zone.
        """
        chosen = (period, since, until, product, status, page_size, self._purpose)
        book_calls.summaries(*chosen, None)  # a wrong call fails here
        return Pages(lambda after: self._ask(book_calls.summaries(*chosen, after)))

    def top(
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
        return self._ask(call)

    def export_summaries(
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
                self._ask(book_calls.export_summaries(*chosen, into))
                size = into.tell()
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return size

    def journey(self, journey_id: str) -> Journey:
        """One journey; the id of one that a late fix replaced leads to its successor."""
        return self._ask(calls.journey(journey_id, self._purpose))

    def track(self, journey_id: str) -> Rows[Fix]:
        """Where a journey went, fix by fix, as far as its fixes are kept."""
        return self._ask(calls.track(journey_id, self._purpose))

    def product(self) -> Product:
        """The data product: contract, freshness, quality."""
        return self._ask(calls.product())

    def put_fixes(self, fixes: Any, idempotency_key: str | None = None) -> FixesTaken:
        """Hand in fixes: an Arrow table, a Polars or pandas frame, or rows.

        Without a key the batch's digest is its key, so the same batch counts once however often it is sent.

        Raises:
            UsageError: they are no fixes.
        """
        return self._ask(calls.put_fixes(fixes, idempotency_key, self._purpose))

    # --- identityapi -----------------------------------------------------------------------------------------------

    def me(self) -> governed.Me:
        """Who the token's bearer is."""
        return self._ask(governed.me())

    def capabilities(self, product: str = governed.JOURNEYS_PRODUCT) -> governed.Capabilities:
        """What the token's bearer is capable of with a product."""
        return self._ask(governed.capabilities(product))

    def purposes(self) -> list[governed.Purpose]:
        """The tree of purposes."""
        return self._ask(governed.purposes())

    def approvals(
        self, product: str | None = None, purpose: str | None = None, state: str | None = None
    ) -> Iterator[governed.Approval]:
        """The approvals of the caller's tenant, the newest request first. Pages are asked for as they are read."""
        after: str | None = None
        while True:
            page = self._ask(governed.approvals(product, purpose, state, after))
            yield from page.items
            if (after := page.next) is None:
                return

    def approval(self, approval_id: str) -> governed.ApprovalTold:
        """One approval with its history."""
        return self._ask(governed.approval(approval_id))

    def request_approval(
        self,
        purpose: str,
        *,
        domain: str,
        reason: str,
        product: str = governed.JOURNEYS_PRODUCT,
        valid_to: datetime | None = None,
    ) -> governed.Approval:
        """Ask that a domain of the caller's may use a product for a purpose. The caller is the requester."""
        return self._ask(governed.request_approval(purpose, domain, reason, product, valid_to))

    def approve(self, approval_id: str, why: str) -> governed.Approval:
        """Approve, as an approver that the product's contract names and who is not the requester."""
        return self._ask(governed.step(approval_id, "approve", why))

    def reject(self, approval_id: str, why: str) -> governed.Approval:
        """Reject, as an approver."""
        return self._ask(governed.step(approval_id, "reject", why))

    def acknowledge(self, approval_id: str, why: str = "") -> governed.Approval:
        """Accept the obligations, for the domain that asked. From then on the approval counts."""
        return self._ask(governed.step(approval_id, "acknowledge", why))

    def revoke(self, approval_id: str, why: str) -> governed.Approval:
        """Revoke, as an approver. Within a second it counts nowhere."""
        return self._ask(governed.step(approval_id, "revoke", why))

    def decide(self, ask: governed.Ask) -> governed.Decision:
        """A decision, as a service or gateway asks for it. A denial is an answer, not an error."""
        return self._ask(governed.decide(ask))

    def decide_each(self, asks: Sequence[governed.Ask]) -> list[governed.Decision]:
        """Several decisions, in the order of the asks."""
        return self._ask(governed.decide_each(asks))

    def explain(self, decision_id: str) -> dict[str, Any]:
        """Why a decision was made."""
        return self._ask(governed.explain(decision_id))

    def providers(self) -> list[governed.Provider]:
        """The identity providers and how they are doing."""
        return self._ask(governed.providers())

    def audit(self, kind: str | None = None, *, page_size: int | None = None) -> Iterator[governed.AuditEntry]:
        """The audit's records, oldest first. Pages are asked for as they are read."""
        after: str | None = None
        while True:
            page = self._ask(governed.audit(after, page_size, kind))
            yield from page.items
            if (after := page.next) is None:
                return

    def checkpoint_audit(self) -> dict[str, Any]:
        """Sign the heads of all chains and keep the signature elsewhere."""
        return self._ask(governed.audit_step("checkpoint"))

    def verify_audit(self) -> dict[str, Any]:
        """Verify all chains; the first bad record is named."""
        return self._ask(governed.audit_step("verify"))

    # --- how a call is carried out ---------------------------------------------------------------------------------

    def _ask(self, call: Call[T]) -> T:
        steps = exchange(call.request, self._retries, self._remembered)
        outcome: Outcome = None
        while True:
            try:
                step: Step = steps.send(outcome)
            except StopIteration as end:
                return call.read(end.value)
            match step:
                case TokenWanted():
                    outcome = self._a_token(step.refused)
                case Pause():
                    time.sleep(step.seconds)
                    outcome = None
                case Send():
                    outcome = self._send(step)

    def _a_token(self, refused: str | None) -> str | None:
        if self._token is None or isinstance(self._token, str):
            return self._token
        with self._asking:
            return self._held.current(refused) or self._held.hold(self._token())

    def _send(self, step: Send) -> Reply | Unanswered:
        request: Request = step.request
        try:
            with self._http.stream(**carrier.arguments(step, self._bases)) as answer:
                if not carrier.goes_elsewhere(request, answer):
                    return carrier.reply_of(answer, answer.read())
                assert request.into is not None
                carrier.start_over(request)
                for piece in answer.iter_bytes():
                    request.into.write(piece)
                return carrier.reply_of(answer, b"")
        except self._httpx.TransportError as error:
            return carrier.unanswered(error)
        except self._httpx.DecodingError:
            return Unanswered("the answer's encoding is broken", left=True)
