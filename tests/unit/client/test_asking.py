"""How a request is carried out: tokens, failures, time, what is remembered."""

from __future__ import annotations

import base64
import inspect
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from journeymesh.client import AsyncJourneymesh, Journeymesh, Retries
from journeymesh.client.errors import (
    AccessDenied,
    AnswerUnreadable,
    ApiError,
    Conflicting,
    NotThere,
    RateLimited,
    RequestRefused,
    ServiceUnavailable,
    TokenNotAccepted,
)
from journeymesh.client.journey_calls import Product
from journeymesh.client.retries import retry_after_s
from journeymesh.client.tokens import HeldToken
from journeymesh.errors import NotFound, StoreUnavailable, UsageError
from tests.support.scripted_service import Answer, Asked, json, problem, service

EMPTY = json({"items": []})
PRODUCT = json({"product": "journeys", "contract": {}, "freshness": {}, "quality": {}})
THE_PRODUCT = Product("journeys", {}, {}, {})
FIX = {"vehicle": "V1", "fixed_at": datetime(2026, 1, 1, tzinfo=UTC), "lat_deg": 51.5, "lon_deg": 0.0}


def jwt(expires_in_s: float, name: str = "a") -> str:
    body = msgspec.json.encode({"exp": time.time() + expires_in_s, "name": name})
    return f"h.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.s"


def test_both_clients_have_the_same_calls_with_the_same_parameters() -> None:
    def calls(kind: type) -> dict[str, list[Any]]:
        found = {}
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and name not in ("close", "aclose"):
                parameters = inspect.signature(method).parameters.values()
                found[name] = [*((p.name, p.kind, p.default, p.annotation) for p in parameters), method.__doc__]
        return found

    waiting = calls(Journeymesh)
    assert len(waiting) >= 20
    assert calls(AsyncJourneymesh) == waiting


def test_token_purpose_and_a_trace_reach_the_service(ask: Any) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    with service([EMPTY]) as api, TracerProvider().get_tracer("t").start_as_current_span("outer") as span:
        ask(api.url, lambda c: c.summary("P-1", "month"), token="t1", purpose="pricing")
    headers = api.asked[0].headers
    assert headers["authorization"] == "Bearer t1"
    assert headers["data-purpose"] == "pricing"
    assert f"{span.get_span_context().trace_id:032x}" in headers["traceparent"]
    assert headers["user-agent"].startswith("journeymesh-client/")


def test_a_client_for_another_purpose_shares_the_token_and_leaves_the_first_as_it_is() -> None:
    with service([EMPTY]) as api, Journeymesh(api.url, token="t", purpose="pricing") as client:
        client.for_purpose("claims-handling").summary("P-1")
        client.summary("P-1")
    assert [asked.headers["data-purpose"] for asked in api.asked] == ["claims-handling", "pricing"]


@pytest.mark.parametrize(
    ("status", "kind", "also"),
    [
        (400, RequestRefused, UsageError),
        (401, TokenNotAccepted, ApiError),
        (403, AccessDenied, ApiError),
        (404, NotThere, NotFound),
        (409, Conflicting, ApiError),
        (413, RequestRefused, UsageError),
        (422, RequestRefused, UsageError),
        (429, RateLimited, ApiError),
        (500, ServiceUnavailable, StoreUnavailable),
        (503, ServiceUnavailable, StoreUnavailable),
    ],
)
def test_a_problem_becomes_the_error_of_its_kind(ask: Any, status: int, kind: type, also: type) -> None:
    told = problem(status, "because", reason="purpose_missing", decision_id="d1")
    with service([told]) as api, pytest.raises(kind) as caught:
        ask(api.url, lambda c: c.summary("P-SECRET", "month"), token="t")
    assert isinstance(caught.value, also)
    assert caught.value.status == status
    assert (caught.value.reason, caught.value.decision_id) == ("purpose_missing", "d1")
    assert "GET /v1/policies/{policy}/summary: " in str(caught.value)
    assert "because" in str(caught.value)
    assert "P-SECRET" not in str(caught.value)
    assert caught.value.todo


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"status": {"a": 1}}', b"\xff"])
def test_a_refusal_that_is_no_problem_document_is_still_one_error(ask: Any, body: bytes) -> None:
    with service([Answer(403, {}, body)]) as api, pytest.raises(AccessDenied) as caught:
        ask(api.url, lambda c: c.product())
    assert caught.value.problem is None


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"items": 3}', b'{"items": [{"distance_m": "far"}]}'])
def test_an_answer_of_another_shape_is_unreadable_and_shows_nothing_of_itself(ask: Any, body: bytes) -> None:
    with service([Answer(200, {}, body)]) as api, pytest.raises(AnswerUnreadable) as caught:
        ask(api.url, lambda c: c.summary("P-1"))
    assert "far" not in str(caught.value)


