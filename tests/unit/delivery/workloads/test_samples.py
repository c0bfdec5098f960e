"""The samples answer, drain, and pass the tests that are generated for them; a bad release does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.support.sample_servers import NEEDED, Running, running
from tests.support.trees import REPOSITORY, a_tree, begun


@pytest.fixture(scope="module", params=NEEDED)
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as begun_sample:
        yield begun_sample


def test_a_sample_answers_with_its_name_and_language_and_nothing_else(sample: Running) -> None:
    answer = httpx.get(sample.address + "/").json()
    assert answer["name"] == "hello"
    assert answer["language"].lower().startswith(sample.language)
    assert httpx.get(sample.address + "/livez").status_code == 200
    assert httpx.get(sample.address + "/readyz").status_code == 200
    assert httpx.get(sample.address + "/other").status_code == 404
    assert httpx.post(sample.address + "/").status_code >= 400


def test_a_sample_passes_its_generated_tests(sample: Running, tmp_path: Path) -> None:
    code, said = generated_tests(tmp_path, sample.address)
    assert code == 0, said
    assert " passed" in said


def test_a_sample_ends_by_itself_when_it_is_told_to(sample: Running) -> None:
    code, said = sample.told_to_end()
    assert "drained" in said
    assert code in (0, 143)


@pytest.mark.parametrize("language", ["python", "node"])
def test_a_request_that_has_begun_is_answered_after_sigterm(language: str, tmp_path: Path) -> None:
    """Go and Java close what has not yet sent the whole head of a request."""
    with running(language, tmp_path) as sample, socket.create_connection(("127.0.0.1", sample.port)) as caller:
        caller.settimeout(10)
        caller.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n")
        assert httpx.get(sample.address + "/livez").status_code == 200, "so the other connection was accepted before"
        sample.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            sample.process.wait(0.5)
        caller.sendall(b"Connection: close\r\n\r\n")
        assert caller.recv(65536).split(b" ", 2)[1] == b"200"
        assert sample.process.wait(10) == 0


def test_a_bad_release_fails_the_generated_tests_where_it_is_bad(tmp_path: Path) -> None:
    statuses = {"/": 500, "/livez": 503, "/.env": 200, "/metrics": 200}

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, said = generated_tests(tmp_path, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert code == 1, said
    failed = {line.rpartition("::")[2].split(" ")[0] for line in said.splitlines() if line.startswith("FAILED")}
    assert failed == {
        "test_it_lives",
        "test_it_answers",
        "test_it_answers_again_and_again",
        "test_what_nobody_announced_answers_like_any_unknown_path[/.env]",
        "test_what_nobody_announced_answers_like_any_unknown_path[/metrics]",
    }


def generated_tests(folder: Path, address: str) -> tuple[int, str]:
    """How the generated tests end against this address."""
    tests = begun(a_tree(folder)) / "e2e"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", str(tests)],
        cwd=folder,
        env={
            **os.environ,
            "BASE_URL": address,
            "PYTHONDONTWRITEBYTECODE": "1",
            "REACHED_WITHIN_S": "1",
            # As a workload's own image has it: pytest alone, not all that this repository's tests bring to it.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_generated_tests_are_as_this_repository_formats_and_lints_its_own(tmp_path: Path) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed")
    tests = begun(a_tree(tmp_path), "a-name-of-forty-characters-as-long-as-be") / "e2e"
    settings = ["--config", str(REPOSITORY / "pyproject.toml"), "--no-cache", str(tests)]
    for check in (["format", "--check"], ["check"]):
        done = subprocess.run([str(ruff), *check, *settings], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
