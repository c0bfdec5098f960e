"""journeyapi as a process, over the store whose URL it is given, with a decider that says what tokens say.

``python -m tests.support.served_journeyapi STORE_URL ANSWERS_URL`` prints its port once it serves, and ends on SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from journeymesh import wiring
from journeymesh.journeys.rules import BUILT_IN
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.serving import serve
from journeymesh.services.journeyapi.app import build_app
from journeymesh.services.journeyapi.config import JourneyapiConfig
from journeymesh.services.journeyapi.ingest import StoreTaker
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers_database
from journeymesh.services.journeyapi.ports import ServedData
from journeymesh.services.journeyapi.product import StoreProduct
from journeymesh.services.journeyapi.versions import StoreVersions
from journeymesh.strangler.policy_book import PolicyBook
from tests.support import programs
from tests.support.deciding import Told

HTTP = HttpConfig(burst=10**6, requests_per_s=1e6, strangers_burst=10**6, strangers_per_s=1e6, linger_s=0.5)


def main(store_url: str, answers_url: str) -> None:
    """Serve until told to stop."""
    with ExitStack() as opened:
        store = opened.enter_context(contextlib.closing(wiring.open_store(store_url)))
        database = opened.enter_context(contextlib.closing(answers_database(answers_url)))
        database.migrate()
        versions = opened.enter_context(StoreVersions(store))
        book = opened.enter_context(PolicyBook(store.policies))
        life = Life(checks={"store": versions.fault})
        app = build_app(
            JourneyapiConfig(cursor_key=bytes(32), http=HTTP),
            Told(),
            ServedData(
                reads=store,
                policies=book,
                versions=versions,
                product=StoreProduct({"id": "journeys"}, store),
                taker=StoreTaker(store, BUILT_IN["always-on"]),
                kept=KeptAnswers(database),
            ),
            life=life,
        )
        serve(app, "127.0.0.1", 0, life=life, config=HTTP, on_ready=lambda port: print(port, flush=True))


@contextmanager
def served(store_url: str, answers_url: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """(a client of the running service, its process)."""
    command = [sys.executable, "-m", "tests.support.served_journeyapi", store_url, answers_url]
    # The log goes to a file: a pipe that nobody empties fills up, and the service waits for it.
    with tempfile.TemporaryFile() as log:
        process = programs.Popen(command, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ))
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                log.seek(0)
                raise AssertionError(log.read().decode())
            with httpx.Client(
                base_url=f"http://127.0.0.1:{int(line)}", headers={"authorization": "Bearer analyst"}, timeout=30.0
            ) as client:
                yield client, process
        finally:
            process.terminate()
            process.communicate(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:3])
