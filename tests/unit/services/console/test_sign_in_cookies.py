"""A sign-in under way is kept by its browser: what that costs the console, and what somebody can do with the cookie."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from journeymesh.services.console.oidc import (
    COOKIE_BYTES,
    Begun,
    Login,
    OidcClient,
    OidcSignIn,
    ProviderAway,
    SignInFailed,
)
from journeymesh.services.http.limits import Rates
from journeymesh.wire.identity import Me
from tests.support.console_served import CONSOLE, World, console_served

ISSUER = "https://id.test/realms/journeymesh"
BEGINNINGS = 10_000


def provider(request: httpx.Request) -> httpx.Response:
    """A provider's metadata; it lets nobody in."""
    if request.url.path.endswith("openid-configuration"):
        places = {name: f"{ISSUER}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
        return httpx.Response(200, json={"issuer": ISSUER, **places})
    return httpx.Response(400, json={"error": "invalid_grant"})


def sign_in(clock: list[float] | None = None) -> OidcSignIn:
    transport = httpx.MockTransport(provider)
    now_s = time.time if clock is None else lambda: clock[0]
    return OidcSignIn(OidcClient(issuer=ISSUER), f"{CONSOLE}/sign-in/callback", transport=transport, now_s=now_s)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with console_served(tmp_path_factory.mktemp("cookies"), oidc=OidcClient(issuer=ISSUER)) as made:
        made.app.state["oidc"].close()
        made.app.state["oidc"] = sign_in()
        yield made


def begun(after: str = "/", clock: list[float] | None = None) -> Begun:
    return asyncio.run(sign_in(clock).begin(after))[1]


def test_ten_thousand_sign_ins_that_strangers_begin_leave_nothing_and_push_nobodys_out(world: World) -> None:
    own = world.browser()
    assert own.get("/sign-in/start").status_code == 303
    kept = own.client.cookies["journeymesh-sign-in"]
    oidc: OidcSignIn = world.app.state["oidc"]

    async def begin_all() -> int:
        return len({(await oidc.begin("/"))[1].state for _ in range(BEGINNINGS)})

    assert world.run(begin_all()) == BEGINNINGS
    assert len(world.app.state["console"].rows) == 0
    answer = own.get(f"/sign-in/callback?state={Begun.of_cookie(kept).state}&code=x")
    assert answer.status_code == 403  # it is known yet; this provider lets nobody in
    assert "The identity provider refused" in answer.text


def test_a_sign_in_ends_at_a_replica_that_did_not_begin_it() -> None:
    url, here = asyncio.run(sign_in().begin("/policies?purpose=pricing"))
    there = Begun.of_cookie(here.in_cookie())
    assert there == here
    assert here.state in url
    assert here.verifier not in url
    with pytest.raises(SignInFailed, match="The identity provider refused"):
        asyncio.run(sign_in().finish(there, {"state": here.state, "code": "x"}))


@pytest.mark.parametrize("after", ["/" + "x" * 8_000, "/" + "%C3%BC" * 1_000, "/a?b=" + "c" * 1_000])
def test_a_sign_in_fits_in_a_cookie_wherever_it_goes_on(after: str) -> None:
    kept = begun(after)
    assert len(kept.in_cookie()) <= COOKIE_BYTES
    assert kept.after in ("/", after)


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


STATE = "s" * 32
COOKIES = {
    "empty": "",
    "no base64": "!!!",
    "no JSON": "bm9uc2Vuc2U",
    "another's": encoded({"state": STATE}),
    "an empty state": encoded(["", STATE, STATE, "/", 1e12]),
    "a short state": encoded(["s", STATE, STATE, "/", 1e12]),
    "no numbers": encoded([STATE, STATE, STATE, "/", "now"]),
    "too many": encoded([STATE, STATE, STATE, "/", 1.0, 1]),
    "deep": base64.urlsafe_b64encode(b"[" * 2_000).decode().rstrip("="),
    "large": encoded([STATE, STATE, STATE, "/" + "x" * 5_000, 1.0]),
    "of long ago": encoded([STATE, STATE, STATE, "/", 1.0]),
    "of the future": encoded([STATE, STATE, STATE, "/", 1e12]),
}


@pytest.mark.parametrize("kind", COOKIES)
def test_a_cookie_that_was_made_up_lets_nobody_in(kind: str) -> None:
    kept = Begun.of_cookie(COOKIES[kind])
    if kind not in ("of long ago", "of the future"):
        assert kept is None
        return
    assert kept is not None
    with pytest.raises(SignInFailed, match="too long ago"):
        asyncio.run(sign_in().finish(kept, {"state": STATE, "code": "x"}))


@pytest.mark.parametrize(
    ("later_s", "says"), [(0, "refused"), (500, "refused"), (601, "too long ago"), (-60, "too long")]
)
def test_a_sign_in_counts_for_ten_minutes(later_s: float, says: str) -> None:
    clock = [1_800_000_000.0]
    kept = begun(clock=clock)
    clock[0] += later_s
    with pytest.raises(SignInFailed, match=says):
        asyncio.run(sign_in(clock).finish(kept, {"state": kept.state, "code": "x"}))


def test_another_browsers_state_ends_no_sign_in() -> None:
    mine, others = begun(), begun()
    with pytest.raises(SignInFailed, match="not begun in this browser"):
        asyncio.run(sign_in().finish(mine, {"state": others.state, "code": "x"}))


ANSWERS = {
    "refused": (httpx.Response(400, json={"error": "invalid_grant"}), SignInFailed),
    "a fault": (httpx.Response(502, text="Bad Gateway"), ProviderAway),
    "said to pass": (httpx.Response(400, json={"error": "temporarily_unavailable"}), ProviderAway),
    "nobody there": (httpx.Response(404, text="404 page not found"), ProviderAway),
    "silence": (httpx.ConnectError("refused"), ProviderAway),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_provider_that_is_away_is_told_from_one_that_refuses(kind: str) -> None:
    said, error = ANSWERS[kind]

    def answering(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("token_endpoint") and isinstance(said, Exception):
            raise said
        return said if request.url.path.endswith("token_endpoint") else provider(request)  # type: ignore[return-value]

    oidc = OidcSignIn(OidcClient(issuer=ISSUER), CONSOLE, transport=httpx.MockTransport(answering))
    with pytest.raises(SignInFailed) as raised:
        asyncio.run(oidc.renew(Login("refresh", "id", None)))
    assert raised.type is error


def test_asking_a_provider_makes_no_tls_context_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    oidc = OidcSignIn(OidcClient(issuer="https://127.0.0.1:9"), f"{CONSOLE}/sign-in/callback")
    made: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda *given, **also: made.append((given, also)))
    places = {"token_endpoint": "https://127.0.0.1:9/token"}

    async def ask() -> None:
        with pytest.raises(ProviderAway):
            await oidc.begin("/")
        oidc._metadata = places
        with pytest.raises(ProviderAway):
            await oidc.renew(Login("refresh", "id", None))

    asyncio.run(ask())
    oidc.close()
    assert made == []


def test_a_provider_that_ends_many_sessions_is_heard_and_takes_nobodys_sign_in(world: World) -> None:
    state, browser = world.app.state, world.browser()
    sign_ins = state["sign_ins"]
    state["sign_ins"] = Rates(0.001, 1, 10)
    try:
        said = [browser.post("/sign-out/everywhere", {"logout_token": "x"}, origin=None) for _ in range(50)]
        assert {each.status_code for each in said} == {400}
        assert browser.get("/sign-in/start").status_code == 303
        assert browser.get("/sign-in/start").status_code == 429
        state["logouts"], logouts = Rates(0.001, 1, 10), state["logouts"]
        said = [browser.post("/sign-out/everywhere", {"logout_token": "x"}, origin=None) for _ in range(2)]
        assert [each.status_code for each in said] == [400, 429]
        state["logouts"] = logouts
    finally:
        state["sign_ins"] = sign_ins


def test_whoever_is_signed_in_while_the_provider_is_away_is_told_so_and_may_sign_out(world: World) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    oidc, state = world.app.state["oidc"], world.app.state
    ended_at = datetime.fromtimestamp(1_000.0, UTC)
    me = Me(provider="people", subject="analyst", tenant="northgate", domains=["pricing"], expires_at=ended_at)
    session_id, session = world.run(state["sessions"].begin("ended", me, Login("refresh", "id", None)))
    state["oidc"] = OidcSignIn(oidc.client, f"{CONSOLE}/sign-in/callback", transport=httpx.MockTransport(away))
    try:
        browser = world.browser()
        browser.client.cookies.set("journeymesh", session_id)
        for _ in range(2):
            answer = browser.get("/policies")
            assert answer.status_code == 503
            assert "You are not signed out" in answer.text
        assert browser.get("/sign-in").status_code == 200
        assert world.run(state["sessions"].of(session_id)) is not None
        assert browser.post("/sign-out", {"form_token": session.form_token}).status_code == 303
        assert world.run(state["sessions"].of(session_id)) is None
    finally:
        state["oidc"].close()
        state["oidc"] = oidc
