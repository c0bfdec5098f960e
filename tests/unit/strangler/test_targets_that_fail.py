"""A target that vanishes, and a legacy whose documents changed their shape: recorded, nothing lost, gone on from."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from journeymesh.errors import StoreUnavailable
from journeymesh.strangler.control import now_us
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.feeds import LagState, feed_of, lag_of
from tests.support.builders import drive
from tests.support.feeds import Bench, policy_of


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    held = Bench(tmp_path)
    held.legacy.held_policies = [policy_of(f"V{k}") for k in range(4)]
    for k in range(4):
        held.legacy.put(drive((12.0, 120), vehicle=f"V{k}", every_s=5))
    held.route()
    return held


class Flaky:
    """A store that cannot be written while ``is_gone`` is set."""

    def __init__(self, store: Any, is_gone: threading.Event) -> None:
        self._store, self._is_gone = store, is_gone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, batch: Any) -> None:
        if self._is_gone.is_set():
            raise StoreUnavailable("target: the server closed the connection", todo="bring it back")
        self._store.write(batch)


def test_a_target_that_vanishes_while_it_is_written_is_gone_on_from_when_it_is_back(bench: Bench) -> None:
    is_gone, stop = threading.Event(), threading.Event()
    feeder: Feeder = replace(
        bench.feeder(chunk_fixes=40), open_store=lambda name: Flaky(bench.open_store(name), is_gone)
    )
    thread = threading.Thread(target=feeder.run, args=(stop,))
    is_gone.set()
    thread.start()
    try:
        assert _soon(lambda: _state(bench) is LagState.FAILED)
        assert not bench.is_complete()
        is_gone.clear()
        assert _soon(bench.is_complete)
        is_gone.set()
        bench.legacy.put(drive((12.0, 60), vehicle="V1", every_s=5, lat=50.0))
        assert _soon(lambda: _state(bench) is LagState.FAILED)
        assert bench.is_complete()  # nothing is lost: it is only late
        is_gone.clear()
        assert _soon(lambda: bench.digest() == bench.expected())
    finally:
        stop.set()
        thread.join()


def test_documents_that_changed_their_shape_are_refused_and_their_journeys_go(bench: Bench) -> None:
    bench.feed()
    before = bench.digest()
    for document, (vehicle, at_us, _, _, speed) in list(bench.legacy.rows.items()):
        if vehicle == "V2":  # an application writes a position that is none
            bench.legacy.change(document, (vehicle, at_us, np.nan, np.nan, speed))
    bench.feed()
    assert bench.digest() == bench.expected() != before


def _state(bench: Bench) -> LagState:
    return lag_of(feed_of(bench.control, "legacy", "embedded"), now_us()).state


def _soon(holds: Any, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.05)
    return False
