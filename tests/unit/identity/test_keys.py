"""Published keys: kept, renewed, given up; whatever the server that publishes them does."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc.jwk import ECKey, Key

from journeymesh.identity.answers import MAX_ANSWER_BYTES, Asking, ProviderAnswer
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.keys import KeyTimes, RemoteKeys
from tests.support.scripted_server import Exchange, scripted_server
from tests.support.tokens_made import EC, ED, RSA, jwks

ROTATED = ECKey.generate_key("P-256", {"kid": "ec-2"})


class Publisher:
    """Publishes keys to those who call; counts them; can be down."""

    def __init__(self, *keys: Key) -> None:
        self.keys = keys
        self.calls = 0
        self.down = False
        self.now_s = 1000.0
        self.times = KeyTimes()

    def __call__(self) -> ProviderAnswer:
        self.calls += 1
        if self.down:
            raise ProviderUnavailable("idp", "it cannot be reached")
        return ProviderAnswer(200, jwks(*self.keys))

    def remote(self) -> RemoteKeys:
        return RemoteKeys("idp", self, patience_s=5, times=self.times, clock=lambda: self.now_s)


def test_keys_are_fetched_at_the_first_need_and_kept() -> None:
    publisher = Publisher(EC, RSA)
    keys = publisher.remote()
    assert (publisher.calls, keys.age_s, keys.trusted) == (0, None, False)
    assert keys.find("ec-1", "ES256").thumbprint() == EC.thumbprint()
    assert keys.find("rsa-1", "RS256").thumbprint() == RSA.thumbprint()
    publisher.now_s += 299
    keys.find("ec-1", "ES256")
    assert (publisher.calls, keys.age_s, keys.trusted) == (1, 299.0, True)


def test_a_rotated_key_works_at_once_and_the_former_one_while_it_is_published() -> None:
    publisher = Publisher(EC)
    keys = publisher.remote()
    keys.find("ec-1", "ES256")
    publisher.now_s += 5
    publisher.keys = (EC, ROTATED)
    assert keys.find("ec-2", "ES256").thumbprint() == ROTATED.thumbprint()
    assert keys.find("ec-1", "ES256").thumbprint() == EC.thumbprint()
    assert publisher.calls == 2


def test_a_withdrawn_key_ends_with_the_next_refresh() -> None:
    publisher = Publisher(EC, ED)
    keys = publisher.remote()
    keys.find("ec-1", "ES256")
    publisher.keys = (ED,)
    publisher.now_s += 299
    keys.find("ec-1", "ES256")
    publisher.now_s += 1
    with pytest.raises(TokenRefused, match="key_unknown"):
        keys.find("ec-1", "ES256")


def test_an_outage_is_bridged_for_an_hour_and_then_nobody_gets_in() -> None:
    publisher = Publisher(EC)
    keys = publisher.remote()
    keys.find("ec-1", "ES256")
    publisher.down = True
    for _ in range(3599):
        publisher.now_s += 1
        keys.find("ec-1", "ES256")
    assert publisher.calls < 2000  # it is tried again all the time, but not at every need
    publisher.now_s += 1
    assert not keys.trusted
    with pytest.raises(ProviderUnavailable):
        keys.find("ec-1", "ES256")
    publisher.down = False
    publisher.now_s += 2
    keys.find("ec-1", "ES256")


def test_a_failed_fetch_is_not_tried_again_at_once() -> None:
    publisher = Publisher(EC)
    publisher.down = True
    keys = publisher.remote()
    for _ in range(50):
        with pytest.raises(ProviderUnavailable):
            keys.find("ec-1", "ES256")
    assert publisher.calls == 1


def test_invented_key_ids_cause_a_bounded_number_of_fetches() -> None:
    publisher = Publisher(EC)
    keys = publisher.remote()
    answers: dict[type, int] = {}
    for n in range(1000):
        publisher.now_s += 0.01
        with pytest.raises((TokenRefused, ProviderUnavailable)) as raised:
            keys.find(f"invented-{n}", "ES256")
        answers[raised.type] = answers.get(raised.type, 0) + 1
    assert publisher.calls <= 5 + 10 / 2 + 1
    assert answers[ProviderUnavailable] > 900  # not "refused": the key may be new, nobody can say at this moment
    keys.find("ec-1", "ES256")  # and whoever's key is known is not held up


def test_a_known_key_that_does_not_fit_is_no_reason_to_fetch() -> None:
    publisher = Publisher(EC, ROTATED)
    keys = publisher.remote()
    keys.find("ec-1", "ES256")
    publisher.now_s += 5
    for kid, algorithm in (("ec-1", "RS256"), ("ec-1", "ES384"), (None, "ES256"), (None, "RS256")):
        with pytest.raises(TokenRefused, match="key_unknown"):
            keys.find(kid, algorithm)
    assert publisher.calls == 1


def test_a_hundred_threads_with_an_unknown_key_fetch_a_bounded_number_of_times() -> None:
    publisher = Publisher(EC)
    held = threading.Event()

    def slow() -> ProviderAnswer:
        answer = publisher()
        held.wait(0.2)
        return answer

    keys = RemoteKeys("idp", slow, patience_s=10)
    keys.find("ec-1", "ES256")
    before = publisher.calls
    start = threading.Barrier(100)

    def ask(_: int) -> str:
        start.wait()
        try:
            keys.find("unknown", "ES256")
        except TokenRefused as refused:
            return refused.reason
        except ProviderUnavailable:
            return "unavailable"
        return "found"

    with ThreadPoolExecutor(100) as threads:
        answers = set(threads.map(ask, range(100)))
    assert "found" not in answers
    assert 1 <= publisher.calls - before <= 5


def test_threads_with_known_keys_do_not_wait_for_a_refresh() -> None:
    publisher = Publisher(EC)
    go, entered = threading.Event(), threading.Event()

    def fetch() -> ProviderAnswer:
        if publisher.calls:
            entered.set()
            go.wait(10)
        return publisher()

    keys = RemoteKeys("idp", fetch, patience_s=10, clock=lambda: publisher.now_s)
    keys.find("ec-1", "ES256")
    publisher.now_s += 400
    with ThreadPoolExecutor(1) as threads:
        refreshing = threads.submit(keys.find, "ec-1", "ES256")
        assert entered.wait(10)
        began = time.monotonic()
        keys.find("ec-1", "ES256")
        assert time.monotonic() - began < 1
        go.set()
        refreshing.result(10)
    assert publisher.calls == 2


def garbage(exchange: Exchange) -> None:
    exchange.answer(b"<html>not now</html>")


def error(exchange: Exchange) -> None:
    exchange.answer({"keys": jwks(EC)["keys"]}, status=500)


def nothing(exchange: Exchange) -> None:
    exchange.answer({"keys": []})


def secrets_only(exchange: Exchange) -> None:
    exchange.answer({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "ec-1"}]})


def endless(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.end_headers()
    for _ in range(MAX_ANSWER_BYTES // 65_536 + 2):
        exchange.wfile.write(b" " * 65_536)
    exchange.close_connection = True


def trickling(exchange: Exchange) -> None:
    exchange.send_response(200)
    exchange.end_headers()
    for _ in range(60):
        exchange.wfile.write(b" ")
        time.sleep(0.05)
    exchange.close_connection = True


def trickling_headers(exchange: Exchange) -> None:
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Padding: ")
    for _ in range(60):
        exchange.wfile.write(b"x")
        exchange.wfile.flush()
        time.sleep(0.05)
    exchange.close_connection = True


def silent(exchange: Exchange) -> None:
    time.sleep(2)


def gone(exchange: Exchange) -> None:
    exchange.close_connection = True


def elsewhere(exchange: Exchange) -> None:
    exchange.answer(jwks(EC), status=302, Location=f"http://{exchange.headers['Host']}/other")


@pytest.mark.parametrize(
    "script",
    [garbage, error, nothing, secrets_only, endless, trickling, trickling_headers, silent, gone, elsewhere],
    ids=lambda s: s.__name__,
)
def test_a_server_that_does_not_publish_keys_lets_nobody_in_and_holds_nobody_up(script) -> None:  # type: ignore[no-untyped-def]
    with scripted_server(script) as server:
        asking = Asking("idp", timeout_s=0.3)
        keys = RemoteKeys("idp", lambda: asking.get(server.url), patience_s=0.3)
        began = time.monotonic()
        with pytest.raises(ProviderUnavailable, match="idp") as raised:
            keys.find("ec-1", "ES256")
        assert time.monotonic() - began < 1.5
        assert raised.value.retry_after_s > 0
        asking.close()


def test_a_server_that_publishes_keys_is_believed() -> None:
    with scripted_server(lambda exchange: exchange.answer(jwks(EC))) as server:
        asking = Asking("idp", timeout_s=2)
        keys = RemoteKeys("idp", lambda: asking.get(server.url), patience_s=2)
        assert keys.find("ec-1", "ES256").thumbprint() == EC.thumbprint()
        asking.close()
        with pytest.raises(ProviderUnavailable):
            asking.get(server.url)