def test_a_read_is_repeated_until_the_service_answers(ask: Any) -> None:
    with service([problem(503, "down"), problem(429, "slow"), Answer(502), PRODUCT]) as api:
        assert ask(api.url, lambda c: c.product()) == [THE_PRODUCT]
    assert len(api.asked) == 4


def test_after_so_many_attempts_the_last_refusal_is_raised(ask: Any) -> None:
    with service([problem(503, "down")]) as api, pytest.raises(ServiceUnavailable):
        ask(api.url, lambda c: c.product(), retries=Retries(attempts=3, first_wait_s=0.001))
    assert len(api.asked) == 3


def test_a_refusal_that_another_try_does_not_change_is_not_repeated(ask: Any) -> None:
    for status in (400, 403, 404, 409, 500):
        with service([problem(status, "no")]) as api, pytest.raises(ApiError):
            ask(api.url, lambda c: c.product())
        assert len(api.asked) == 1, status


def test_what_the_service_asks_to_wait_is_waited(ask: Any) -> None:
    with service([Answer(429, {"retry-after": "1"}), PRODUCT]) as api:
        started = time.monotonic()
        ask(api.url, lambda c: c.product())
    assert time.monotonic() - started >= 1.0


def test_a_service_that_asks_for_a_long_wait_is_not_waited_for_and_the_error_says_how_long(ask: Any) -> None:
    with service([Answer(503, {"retry-after": "3600"})]) as api, pytest.raises(ServiceUnavailable) as caught:
        ask(api.url, lambda c: c.product())
    assert caught.value.retry_after_s == 3600.0
    assert len(api.asked) == 1


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after_s("7", now) == 7.0
    assert retry_after_s(format_datetime(now + timedelta(seconds=90), usegmt=True), now) == 90.0
    assert retry_after_s(format_datetime(now - timedelta(seconds=90), usegmt=True), now) == 0.0
    assert retry_after_s("soon", now) is None
    assert retry_after_s(None, now) is None


def test_waits_grow_are_spread_and_stay_below_the_longest() -> None:
    retries = Retries(attempts=20, first_wait_s=1.0, longest_wait_s=8.0)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (19, 8.0)):
        waits = [retries.wait_s(failures, None) or 0.0 for _ in range(200)]
        assert most / 2 <= min(waits) < max(waits) <= most
    assert all(3.0 <= (retries.wait_s(1, 3.0) or 0.0) <= 8.0 for _ in range(200))
    assert retries.wait_s(20, None) is None


def test_fixes_are_sent_again_under_the_same_key(ask: Any) -> None:
    with service([problem(503, "down"), json({"accepted": 1, "refused": [], "again": False})]) as api:
        assert ask(api.url, lambda c: c.put_fixes([FIX]))[0].accepted == 1
    assert api.asked[0].headers["idempotency-key"] == api.asked[1].headers["idempotency-key"]
    assert api.asked[0].body == api.asked[1].body


