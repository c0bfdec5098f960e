"""Requests to an application in the test's own process, whose event loop is a thread's meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")


class AsgiClient(httpx.Client):
    """A client of this application. A context manager: the application lives as long as it does."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        super().__init__(transport=_Transport(self), base_url="http://testserver.local")

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._life = self.app.lifespan()
        self.run(self._life.__aenter__())
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.run(self._life.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, run in the application's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Transport(httpx.BaseTransport):
    def __init__(self, client: AsgiClient) -> None:
        self._client = client
        self._inner = httpx.ASGITransport(client.app, client=("testclient", 50_000))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._client.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        asked = httpx.Request(request.method, request.url, headers=request.headers.raw, content=content)
        answer = await self._inner.handle_async_request(asked)
        body = b"".join([piece async for piece in answer.stream])  # type: ignore[union-attr]
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(body), request=request
        )
