"""What the measurements of delivery count as failed and as healed."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator

import pytest
from benchmarks.delivery.load import Ask, Load
from benchmarks.delivery.stage import steady


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/broken" else 401 if self.path == "/closed" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def served() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def loaded(url: str, *asks: Ask, seconds: float = 1.0) -> Load:
    with Load(url, asks, per_s=40) as load:
        time.sleep(seconds)
    return load


def test_what_is_answered_as_expected_is_no_failure(served: str) -> None:
    answers = loaded(served, Ask("/"), Ask("/closed", expected=401)).answers
    assert answers.failed == 0
    assert 20 <= answers.asked <= 60
    assert len(answers.latencies_ms) == answers.asked


def test_every_other_answer_is_one_with_its_path(served: str) -> None:
    answers = loaded(served, Ask("/"), Ask("/broken")).answers
    assert set(answers.failures) == {"500 /broken"}
    assert abs(answers.failed - answers.asked / 2) <= 1


def test_a_broken_connection_is_one_too() -> None:
    answers = loaded("http://127.0.0.1:9", Ask("/"), seconds=0.5).answers
    assert answers.asked == answers.failed > 0


def test_an_object_made_again_is_the_same_and_a_changed_one_is_not() -> None:
    service = {
        "kind": "Service",
        "metadata": {"name": "a", "uid": "1", "resourceVersion": "7"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [8080]},
    }
    again = {**service, "metadata": {"name": "a", "uid": "2"}, "spec": {"clusterIP": "10.0.0.2", "ports": [8080]}}
    other = {**service, "spec": {"clusterIP": "10.0.0.1", "ports": [9090]}}
    assert steady(service) == steady(again) != steady(other)
    assert steady({**service, "metadata": {"name": "a", "deletionTimestamp": "now"}}) is None
