"""The client for programs that await answers: what ``Journeymesh`` is, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from types import TracebackType
from typing import TypeVar

from journeymesh.client import carrier
from journeymesh.client.answers import AsyncPages, Rows
from journeymesh.client.asking import Client, Steps
from journeymesh.client.calls import Call, Export, Listing, Page
from journeymesh.client.exchange import Outcome, Pause, Reply, Send, TokenWanted, Unanswered
from journeymesh.client.methods import Awaited
from journeymesh.client.rows import Row
from journeymesh.client.tokens import AsyncToken

T = TypeVar("T")


class AsyncJourneymesh(Client[AsyncToken], Awaited):
    """``Journeymesh`` for an event loop: the same calls, awaited. Use it in one loop; close it, or use ``async with``.

    It is made as ``Journeymesh`` is; ``token`` may also be a function whose result is awaited.

    Raises:
        UsageError: a URL is none, or would send the token in the clear. ExtraMissing: httpx is not installed.
    """

    _httpx_client = "AsyncClient"
    _lock = staticmethod(asyncio.Lock)

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncJourneymesh:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _answer(self, call: Call[T]) -> T:
        return await self._run(self._steps(call))

    async def _export(self, export: Export) -> int:
        return await self._run(self._export_steps(export))

    def _rows(self, listing: Listing[Rows[Row]]) -> AsyncPages[Row]:
        return AsyncPages(lambda after: self._answer(listing.page(after)))

    async def _items(self, listing: Listing[Page[T]]) -> AsyncIterator[T]:
        after: str | None = None
        while True:
            page = await self._answer(listing.page(after))
            for item in page.items:
                yield item
            if (after := page.next) is None:
                return

    async def _run(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        with closing(steps):  # a fault that is not the exchange's own ends it too, and what it has open
            while True:
                try:
                    step = steps.send(outcome)
                except StopIteration as end:
                    answer: T = end.value
                    return answer
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
        request = step.request
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
