"""Live updates: who is told of what, how many at once, and until when."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from journeymesh.services.console import live as live_module
from journeymesh.services.console.streams import Streams
from tests.support.console_served import CONSOLE, Browser, World, console_served

HEADERS = {"sec-fetch-site": "same-origin", "accept": "text/event-stream"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A console that looks often and tells few pages at once."""
    folder = tmp_path_factory.mktemp("live")
    with console_served(folder, live_every_s=0.1, streams=4, streams_per_session=2) as made:
        yield made


class Stream:
    """A stream as a browser reads it. httpx's ASGI transport waits for the end of an answer, so this calls the
    application itself."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.gone = asyncio.Event()
        self.news = asyncio.Event()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message.get("body", b"").decode()
        self.news.set()

    async def receive(self) -> Any:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def until(self, words: str, within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while words not in self.text:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def opened(world: World, browser: Browser, query: str, **headers: str) -> AsyncIterator[Stream]:
    stream = Stream()
    cookies = "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    given = {**HEADERS, "host": "console.test", "cookie": cookies, **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/live", "raw_path": b"/live", "root_path": "", "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("console.test", 80), "state": {}, "extensions": {},
    }  # fmt: skip
    answering = asyncio.ensure_future(world.app(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        stream.gone.set()
        await asyncio.wait_for(answering, 10)


def address(browser: Browser, page: str = "/") -> str:
    """What the page's own stream is called."""
    return browser.get(page).text.partition('hx-sse:connect="/live?')[2].partition('"')[0].replace("&amp;", "&")


def streams(world: World) -> Streams:
    found: Streams = world.app.state["streams"]
    return found


def test_a_page_is_told_when_an_approval_begins_and_when_it_ends(watched: World) -> None:
    browser = watched.browser("analyst")
    query = address(browser)

    async def told(act: Any) -> float:
        async with opened(watched, browser, query) as stream:
            await stream.until("event: ready")
            assert "event: changed" not in stream.text
            began_s = time.monotonic()
            await act()
            await stream.until("event: changed")
            return time.monotonic() - began_s

    made: dict[str, str] = {}

    async def step(by: str, path: str, body: Any) -> None:
        async with live_client(watched, by) as client:
            answer = await client.post(path, json=body)
            assert answer.status_code in (200, 201), answer.text
            made.update(answer.json())

    async def approve() -> None:
        await step("analyst", "/v1/approvals", {"purpose": "pricing", "domain": "pricing", "reason": "a test"})
        await step("privacy-officer", f"/v1/approvals/{made['id']}:approve", {"why": "agreed"})
        await step("analyst", f"/v1/approvals/{made['id']}:acknowledge", {"why": "agreed"})

    async def revoke() -> None:
        await step("privacy-officer", f"/v1/approvals/{made['id']}:revoke", {"why": "over"})

    watched.run(told(approve))
    query = address(browser)
    assert watched.run(told(revoke)) <= 2.0
    assert len(streams(watched)) == 0


@asynccontextmanager
async def live_client(world: World, who: str) -> AsyncIterator[Any]:
    import httpx

    headers = {"authorization": f"Bearer {world.token(who)}"}
    async with httpx.AsyncClient(transport=world.network, base_url="http://identityapi.test", headers=headers) as one:
        yield one


def test_a_page_that_is_older_than_a_change_is_told_at_once(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser).partition("&state=")[0]

    async def told(last: str) -> str:
        async with opened(watched, browser, query, **{"last-event-id": last}) as stream:
            await stream.until("data:")
            return stream.text

    assert "event: changed" in watched.run(told("0123456789abcdef"))
    state = address(browser).partition("state=")[2]
    assert "event: ready" in watched.run(told(state))


