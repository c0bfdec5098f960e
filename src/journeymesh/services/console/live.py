"""Live updates: an open page is told when what its viewer may do has changed, and asks for itself again.

Nothing that the viewer may see goes over the stream, only that something changed. The page itself comes as always, by
its own decisions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

from litestar import Request, get
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage as Message

from journeymesh.client.errors import ApiError, TokenNotAccepted
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.identity import PLATFORM
from journeymesh.services.console import signing_in
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.requests import SESSION
from journeymesh.services.console.sessions import Session, SessionsAway
from journeymesh.services.console.viewer import state_of
from journeymesh.services.http.life import Life

PATH: Final = "/live"
ENDED: Final = Message(event="ended")
"""The session has ended: the page is to be loaded anew."""
RETRY_MS: Final = 1_000
RETRY_BUSY_MS: Final = 15_000
HEARTBEAT_S: Final = 15.0
"""How often something is sent where nothing changes, so that a connection that broke off is noticed."""
_HEADERS: Final = {"cache-control": "no-store", "vary": "cookie"}


class Streams:
    """How many pages are told of changes: in this process, and per session."""

    def __init__(self, most: int, most_per_session: int) -> None:
        self._most, self._most_per_session = most, most_per_session
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open.total()

    def enter(self, name: str) -> bool:
        """Count one more of the session; False: there are as many as there may be."""
        if len(self) >= self._most or self._open[name] >= self._most_per_session:
            return False
        self._open[name] += 1
        return True

    def leave(self, name: str) -> None:
        """One less of the session."""
        self._open[name] -= 1
        if self._open[name] <= 0:
            del self._open[name]


@get(PATH)
async def live(request: Request[Any, Any, Any]) -> ServerSentEvent:
    """A stream of ``changed``, until ``ended``. It is the stream of the session that the browser names, for pages of
    that session only: 401 without a session, 403 for a page of another one or of another site, 429 beyond the bound."""
    streams: Streams = request.app.state["streams"]
    session: Session | None = request.state.get(SESSION)
    if session is None:
        return _answer(_only(ENDED), 401)
    own_site = request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
    if not own_site or request.query_params.get("page") != session.page_name:
        return _answer(_only(ENDED), 403)
    if not streams.enter(session.page_name):
        return _answer(_only(Message(event="busy", retry=RETRY_BUSY_MS)), 429)
    return _answer(_entered(request, session, streams), 200)


def _answer(messages: AsyncIterator[Message], status: int) -> ServerSentEvent:
    return ServerSentEvent(messages, status_code=status, headers=_HEADERS)


async def _only(message: Message) -> AsyncIterator[Message]:
    yield message


async def _entered(request: Request[Any, Any, Any], session: Session, streams: Streams) -> AsyncIterator[Message]:
    try:
        async for message in _messages(request, session):
            yield message
    finally:
        streams.leave(session.page_name)


async def _messages(request: Request[Any, Any, Any], session: Session) -> AsyncIterator[Message]:
    """``ready`` with the present state's name, ``changed`` with each later one's, ``ended``. A browser that was away
    names the state that it knows."""
    config: ConsoleConfig = request.app.state["console"]
    life: Life = request.app.state["life"]
    known = request.headers.get("last-event-id") or request.query_params.get("state")
    loop = asyncio.get_running_loop()
    event, sent_s = "ready", loop.time()
    yield Message(comment="open", data=None)
    while not life.draining:
        try:
            current = await signing_in.current_session(request.app.state, session.id, used=False)
            if current is None:
                yield ENDED
                return
            state = await _state(request, current)
        except TokenNotAccepted:
            yield ENDED
            return
        except SessionsAway:
            state = None
        if state is not None:
            if event == "ready" or state != known:
                changed = known is not None and state != known
                yield Message(event="changed" if changed else event, id=state, retry=RETRY_MS, data="")
                sent_s = loop.time()
            known, event = state, "changed"
        if loop.time() - sent_s >= HEARTBEAT_S:
            yield Message(comment="still here", data=None)
            sent_s = loop.time()
        await asyncio.sleep(config.live_every_s)


async def _state(request: Request[Any, Any, Any], session: Session) -> str | None:
    """A name of what the viewer is offered now; None: identityapi does not say.

    Raises:
        TokenNotAccepted: the token no longer counts.
    """
    config: ConsoleConfig = request.app.state["console"]
    apis: Apis = request.app.state["apis"]
    asked = apis.of(session)
    try:
        async with asyncio.timeout(config.api_within_s):
            offers = await asyncio.gather(asked.offers(JOURNEYS), asked.offers(PLATFORM))
    except TokenNotAccepted:
        raise
    except (ApiError, TimeoutError):
        return None
    return state_of(*offers)


ROUTES = (live,)
