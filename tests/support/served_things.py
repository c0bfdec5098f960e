"""A small service as a process, served as real ones are.

``python -m tests.support.served_things SETTINGS`` prints its port.

``SETTINGS`` are ``HttpConfig``'s as JSON, and ``descriptors``: how many the process may open at all.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from journeymesh.access.decision import Decision
from journeymesh.services.http.answers import ReadyAnswer, json_answer
from journeymesh.services.http.building import Service, build_http
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.queries import json_body
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import HttpRoute
from journeymesh.services.http.serving import serve
from tests.support import programs
from tests.support.deciding import Told


@HttpRoute("GET", "/v1/slow", capability="product:read")
async def slow(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    await asyncio.sleep(3)
    return json_answer(b"{}", {})


@HttpRoute("POST", "/v1/things", capability="product:read")
async def put_thing(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    return json_answer(json.dumps(len(await json_body(request, dict[str, str]))).encode(), {})


def main(settings: str) -> None:
    """Serve until told to stop."""
    told = json.loads(settings)
    if (descriptors := told.pop("descriptors", None)) is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    unlimited = {"burst": 10**6, "requests_per_s": 1e6, "strangers_burst": 10**6, "strangers_per_s": 1e6}
    config, life = HttpConfig(**{**unlimited, "access_log": False, **told}), Life()
    service = Service(
        name="things", title="Things", version="1", told="Of things", routes=[slow, put_thing], decisions=Told(),
        config=config, life=life,
    )  # fmt: skip
    serve(build_http(service), "127.0.0.1", 0, life=life, config=config, on_ready=lambda port: print(port, flush=True))


@contextmanager
def served_things(*, fresh: bool = False, **settings: Any) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """(the port of the running service, its process). ``fresh``: one whose memory is to be looked at, so not forked."""
    command = [sys.executable, "-m", "tests.support.served_things", json.dumps(settings)]
    begin = subprocess.Popen if fresh else programs.Popen
    process = begin(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.communicate(timeout=30)


if __name__ == "__main__":
    main(sys.argv[1])
