"""Sessions in a process's memory and in both databases, as their owner, several replicas and an attacker see them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from journeymesh.errors import StoreUnavailable
from journeymesh.identity.session_rows import SessionRow, SessionRows, SqlSessionRows
from journeymesh.identity.session_sweeper import SessionSweeper
from journeymesh.identity.session_tables import SessionDatabase, sessions
from journeymesh.services.console.oidc import Ended, Login, ProviderAway, SignInFailed
from journeymesh.services.console.sealing import SessionKey
from journeymesh.services.console.sessions import Session, SessionRules, Sessions, SessionsAway
from journeymesh.wire.identity import Me
from tests.support.session_places import BOUNDS, database, rows

__all__ = ["database", "rows"]

BEGAN_S = 1_800_000_000.0


class Replica(Sessions):
    """Sessions of one of several processes, by a clock that the test moves."""

    def __init__(self, rows: SessionRows, clock: list[float], **rules: Any) -> None:
        given = {"most": 100, "most_per_person": 20, "idle_s": 1_800.0, "longest_s": 28_800.0, "secret": b"s", **rules}
        super().__init__(rows, SessionRules(**given), clock_s=lambda: clock[0], now_s=lambda: clock[0])


@pytest.fixture
def clock() -> list[float]:
    return [BEGAN_S]


def me(name: str = "ann", counts_s: float = 86_400.0) -> Me:
    ends_at = datetime.fromtimestamp(BEGAN_S + counts_s, UTC)
    return Me(provider="people", subject=name, tenant="northgate", domains=["pricing"], expires_at=ends_at)


def login(sid: str | None = "sid-1", refresh: str = "refresh-0") -> Login:
    return Login(refresh, "id-token", sid)


def test_a_session_that_begins_at_one_replica_is_there_at_another_and_ends_everywhere(
    rows: SessionRows, clock: list[float]
) -> None:
    async def told() -> None:
        here, there = Replica(rows, clock), Replica(rows, clock)
        session_id, begun = await here.begin("token", me(), login())
        found = await there.of(session_id)
        assert found is not None
        assert (found.token, found.me, found.login, found.form_token) == ("token", me(), login(), begun.form_token)
        assert found.page_name == begun.page_name
        await there.end(session_id)
        assert await here.of(session_id) is None
        assert len(rows) == 0

    asyncio.run(told())


def test_a_session_ends_when_nobody_uses_it_and_at_the_latest_after_a_while(
    rows: SessionRows, clock: list[float]
) -> None:
    async def told() -> None:
        here = Replica(rows, clock)
        idle, _ = await here.begin("token", me())
        busy, _ = await here.begin("token", me())
        for _ in range(18):
            clock[0] += 1_590
            assert await here.of(busy) is not None
            await here.of(idle, used=False)
        assert await here.of(idle) is None
        clock[0] += 200
        assert await here.of(busy) is None
        assert len(rows) == 0

    asyncio.run(told())


def test_a_token_that_nothing_renews_ends_its_session(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here = Replica(rows, clock)
        session_id, _ = await here.begin("token", me(counts_s=100))
        assert await here.of(session_id) is not None
        clock[0] += 100
        assert await here.of(session_id) is None

    asyncio.run(told())


class Provider:
    """Takes each refresh token once, as one that rotates them does, after a moment."""

    def __init__(self) -> None:
        self.valid, self.renewals = "refresh-0", 0

    def of(self, clock: list[float]) -> Callable[[Session], Awaitable[Session]]:
        async def renew(session: Session) -> Session:
            assert session.login is not None
            given, self.valid = self.valid, f"refresh-{self.renewals + 1}"
            self.renewals += 1
            if session.login.refresh_token != given:
                raise SignInFailed("taken before")
            await asyncio.sleep(0.2)
            ends_at = datetime.fromtimestamp(clock[0] + 300, UTC)
            renewed = structs.replace(session.me, expires_at=ends_at)
            return replace(session, token=f"token-{self.renewals}", me=renewed, login=login(refresh=self.valid))

        return renew


@pytest.mark.parametrize("left_s", [30.0, -1.0])
def test_two_replicas_that_renew_at_once_lose_nothing(rows: SessionRows, clock: list[float], left_s: float) -> None:
    async def told() -> list[Session | None]:
        replicas = [Replica(rows, clock), Replica(rows, clock)]
        session_id, _ = await replicas[0].begin("token-0", me(counts_s=1_000), login())
        clock[0] += 1_000 - left_s
        provider = Provider()

        async def ask(replica: Replica) -> Session | None:
            session = await replica.of(session_id)
            return None if session is None else await replica.renewed(session, provider.of(clock))

        found = await asyncio.gather(*(ask(replica) for replica in replicas * 4))
        assert provider.renewals == 1
        last = await replicas[1].of(session_id)
        assert last is not None
        assert (last.token, last.row.generation) == ("token-1", 1)
        return found

    tokens = [each.token if each else None for each in asyncio.run(told())]
    if left_s > 0:  # whoever does not renew goes on with the token that still counts
        assert set(tokens) == {"token-0", "token-1"}
    else:
        assert tokens == ["token-1"] * 8


def test_a_viewer_who_goes_away_during_a_renewal_keeps_the_session(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here, provider = Replica(rows, clock), Provider()
        session_id, session = await here.begin("token-0", me(counts_s=30), login())
        asked = asyncio.ensure_future(here.renewed(session, provider.of(clock)))
        while not provider.renewals:
            await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert asked.cancelled()
        async with asyncio.timeout(10):
            while (found := await here.of(session_id)) is not None and found.row.generation == 0:
                await asyncio.sleep(0.05)
        assert found is not None
        assert found.token == "token-1"

    asyncio.run(told())


def test_a_session_that_is_ended_during_a_renewal_stays_ended(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here, there, provider = Replica(rows, clock), Replica(rows, clock), Provider()
        session_id, session = await here.begin("token-0", me(counts_s=30), login())
        asked = asyncio.ensure_future(here.renewed(session, provider.of(clock)))
        while not provider.renewals:
            await asyncio.sleep(0.01)
        await there.end(session_id)
        assert await asked is None
        assert await here.of(session_id) is None
        assert len(rows) == 0

    asyncio.run(told())


def test_what_the_provider_does_not_renew_ends(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here, provider = Replica(rows, clock), Provider()
        provider.valid = "another"
        session_id, session = await here.begin("token-0", me(counts_s=30), login())
        assert await here.renewed(session, provider.of(clock)) is None
        assert await here.of(session_id) is None

    asyncio.run(told())


@pytest.mark.parametrize("left_s", [30.0, -1.0])
def test_a_provider_that_is_away_ends_no_session(rows: SessionRows, clock: list[float], left_s: float) -> None:
    async def told() -> None:
        here, there, provider, asked = Replica(rows, clock), Replica(rows, clock), Provider(), 0

        async def away(_: Session) -> Session:
            nonlocal asked
            asked += 1
            raise ProviderAway("away")

        session_id, session = await here.begin("token-0", me(counts_s=1_000), login())
        clock[0] += 1_000 - left_s
        for _ in range(3):  # it is asked once: for a while every page is told at once
            if left_s > 0:
                found = await here.renewed(session, away)
                assert found is not None
                assert found.token == "token-0"
            else:
                with pytest.raises(ProviderAway):
                    await here.renewed(session, away)
        assert asked == 1
        clock[0] += 20.0
        kept = await there.of(session_id)
        assert kept is not None
        renewed = await there.renewed(kept, provider.of(clock))
        assert renewed is not None
        assert renewed.token == "token-1"
        assert await here.renewed(renewed, away) is renewed

    asyncio.run(told())


@pytest.mark.parametrize("ended", [Ended("sid-1", "bob"), Ended(None, "ann")])
def test_what_a_provider_ended_is_ended_at_every_replica(rows: SessionRows, clock: list[float], ended: Ended) -> None:
    async def told() -> None:
        here, there = Replica(rows, clock), Replica(rows, clock)
        ended_id, _ = await here.begin("token", me(), login())
        others_id, _ = await here.begin("token", me("bob"), login("sid-2"))
        token_id, _ = await here.begin("token", me())  # begun without a provider
        await there.end_of(ended)
        assert await here.of(ended_id) is None
        assert await here.of(others_id) is not None
        assert await here.of(token_id) is not None

    asyncio.run(told())


def test_a_person_who_signs_in_again_and_again_pushes_nobody_else_out(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here = Replica(rows, clock, most=6, most_per_person=3)
        others, _ = await here.begin("token", me("bob"))
        for _ in range(10):
            clock[0] += 1
            last, _ = await here.begin("token", me())
        assert len(rows) == 4
        assert await here.of(others) is not None
        assert await here.of(last) is not None

    asyncio.run(told())


WRONG_IDS = (None, "", "planted", "x" * 42, "x" * 44, "x" * 100_000, "x" * 42 + "\n", "é" * 43, "' OR 1=1 --", "A" * 43)


@pytest.mark.parametrize("wrong", WRONG_IDS)
def test_an_id_that_was_not_given_opens_nothing(rows: SessionRows, clock: list[float], wrong: str | None) -> None:
    async def told() -> None:
        here = Replica(rows, clock)
        await here.begin("token", me())
        assert await here.of(wrong) is None
        await here.end(wrong)
        assert len(rows) == 1

    asyncio.run(told())


def _changed(database: SessionDatabase, **values: Any) -> None:
    with database.writing() as connection:
        assert connection.execute(sa.update(sessions).values(**values)).rowcount == 1


CHANGES: dict[str, Callable[[SessionRow], dict[str, Any]]] = {
    "a byte": lambda kept: {"content": kept.content[:-1] + bytes([kept.content[-1] ^ 1])},
    "the nonce": lambda kept: {"content": bytes(12) + kept.content[12:]},
    "cut": lambda kept: {"content": kept.content[:20]},
    "nothing": lambda kept: {"content": b""},
    "a later end": lambda kept: {"ends_us": kept.ends_us + 1},
    "an older generation": lambda kept: {"generation": kept.generation + 1},
    "out of the provider's reach": lambda _: {"sid": None},
    "another's": lambda _: {"subject": b"x" * 32},
    "beside the bound": lambda _: {"person": b"x" * 32},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_was_changed_opens_nothing(database: SessionDatabase, clock: list[float], change: str) -> None:
    async def told() -> None:
        rows = SqlSessionRows(database)
        here = Replica(rows, clock)
        session_id, session = await here.begin("token", me(), login())
        _changed(database, **CHANGES[change](session.row))
        assert await here.of(session_id) is None
        assert len(rows) == 0

    asyncio.run(told())


def test_a_row_under_another_id_opens_nothing(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        here = Replica(rows, clock)
        _, victim = await here.begin("token of the victim", me())
        own_id, _ = await here.begin("token", me("eve"))
        own = SessionKey.of(own_id)
        rows.remove(own.name)
        rows.add(replace(victim.row, name=own.name), BOUNDS, 0)
        assert await here.of(own_id) is None

    asyncio.run(told())


def test_the_database_alone_opens_no_session_and_names_nobody(database: SessionDatabase, clock: list[float]) -> None:
    async def told() -> str:
        session_id, session = await Replica(SqlSessionRows(database), clock).begin("a-token", me(), login())
        assert session_id not in repr(session)
        assert "a-token" not in repr(session)
        assert "refresh-0" not in repr(session)
        return session.form_token

    form_token = asyncio.run(told())
    with database.reading() as connection:
        (kept,) = connection.execute(sa.select(sessions)).all()
    held = b"".join(each if isinstance(each, bytes) else str(each).encode() for each in kept)
    for secret in (b"a-token", b"refresh-0", b"id-token", b"sid-1", b"ann", b"northgate", form_token.encode()):
        assert secret not in held


def test_an_ended_session_that_a_restored_database_brings_back_stays_ended_where_it_was_ended(
    rows: SessionRows, clock: list[float]
) -> None:
    async def told() -> None:
        here, there = Replica(rows, clock), Replica(rows, clock)
        session_id, session = await here.begin("token", me(counts_s=600))
        await here.end(session_id)
        rows.add(session.row, BOUNDS, 0)
        assert await here.of(session_id) is None
        # Another process cannot know. What holds there: the token's own end, and that of the session.
        assert await there.of(session_id) is not None
        clock[0] += 600
        assert await there.of(session_id) is None

    asyncio.run(told())


def test_tokens_that_are_too_large_begin_no_session(rows: SessionRows, clock: list[float]) -> None:
    async def told() -> None:
        with pytest.raises(SignInFailed):
            await Replica(rows, clock).begin("x" * 100_000, me())
        assert len(rows) == 0

    asyncio.run(told())


def test_a_database_that_is_away_is_no_answer_and_soon_one_again(tmp_path: Path, clock: list[float]) -> None:
    async def told() -> None:
        at = tmp_path / "room.db"
        with closing(SessionDatabase(f"sqlite:///{at}")) as database:
            database.migrate()
            rows = SqlSessionRows(database)
            here, sweeper = Replica(rows, clock), SessionSweeper(rows, idle_s=60.0)
            session_id, _ = await here.begin("token", me())
            with database.writing() as connection:
                connection.exec_driver_sql("ALTER TABLE console_sessions RENAME TO elsewhere")
            for ask in (here.of(session_id), here.begin("token", me()), here.end_of(Ended("sid-1", None))):
                with pytest.raises(SessionsAway):
                    await ask
            sweeper.tick()
            assert "cannot be reached" in sweeper.fault()
            with pytest.raises(StoreUnavailable):
                sweeper.start()
            with database.writing() as connection:
                connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO console_sessions")
            assert await here.of(session_id) is not None

    asyncio.run(told())


def test_names_of_sessions_do_not_repeat() -> None:
    names = {SessionKey.of(secrets.token_urlsafe(32)).name for _ in range(100)}
    assert len(names) == 100
