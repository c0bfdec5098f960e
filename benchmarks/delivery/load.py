"""A constant load of many users: so many requests begin each second, however long the answers take.

A request that is not answered as expected is a failed one: another status, a broken connection, no answer in time.
Time counts from when a request was due, so that a stall is seen by everybody who would have waited in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import statistics
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import h11
import httpx

TIMEOUT_S = 10.0
CONNECTIONS = 128
"""A request that finds none free waits, and the wait is part of its time."""

Headers = Callable[[], Awaitable[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of request. ``expected``: the only status that is none of a failure."""

    path: str
    expected: int = 200
    headers: Headers | None = None


@dataclass(slots=True)
class Answers:
    """What came of the requests so far."""

    began: float = 0.0
    ended: float = 0.0
    asked: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    failed_at: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def per_s(self) -> float:
        return self.asked / (self.ended - self.began) if self.ended > self.began else 0.0

    def p(self, percent: int) -> float:
        """A percentile of the latency, in ms."""
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1] if len(self.latencies_ms) > 1 else 0.0

    def __str__(self) -> str:
        told = "; ".join(f"{count} × {what}" for what, count in self.failures.most_common(4))
        return (
            f"{self.asked:,} requests at {self.per_s:.0f}/s, {self.failed} failed{f' ({told})' if told else ''}, "
            f"p50 {self.p(50):.0f} ms, p99 {self.p(99):.0f} ms"
        )


class Users:
    """Connections that are kept, one for each request under way. A few lines of h11: the machine is the service's."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._host, self._port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
        self._tls = ssl._create_unverified_context() if url.scheme == "https" else None
        self._idle: list[tuple[h11.Connection, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def get(self, path: str, headers: dict[str, str]) -> int:
        """The answer's status, once the whole answer is there.

        Raises:
            OSError, h11.ProtocolError: the connection broke.
        """
        link, reader, writer = self._open() or await self._connected()
        try:
            named = [("Host", f"{self._host}:{self._port}"), *headers.items()]
            request = h11.Request(method="GET", target=path, headers=named)
            writer.write((link.send(request) or b"") + (link.send(h11.EndOfMessage()) or b""))
            status = await self._answered(link, reader)
            link.start_next_cycle()
        except BaseException:
            writer.close()
            raise
        self._idle.append((link, reader, writer))
        return status

    def _open(self) -> tuple[h11.Connection, asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that the server has not closed meanwhile, as it does with those that were idle for long."""
        while self._idle:
            link, reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return link, reader, writer
            writer.close()
        return None

    async def _connected(self) -> tuple[h11.Connection, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return h11.Connection(our_role=h11.CLIENT), reader, writer

    async def _answered(self, link: h11.Connection, reader: asyncio.StreamReader) -> int:
        status = 0
        while True:
            event: Any = link.next_event()
            if event is h11.NEED_DATA:
                link.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                return status
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError

    def leave(self) -> None:
        for _, _, writer in self._idle:
            with contextlib.suppress(OSError):
                writer.close()


class Load:
    """A load that runs beside an experiment, in a thread of its own, from ``with`` to its end."""

    def __init__(self, base_url: str, asks: Sequence[Ask], per_s: float) -> None:
        self.base_url, self.asks, self.per_s = base_url, asks, per_s
        self.answers = Answers()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=TIMEOUT_S + 5)

    async def _run(self) -> None:
        users, free = Users(self.base_url), asyncio.Semaphore(CONNECTIONS)
        under_way: set[asyncio.Task[None]] = set()
        began = self.answers.began = time.monotonic()
        for number, ask in enumerate(itertools.cycle(self.asks)):
            due = began + number / self.per_s
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            if self._stop.is_set():
                break
            task = asyncio.create_task(self._ask(users, free, ask, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way, return_exceptions=True)
        self.answers.ended = time.monotonic()
        users.leave()

    async def _ask(self, users: Users, free: asyncio.Semaphore, ask: Ask, due: float) -> None:
        try:
            headers = await ask.headers() if ask.headers else {}
            async with asyncio.timeout(due + TIMEOUT_S - time.monotonic()), free:
                status = await users.get(ask.path, headers)
        except (OSError, TimeoutError, httpx.HTTPError, h11.ProtocolError) as error:
            self._fail(f"{type(error).__name__} {ask.path.partition('?')[0]}")
            return
        self.answers.asked += 1
        self.answers.ended = time.monotonic()
        self.answers.latencies_ms.append((self.answers.ended - due) * 1e3)
        if status != ask.expected:
            self._fail(f"{status} {ask.path.partition('?')[0]}", counted=True)

    def _fail(self, what: str, *, counted: bool = False) -> None:
        self.answers.asked += 0 if counted else 1
        self.answers.failures[what] += 1
        self.answers.failed_at.append(time.monotonic())


class Tokens:
    """Headers with a machine client's token, renewed before it ends."""

    def __init__(self, token_url: str, client_id: str, secret: str, purpose: str = "") -> None:
        self._url, self._form = token_url, {"grant_type": "client_credentials", "client_id": client_id}
        self._form["client_secret"] = secret
        self._others = {"Data-Purpose": purpose} if purpose else {}
        self._held: dict[str, str] = {}
        self._until = 0.0
        self._renewing: asyncio.Lock | None = None

    async def headers(self) -> dict[str, str]:
        """What opens the door now."""
        if time.monotonic() > self._until:
            self._renewing = self._renewing or asyncio.Lock()
            async with self._renewing:
                if time.monotonic() > self._until:
                    await self._renew()
        return self._held

    async def _renew(self) -> None:
        async with httpx.AsyncClient(verify=False, timeout=20) as client:
            answer = await client.post(self._url, data=self._form)
        answer.raise_for_status()
        held = answer.json()
        self._held = {"Authorization": f"Bearer {held['access_token']}"} | self._others
        self._until = time.monotonic() + max(held.get("expires_in", 60) / 2, 10)
