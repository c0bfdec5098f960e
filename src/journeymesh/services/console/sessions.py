"""Who is signed in: a browser keeps nothing but a random id of its session, and that id alone opens what is kept."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from journeymesh.errors import StoreUnavailable
from journeymesh.identity.session_rows import SessionBounds, SessionRow, SessionRows
from journeymesh.lru import LruCache
from journeymesh.services.console.oidc import Ended, Login, ProviderAway, SignInFailed
from journeymesh.services.console.sealing import (
    SESSION_ID,
    Content,
    NotOpened,
    SessionKey,
    keyed_digest,
    random_session_id,
)
from journeymesh.wire.identity import Me

T = TypeVar("T")
STORE_WITHIN_S: Final = 3.0
"""How long the place of sessions is waited for."""
USE_NOTED_EVERY_S: Final = 30.0
RENEWED_BEFORE_S: Final = 60.0
"""A token that ends within this time is renewed before a page is made with it."""
RENEWAL_WITHIN_S: Final = 15.0
"""How long a provider is waited for, after which another replica may try. One that was away is not asked for this
session again any sooner."""
_LOOK_AGAIN_S: Final = 0.1
_STILL_COUNTS_S: Final = 5.0
"""A token that ends sooner is not used while another replica renews it."""
ENDED_REMEMBERED: Final = 10_000
logger = logging.getLogger(__name__)


class SessionsAway(Exception):
    """The place of sessions does not answer, so nobody is known to be signed in."""


@dataclass(frozen=True, slots=True)
class Session:
    """A viewer and their token. ``form_token`` is in every form that the viewer is given and in no other; ``login``:
    what renews the token, None where somebody handed in theirs."""

    id: str = field(repr=False)
    token: str = field(repr=False)
    me: Me
    login: Login | None
    form_token: str = field(repr=False)
    row: SessionRow = field(repr=False)

    @property
    def page_name(self) -> str:
        """What pages of this session call it where they ask for its live updates. Nothing can be had by it."""
        return hashlib.sha256(f"page {self.form_token}".encode()).hexdigest()[:16]

    def is_of_form(self, given: str) -> bool:
        """Whether a form that was sent carries this session's token."""
        return hmac.compare_digest(given.encode(), self.form_token.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """How many sessions there are at once, in all and of one person, and how long one lasts that nobody uses, and at
    most. ``secret``: of all replicas, for digests of whose a session is."""

    most: int
    most_per_person: int
    idle_s: float
    longest_s: float
    secret: bytes = field(repr=False)


class Sessions:
    """Sessions in ``rows``, which replicas may share. Whatever is in doubt is no session.

    Used by one event loop. ``clock_s``: seconds since 1970 UTC by which sessions age, ``now_s`` those to which tokens
    are held. All methods that ask ``rows`` raise ``SessionsAway`` where these do not answer.
    """

    def __init__(
        self,
        rows: SessionRows,
        rules: SessionRules,
        *,
        clock_s: Callable[[], float] = time.time,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._rows, self._rules = rows, rules
        self._clock_s, self._now_s = clock_s, now_s
        idle_us = int(rules.idle_s * 1_000_000)
        self._bounds = SessionBounds(most=rules.most, most_per_person=rules.most_per_person, idle_us=idle_us)
        self._ended: LruCache[bytes, bool] = LruCache(ENDED_REMEMBERED)
        self._renewals: set[asyncio.Task[Session | None]] = set()
        self._put_off: LruCache[bytes, float] = LruCache(ENDED_REMEMBERED)

    async def begin(self, token: str, me: Me, login: Login | None = None) -> tuple[str, Session]:
        """A new session under a new id. Beyond a bound, the one that was used longest ago ends.

        Raises:
            SignInFailed: it is too large to be kept.
        """
        session_id = random_session_id()
        key, now_us = SessionKey.of(session_id), self._us()
        row = SessionRow(
            name=key.name,
            person=self._digest("person", me.provider, me.subject),
            subject=self._digest("subject", me.subject) if login else None,
            sid=self._digest("sid", login.sid) if login and login.sid is not None else None,
            seen_us=now_us,
            ends_us=now_us + int(self._rules.longest_s * 1_000_000),
            content=b"",
        )
        session = Session(session_id, token, me, login, secrets.token_urlsafe(24), row)
        session = _sealed(session, key, 0)
        await self._ask(self._rows.add, session.row, self._bounds, now_us)
        return session_id, session

    async def of(self, session_id: str | None, *, used: bool = True) -> Session | None:
        """The session of this id; None: there is none, or it has ended. ``used`` False: this is no use of it, for an
        open page alone keeps no session from ending."""
        if not session_id or not SESSION_ID.fullmatch(session_id):
            return None
        key, now_us = SessionKey.of(session_id), self._us()
        if self._ended.get(key.name):
            return None
        row = await self._ask(self._rows.get, key.name)
        if row is None:
            return None
        session = None if self._is_late(row, now_us) else _opened(session_id, key, row)
        if session is None or (session.login is None and self.token_left_s(session) <= 0):
            await self._ask(self._rows.remove, key.name)
            return None
        if used and now_us - row.seen_us > 1_000_000 * min(USE_NOTED_EVERY_S, self._rules.idle_s / 60):
            await self._ask(self._rows.touch, key.name, now_us)
        return session

    def token_left_s(self, session: Session) -> float:
        """How long the session's token still counts, in seconds."""
        return session.me.expires_at.timestamp() - self._now_s()

    async def renewed(self, session: Session, renew: Callable[[Session], Awaitable[Session]]) -> Session | None:
        """The session with a token that still counts for a while; None: it has ended.

        ``renew`` gives the session with other tokens, or raises ``SignInFailed``, which ends it, but for
        ``ProviderAway``: the session goes on with its token while that counts. Of several who ask at once, in whatever
        process, one renews: a provider may take a refresh token once only. Who asked may go away meanwhile: what the
        provider gave is kept all the same.

        Raises:
            ProviderAway: the token counts no longer, and nobody says whether another follows.
        """
        if session.login is None or self.token_left_s(session) > RENEWED_BEFORE_S:
            return session
        task = asyncio.ensure_future(self._renewed(session, renew))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)
        return await asyncio.shield(task)

    async def _renewed(self, session: Session, renew: Callable[[Session], Awaitable[Session]]) -> Session | None:
        """Renew, or wait for who does."""
        until_s = time.monotonic() + RENEWAL_WITHIN_S + STORE_WITHIN_S
        current: Session | None = session
        while current is not None and time.monotonic() < until_s:
            if time.monotonic() < (self._put_off.get(current.row.name) or 0.0):
                return self._without_provider(current)
            now_us = self._us()
            claimed_us = now_us + int(RENEWAL_WITHIN_S * 1_000_000)
            if await self._ask(self._rows.claim_renewal, current.row, now_us, claimed_us):
                return await self._renew(current, renew)
            if current.row.generation == session.row.generation and self.token_left_s(current) > _STILL_COUNTS_S:
                return current
            await asyncio.sleep(_LOOK_AGAIN_S)
            current = await self.of(session.id, used=False)
            if current is not None and self.token_left_s(current) > RENEWED_BEFORE_S:
                return current
        return None

    async def _renew(self, session: Session, renew: Callable[[Session], Awaitable[Session]]) -> Session | None:
        """Renew what this process has claimed."""
        generation = session.row.generation
        try:
            async with asyncio.timeout(RENEWAL_WITHIN_S - STORE_WITHIN_S):
                renewed = _sealed(await renew(session), SessionKey.of(session.id), generation + 1)
        except (ProviderAway, TimeoutError):
            self._put_off.put(session.row.name, time.monotonic() + RENEWAL_WITHIN_S)
            return self._without_provider(session)
        except SignInFailed:
            await self.end(session.id)
            return None
        kept = await self._ask(self._rows.renew, session.row.name, generation, renewed.row.content)
        return renewed if kept else None

    def _without_provider(self, session: Session) -> Session:
        """The session with the token that it has, while that counts.

        Raises:
            ProviderAway: it does not.
        """
        if self.token_left_s(session) > 0:
            return session
        raise ProviderAway("The identity provider cannot be reached. Try again.")

    async def end_of(self, ended: Ended) -> None:
        """End what a provider has ended."""
        sid = None if ended.sid is None else self._digest("sid", ended.sid)
        subject = None if ended.subject is None else self._digest("subject", ended.subject)
        for name in await self._ask(lambda: self._rows.remove_of(sid=sid, subject=subject)):
            self._ended.put(name, True)

    async def end(self, session_id: str | None) -> None:
        """End this session, if it is there. This process never opens it again, whatever a database is brought back
        to."""
        if session_id and SESSION_ID.fullmatch(session_id):
            name = SessionKey.of(session_id).name
            self._ended.put(name, True)
            await self._ask(self._rows.remove, name)

    def _is_late(self, row: SessionRow, now_us: int) -> bool:
        return now_us >= row.ends_us or now_us - row.seen_us >= self._bounds.idle_us

    def _us(self) -> int:
        return int(self._clock_s() * 1_000_000)

    def _digest(self, kind: str, *values: str) -> bytes:
        return keyed_digest(self._rules.secret, kind, *values)

    async def _ask(self, what: Callable[..., T], *given: Any) -> T:
        """What the rows answer.

        Raises:
            SessionsAway: they do not.
        """
        if not self._rows.blocks:
            return what(*given)
        try:
            async with asyncio.timeout(STORE_WITHIN_S):
                return await asyncio.to_thread(what, *given)
        except (StoreUnavailable, TimeoutError) as error:
            logger.warning("sessions: %s", error or "no answer in time")
            raise SessionsAway from error


def _sealed(session: Session, key: SessionKey, generation: int) -> Session:
    """The session with its row as it is to be kept.

    Raises:
        SignInFailed: it is too large.
    """
    me, login = session.me, session.login
    content = Content(
        session.token, session.form_token, me.provider, me.subject, me.tenant, me.domains, me.expires_at,
        *((login.refresh_token, login.id_token, login.sid) if login else ()),
    )  # fmt: skip
    try:
        sealed = key.seal(content, session.row, generation)
    except ValueError as error:
        raise SignInFailed("The identity provider's tokens are too large.") from error
    return replace(session, row=replace(session.row, generation=generation, renewing_until_us=0, content=sealed))


def _opened(session_id: str, key: SessionKey, row: SessionRow) -> Session | None:
    """The session that a row is; None: its content is not this session's."""
    try:
        held = key.open(row)
    except NotOpened:
        logger.warning("a session's row cannot be opened: it was changed")
        return None
    me = Me(
        provider=held.provider,
        subject=held.subject,
        tenant=held.tenant,
        domains=held.domains,
        expires_at=held.expires_at,
    )
    login = None
    if held.refresh_token is not None and held.id_token is not None:
        login = Login(held.refresh_token, held.id_token, held.sid)
    return Session(session_id, held.token, me, login, held.form_token, row)
