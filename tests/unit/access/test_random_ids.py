"""Ids of requests and decisions: nobody is given one twice."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from journeymesh.access.random_ids import random_id


def test_no_id_is_given_twice_whoever_asks() -> None:
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda _: random_id(), range(20_000)))
    assert len(set(given)) == len(given)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in given)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_is_given_other_ids_than_its_parent() -> None:
    random_id()  # the ids after it are ready
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, "".join(random_id() for _ in range(300)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        others = told.read()
    os.waitpid(child, 0)
    assert len(others) == 300 * 32
    assert not {others[at : at + 32] for at in range(0, len(others), 32)} & {random_id() for _ in range(300)}
