"""The client for programs that wait for each answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import TracebackType
from typing import TypeVar

from journeymesh.client import carrier
from journeymesh.client.answers import Pages, Rows
from journeymesh.client.asking import Client, Steps
from journeymesh.client.calls import Call, Export, Listing, Page
from journeymesh.client.exchange import Outcome, Pause, Reply, Send, TokenWanted, Unanswered
from journeymesh.client.methods import Waiting
from journeymesh.client.rows import Row
from journeymesh.client.tokens import Token

T = TypeVar("T")


class Journeymesh(Client[Token], Waiting):
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

    _httpx_client = "Client"
    _lock = staticmethod(threading.Lock)

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._http.close()

    def __enter__(self) -> Journeymesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, call: Call[T]) -> T:
        return self._run(self._steps(call))

    def _export(self, export: Export) -> int:
        return self._run(self._export_steps(export))

    def _rows(self, listing: Listing[Rows[Row]]) -> Pages[Row]:
        return Pages(lambda after: self._answer(listing.page(after)))

    def _items(self, listing: Listing[Page[T]]) -> Iterator[T]:
        after: str | None = None
        while True:
            page = self._answer(listing.page(after))
            yield from page.items
            if (after := page.next) is None:
                return

    def _run(self, steps: Steps[T]) -> T:
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
        request = step.request
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