def test_a_stream_ends_with_its_session(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> str:
        async with opened(watched, browser, query) as stream:
            await stream.until("event: ready")
            sent = {"form_token": token}
            await browser.client.post("/sign-out", data=sent, headers={"origin": CONSOLE})
            await stream.until("event: ended")
            return stream.text

    token = browser.form_token()
    cookies = dict(browser.client.cookies)
    assert watched.run(told()).rstrip().endswith("data:")
    browser.client.cookies.update(cookies)
    assert status_of(watched, browser, query) == 401


def status_of(world: World, browser: Browser, query: str, **headers: str) -> int:
    async def first() -> int:
        async with opened(world, browser, query, **headers) as stream:
            await stream.until("event: ")
            return stream.status

    found: int = world.run(first())
    return found


def test_the_stream_of_another_session_is_refused(watched: World) -> None:
    mine, others = watched.browser("bare"), watched.browser("analyst")
    assert status_of(watched, mine, address(mine)) == 200
    assert status_of(watched, mine, address(others)) == 403
    assert status_of(watched, mine, "") == 403
    assert status_of(watched, watched.browser(), address(others)) == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_sites_page_gets_no_stream(watched: World, site: str) -> None:
    browser = watched.browser("bare")
    assert status_of(watched, browser, address(browser), **{"sec-fetch-site": site}) == 403


def test_streams_are_bounded_by_session_and_in_all(watched: World) -> None:
    mine, others, third = (watched.browser(who) for who in ("bare", "analyst", "auditor"))
    queries = {id(each): address(each) for each in (mine, others, third)}

    async def together() -> list[int]:
        found = []
        async with opened(watched, mine, queries[id(mine)]) as a, opened(watched, mine, queries[id(mine)]) as b:
            await a.until("ready")
            await b.until("ready")
            async with opened(watched, mine, queries[id(mine)]) as third_of_mine:
                await third_of_mine.until("event: busy")
                found.append(third_of_mine.status)
            async with (
                opened(watched, others, queries[id(others)]) as c,
                opened(watched, others, queries[id(others)]) as d,
            ):
                await c.until("ready")
                await d.until("ready")
                async with opened(watched, third, queries[id(third)]) as fifth:
                    await fifth.until("event: busy")
                    found.append(fifth.status)
        return found

    assert watched.run(together()) == [429, 429]
    assert len(streams(watched)) == 0
    assert status_of(watched, third, queries[id(third)]) == 200


def test_an_open_page_alone_keeps_no_session_from_ending(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> None:
        async with opened(watched, browser, query) as stream:
            await stream.until("event: ready")
            watched.clock[0] += 31 * 60
            await stream.until("event: ended")

    watched.run(told())
    assert browser.get("/").status_code == 303


def test_identityapi_away_says_nothing_and_loses_nothing(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> str:
        async with opened(watched, browser, query) as stream:
            await stream.until("event: ready")
            watched.network.faults["identityapi"] = "down"
            await asyncio.sleep(0.5)
            watched.network.faults.clear()
            await asyncio.sleep(0.5)
            return stream.text

    text = watched.run(told())
    assert "changed" not in text
    assert "ended" not in text


def test_where_nothing_changes_a_sign_of_life_is_sent(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "HEARTBEAT_S", 0.2)
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> None:
        async with opened(watched, browser, query) as stream:
            await stream.until(": still here")

    watched.run(told())


def test_pages_of_a_session_are_told_by_one_look(watched: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = watched.browser("bare")
    query = address(browser)
    asked: list[str] = []
    send = watched.network.handle_async_request

    async def counted(request: Any) -> Any:
        asked.append(request.url.path)
        return await send(request)

    monkeypatch.setattr(watched.network, "handle_async_request", counted)

    async def looks(pages: int) -> int:
        """Requests to the APIs in a second in which so many pages are open."""
        async with AsyncExitStack() as open_pages:
            for _ in range(pages):
                stream = await open_pages.enter_async_context(opened(watched, browser, query))
                await stream.until("event: ready")
            asked.clear()
            await asyncio.sleep(1.0)
            return len(asked)

    one, two = watched.run(looks(1)), watched.run(looks(2))
    print(f"requests to the APIs in a second, a look every 0.1 s: one page {one}, two pages of a session {two}")
    assert set(asked) == {"/v1/me/offers"}
    assert 2 <= two <= one * 1.5
    assert len(streams(watched)) == 0


def test_a_page_that_comes_later_is_told_of_no_older_state_than_its_own(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> str:
        async with opened(watched, browser, query) as first:
            await first.until("event: ready")
            (watch,) = streams(watched)._watches.values()
            watch.state = "of before"  # what the look before the page found
            async with opened(watched, browser, query) as second:
                await second.until("event: ")
                return second.text

    assert "event: ready" in watched.run(told())


def test_a_page_that_is_gone_before_its_answer_begins_leaves_nothing(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)

    async def told() -> None:
        async with opened(watched, browser, query) as stream:
            stream.gone.set()
        for _ in range(50):
            gc.collect()
            if not len(streams(watched)):
                return
            await asyncio.sleep(0.1)

    watched.run(told())
    assert len(streams(watched)) == 0


def test_streams_end_when_the_service_stops(watched: World) -> None:
    browser = watched.browser("bare")
    query = address(browser)
    life = watched.app.asgi_handler._life

    async def told() -> str:
        async with opened(watched, browser, query) as stream:
            await stream.until("event: ready")
            life.draining = True
            async with asyncio.timeout(10):
                while len(streams(watched)):
                    await asyncio.sleep(0.05)
            return stream.text

    try:
        text = watched.run(told())
    finally:
        life.draining = False
    assert "ended" not in text  # the browser comes again, to another replica