def test_a_step_without_a_key_is_never_sent_twice(ask: Any) -> None:
    for answer in (problem(503, "down"), problem(429, "slow"), Answer(200, {}, b"{}" * 50, breaks_after=10)):
        with service([answer]) as api, pytest.raises(ApiError):
            ask(api.url, lambda c: c.approve("a1", "fine"))
        assert len(api.asked) == 1


def test_a_step_is_sent_again_where_no_connection_came_about(ask: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            ask(url, lambda c: c.approve("a1", "fine"), retries=Retries(attempts=3, first_wait_s=0.1))
    assert time.monotonic() - started >= 0.15


def test_a_read_whose_connection_breaks_amid_the_answer_is_repeated(ask: Any) -> None:
    whole = msgspec.json.encode({"product": "journeys", "contract": {}, "freshness": {}, "quality": {}})
    with service([Answer(200, {}, whole, breaks_after=5), PRODUCT]) as api:
        assert ask(api.url, lambda c: c.product()) == [THE_PRODUCT]
    assert len(api.asked) == 2


def test_a_service_that_does_not_answer_in_time_is_given_up(ask: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServiceUnavailable, match="no answer in time"):
            ask(url, lambda c: c.product(), timeout_s=0.2, retries=Retries(attempts=1))


def test_a_function_is_asked_for_the_token_once_while_it_counts(ask: Any) -> None:
    given: list[str] = []

    def token() -> str:
        given.append(jwt(3600))
        return given[-1]

    with service([PRODUCT]) as api:
        ask(api.url, *[lambda c: c.product()] * 3, token=token)
    assert len(given) == 1
    assert len(api.asked) == 3


def test_a_token_is_renewed_before_it_expires(ask: Any) -> None:
    given = iter([jwt(10, "old"), jwt(3600, "next")])
    with service([PRODUCT]) as api:
        ask(api.url, lambda c: c.product(), lambda c: c.product(), lambda c: c.product(), token=lambda: next(given))
    sent = [asked.headers["authorization"] for asked in api.asked]
    assert sent[0] != sent[1]
    assert sent[1] == sent[2]


def test_a_refused_token_is_renewed_once(ask: Any) -> None:
    def answer(asked: Asked) -> Answer:
        return PRODUCT if asked.headers["authorization"] == "Bearer second" else problem(401, "expired")

    given = iter(["first", "second"])
    with service(answer) as api:
        assert ask(api.url, lambda c: c.product(), token=lambda: next(given)) == [THE_PRODUCT]
    assert len(api.asked) == 2


@pytest.mark.parametrize("token", ["fixed", lambda: "same", iter("abcdefgh").__next__])
def test_a_token_that_stays_refused_is_an_error(ask: Any, token: Any) -> None:
    with service([problem(401, "who are you")]) as api, pytest.raises(TokenNotAccepted, match="who are you"):
        ask(api.url, lambda c: c.product(), token=token)
    assert len(api.asked) <= 2


def test_an_awaited_function_gives_the_async_client_its_token() -> None:
    import asyncio

    async def token() -> str:
        await asyncio.sleep(0)
        return "awaited"

    async def run(url: str) -> None:
        async with AsyncJourneymesh(url, token=token) as client:
            await asyncio.gather(*(client.product() for _ in range(5)))

    with service([PRODUCT]) as api:
        asyncio.run(run(api.url))
    assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer awaited"}


def test_threads_share_one_client_and_one_renewal() -> None:
    given: list[str] = []
    guard = threading.Lock()

    def token() -> str:
        time.sleep(0.05)
        with guard:
            given.append(jwt(3600))
        return given[-1]

    with service([PRODUCT]) as api, Journeymesh(api.url, token=token) as client, ThreadPoolExecutor(8) as pool:
        assert all(found == THE_PRODUCT for found in pool.map(lambda _: client.product(), range(40)))
    assert len(given) == 1


def test_what_did_not_change_is_asked_conditionally_and_not_sent_again(ask: Any) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.headers.get("if-none-match") == '"v1"':
            return Answer(304, {"etag": '"v1"'})
        return json({"items": [{"period": "month", "journeys": 3}]}, etag='"v1"')

    with service(answer) as api:
        first, second = ask(api.url, *[lambda c: c.summary("P-1")] * 2, token="t", purpose="pricing")
    assert first.rows == second.rows == [{"period": "month", "journeys": 3}]
    assert [asked.headers.get("if-none-match") for asked in api.asked] == [None, '"v1"']


def test_an_answer_is_remembered_for_its_question_and_purpose_only() -> None:
    with (
        service([json({"items": []}, etag='"v1"')]) as api,
        Journeymesh(api.url, token="t", purpose="pricing") as client,
    ):
        client.summary("P-1", "month")
        client.summary("P-1", "day")
        client.summary("P-2", "month")
        client.for_purpose("claims-handling").summary("P-1", "month")
    assert [asked.headers.get("if-none-match") for asked in api.asked] == [None] * 4


@pytest.mark.parametrize("jwt", [True, False])
def test_an_answer_is_remembered_for_its_asker_only_whatever_token_comes_next(jwt: bool) -> None:
    def token(tenant: str, expires: float) -> str:
        said = base64.urlsafe_b64encode(msgspec.json.encode({"sub": "a", "tenant": tenant, "exp": expires}))
        return f"{tenant}-opaque" if not jwt else f"e30.{said.decode().rstrip('=')}.c2ln"

    tokens = iter([token("north", 1), token("south", 1), token("north", 2)])

    def answer(asked: Asked) -> Answer:
        return Answer(304, {"etag": '"v1"'}) if "if-none-match" in asked.headers else json({"items": []}, etag='"v1"')

    with service(answer) as api, Journeymesh(api.url, token=lambda: next(tokens), purpose="pricing") as client:
        client._held = _AlwaysAnew()
        for _ in range(3):
            client.summary("P-1")
    assert [asked.headers.get("if-none-match") for asked in api.asked] == [None, None, '"v1"']


class _AlwaysAnew(HeldToken):
    def current(self, refused: str | None) -> str | None:
        return None


def test_a_denial_is_never_answered_from_memory_and_forgets_what_was_known() -> None:
    known = json({"items": [{"journeys": 3}]}, etag='"v1"')
    with service([known, problem(403, "revoked"), known]) as api, Journeymesh(api.url) as client:
        client.summary("P-1")
        with pytest.raises(AccessDenied):
            client.summary("P-1")
        client.summary("P-1")
    assert [asked.headers.get("if-none-match") for asked in api.asked] == [None, '"v1"', None]


def test_memory_is_bounded_and_can_be_turned_off() -> None:
    large = json({"items": [], "padding": "x" * 600}, etag='"v1"')
    for most, third in ((1000, None), (0, None), (10_000, '"v1"')):
        with service([large]) as api, Journeymesh(api.url, remember_bytes=most) as client:
            for policy in ("P-1", "P-2", "P-1"):
                client.summary(policy)
        assert api.asked[2].headers.get("if-none-match") == third


@pytest.mark.parametrize("kind", [Journeymesh, AsyncJourneymesh])
def test_a_token_does_not_go_over_plain_http_to_another_machine(kind: Any) -> None:
    with pytest.raises(UsageError, match="in the clear"):
        kind("http://journeys.example.com", token="t")
    kind("http://journeys.example.com", token="t", plain_http=True)
    kind("https://journeys.example.com", token="t")
    for wrong in ("journeys.example.com", "ftp://x", "https://user:pw@x", "https://x?a=1", ""):
        with pytest.raises(UsageError) as caught:
            kind(wrong, token="t")
        assert "pw" not in str(caught.value)


def test_a_redirect_is_not_followed_with_the_token(ask: Any) -> None:
    with (
        service([PRODUCT]) as elsewhere,
        service([Answer(302, {"location": elsewhere.url})]) as api,
        pytest.raises(ApiError),
    ):
        ask(api.url, lambda c: c.product(), token="t")
    assert not elsewhere.asked
