"""Who is signed in, in this process's memory: a browser keeps nothing but a random name of its session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from journeymesh.services.console.oidc import Ended, Login
from journeymesh.wire.identity import Me


@dataclass(slots=True)
class Session:
    """A viewer and their token. ``form_token`` is in every form that the viewer is given and in no other; ``login``:
    what renews the token, None where somebody handed in theirs."""

    token: str = field(repr=False)
    me: Me
    began_s: float
    seen_s: float
    login: Login | None = None
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def page_name(self) -> str:
        """What pages of this session call it where they ask for its live updates. Nothing can be had by it."""
        return hashlib.sha256(f"page {self.form_token}".encode()).hexdigest()[:16]

    def is_of_form(self, given: str) -> bool:
        """Whether a form that was sent carries this session's token."""
        return hmac.compare_digest(given.encode(), self.form_token.encode())


class Sessions:
    """Sessions by the digest of their id, the one used last at the end.

    Used by one event loop. ``clock_s`` gives seconds that only grow; ``now_s`` seconds since 1970 UTC, to which
    tokens are held.
    """

    def __init__(
        self,
        *,
        most: int,
        idle_s: float,
        longest_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._most, self._idle_s, self._longest_s = most, idle_s, longest_s
        self._clock_s, self._now_s = clock_s, now_s
        self._held: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, token: str, me: Me, login: Login | None = None) -> tuple[str, Session]:
        """A new session under a new id. Beyond the most at once, the one that was used longest ago ends."""
        now_s = self._clock_s()
        session_id = secrets.token_urlsafe(32)
        session = self._held[_digest(session_id)] = Session(token, me, now_s, now_s, login)
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return session_id, session

    def of(self, session_id: str | None) -> Session | None:
        """The session of this id, used now; None: there is none, or it has ended."""
        session = self.unused(session_id)
        if session is not None and session_id:
            session.seen_s = self._clock_s()
            self._held.move_to_end(_digest(session_id))
        return session

    def unused(self, session_id: str | None) -> Session | None:
        """The same, where this is no use of it: an open page alone keeps no session from ending."""
        if not session_id:
            return None
        name = _digest(session_id)
        session = self._held.get(name)
        if session is None:
            return None
        now_s = self._clock_s()
        late = now_s - session.seen_s > self._idle_s or now_s - session.began_s > self._longest_s
        if late or (session.login is None and self.token_left_s(session) <= 0):
            del self._held[name]
            return None
        return session

    def token_left_s(self, session: Session) -> float:
        """How long the session's token still counts, in seconds."""
        return session.me.expires_at.timestamp() - self._now_s()

    def end_of(self, ended: Ended) -> None:
        """End what a provider has ended."""
        for name, each in list(self._held.items()):
            if each.login is None:
                continue
            if each.login.sid == ended.sid if ended.sid is not None else each.me.subject == ended.subject:
                del self._held[name]

    def end(self, session_id: str | None) -> None:
        """End this session, if it is there."""
        if session_id:
            self._held.pop(_digest(session_id), None)

    def __len__(self) -> int:
        return len(self._held)


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
