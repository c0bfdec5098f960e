"""Live updates: an open page is told when what its viewer may do has changed, and asks for itself again.

Nothing that the viewer may see goes over the stream, only that something changed. The page itself comes as always, by
its own decisions.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any, Final

from litestar import Request, get
from litestar.datastructures import State
from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage as Message

from journeymesh.client.errors import ApiError, TokenNotAccepted
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.identity import PLATFORM
from journeymesh.services.console import signing_in
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.oidc import ProviderAway
from journeymesh.services.console.requests import SESSION
from journeymesh.services.console.sessions import Session, SessionsAway
from journeymesh.services.console.streams import SessionOver, Streams, Watch
from journeymesh.services.console.viewer import state_of

PATH: Final = "/live"
ENDED: Final = Message(event="ended")
"""The session has ended: the page is to be loaded anew."""
RETRY_MS: Final = 1_000
RETRY_BUSY_MS: Final = 15_000
HEARTBEAT_S: Final = 15.0
"""How often something is sent where nothing changes, so that a connection that broke off is noticed."""
_HEADERS: Final = {"cache-control": "no-store", "vary": "cookie"}


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
    watch = streams.enter(session.page_name, partial(_look, request.app.state, session.id))
    if watch is None:
        return _answer(_only(Message(event="busy", retry=RETRY_BUSY_MS)), 429)
    known = request.headers.get("last-event-id") or request.query_params.get("state")
    messages = _entered(session.page_name, watch, streams, known)
    # Begun here: what has begun is closed, and leaves, even where the browser is gone before the answer begins.
    return _answer(_after(await anext(messages), messages), 200)


def _answer(messages: AsyncIterator[Message], status: int) -> ServerSentEvent:
    return ServerSentEvent(messages, status_code=status, headers=_HEADERS)


async def _only(message: Message) -> AsyncIterator[Message]:
    yield message


async def _after(first: Message, others: AsyncIterator[Message]) -> AsyncIterator[Message]:
    yield first
    async for message in others:
        yield message


async def _entered(name: str, watch: Watch, streams: Streams, known: str | None) -> AsyncGenerator[Message, None]:
    try:
        async for message in _messages(watch, known):
            yield message
    finally:
        streams.leave(name, watch)


async def _messages(watch: Watch, known: str | None) -> AsyncIterator[Message]:
    """``ready`` with the present state's name, ``changed`` with each later one's, ``ended``. ``known``: the name of the
    state that the browser has. A look that had begun before the page came may know less than the page does."""
    loop = asyncio.get_running_loop()
    event, sent_s, since = "ready", loop.time(), watch.begun
    yield Message(comment="open", data=None)
    while True:
        news = watch.news()
        if watch.ended:
            yield ENDED
        if watch.over:
            return
        if watch.seen > since and (event == "ready" or watch.state != known):
            changed = known is not None and watch.state != known
            known = watch.state
            yield Message(event="changed" if changed else event, id=known, retry=RETRY_MS, data="")
            event, sent_s = "changed", loop.time()
        if loop.time() - sent_s >= HEARTBEAT_S:
            yield Message(comment="still here", data=None)
            sent_s = loop.time()
        await asyncio.wait({news}, timeout=max(0.0, sent_s + HEARTBEAT_S - loop.time()))


async def _look(state: State, session_id: str) -> str | None:
    """A name of what the viewer is offered now; None: identityapi, the identity provider or the place of
    sessions does not say.

    Raises:
        SessionOver: it has ended, or its token no longer counts.
    """
    config: ConsoleConfig = state["console"]
    apis: Apis = state["apis"]
    try:
        session = await signing_in.current_session(state, session_id, used=False)
        if session is None:
            raise SessionOver
        asked = apis.of(session)
        async with asyncio.timeout(config.api_within_s):
            offers = await asyncio.gather(asked.offers(JOURNEYS), asked.offers(PLATFORM))
    except TokenNotAccepted as error:
        raise SessionOver from error
    except (ApiError, ProviderAway, SessionsAway, TimeoutError):
        return None
    return state_of(*offers)


ROUTES = (live,)
