"""What a body may become in memory, and what bodies may be held at once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.databases.database import now_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.services.http.bodies import BodyBudget, LeasedAnswer, read_body
from journeymesh.services.http.problems import ProblemRaised
from journeymesh.services.journeyapi.fix_bodies import read_fixes
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers, answers_database
from journeymesh.services.journeyapi.ports import RefusedFix
from journeymesh.services.journeyapi.reading import ReadingThreads
from tests.support.body_attacks import HONEST, HOSTILE
from tests.support.deciding import Told
from tests.support.journeyapis import Served

MOST_MIB = 200


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[int, float]]:
    """(status, MiB that reading it took) of every body, read in a process of its own."""
    command = [sys.executable, "-m", "tests.support.body_attacks"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, timeout=600).stdout
    return {name: (status, mib) for name, status, mib in map(json.loads, printed.splitlines())}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read as Linux tells them")
@pytest.mark.parametrize("name", [*HOSTILE, *HONEST])
def test_no_body_takes_more_memory_than_its_bound(name: str, outcomes: dict[str, tuple[int, float]]) -> None:
    status, mib = outcomes[name]
    assert status == {**HOSTILE, **HONEST}[name][1]
    assert mib <= MOST_MIB


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"vehicle":{"a":1}}', "vehicle_missing"),
        (b'{"vehicle":["a"]}', "vehicle_missing"),
        (b'{"vehicle":"a","fixed_at":[1]}', "clock_unparseable"),
        (b'{"vehicle":"a","fixed_at":"2024-03-04T12:00:00Z","lat_deg":{},"lon_deg":1}', "position_unparseable"),
    ],
)
def test_a_value_that_is_nested_refuses_its_row_and_no_other(row: bytes, reason: str) -> None:
    good = b'{"vehicle":"a","fixed_at":"2024-03-04T12:00:00Z","lat_deg":1,"lon_deg":1}'
    fixes, refused = read_fixes("application/json", b'{"fixes":[' + good + b"," + row + b"]}", 2)
    assert len(fixes) == 1
    assert [(each.row, each.reason) for each in refused] == [(1, reason)]


def test_the_row_that_is_too_many_is_413_and_the_one_before_is_not() -> None:
    row = b'{"vehicle":"a","fixed_at":"2024-03-04T12:00:00Z","lat_deg":1,"lon_deg":1,"note":{"x":[{},{}]}}'
    body = b'{"fixes":[' + b",".join([row] * 3) + b"]}"
    assert len(read_fixes("application/json", body, 3)[0]) == 3
    with pytest.raises(ProblemRaised) as raised:
        read_fixes("application/json", body, 2)
    assert raised.value.kind.status == 413


class HttpRequest:
    """A request whose body comes in these pieces."""

    def __init__(self, pieces: Sequence[bytes], **headers: str) -> None:
        self.scope = {"headers": [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]}
        self.pieces = list(pieces)

    async def receive(self) -> dict[str, object]:
        if not self.pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": True}


@pytest.mark.parametrize(
    ("pieces", "headers", "status"),
    [
        ([b"x" * 5, b"x" * 6], {}, 413),
        ([], {"content_length": "11"}, 413),
        ([], {"content_length": "9" * 10_000}, 413),
        ([b"x" * 8], {}, 400),
        ([b"x" * 5, b"x" * 4], {"content_length": "9"}, 429),
    ],
)
def test_a_body_that_is_too_large_or_breaks_off_gives_back_what_it_took(
    pieces: list[bytes], headers: dict[str, str], status: int
) -> None:
    budget = BodyBudget(8)
    lease = budget.lease()
    with pytest.raises(ProblemRaised) as raised:
        asyncio.run(read_body(HttpRequest(pieces, **headers), lease, 10))
    assert raised.value.kind.status == status
    lease.release()
    lease.release()
    assert budget.used_bytes == 0


def test_all_bodies_at_once_have_one_budget_and_what_is_beyond_it_is_429(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:
            entered.set()
            leave.wait(20)
            return ()

    database = answers_database(f"sqlite:///{tmp_path}/answers.db")
    database.migrate()
    row = b'{"vehicle":"car-1","fixed_at":"2024-03-04T12:00:00Z","lat_deg":1,"lon_deg":1}'
    body = b'{"fixes":[' + row + b"]}" + b" " * 1_000
    told = {"authorization": "Bearer analyst", "content-type": "application/json"}
    with Served(
        decisions=Told(), taker=Slow(), kept=KeptAnswers(database), http={"bodies_bytes": len(body) + 100}
    ) as served:

        def post(key: str):
            return served.client.post("/v1/fixes", content=body, headers={**told, "idempotency-key": key})

        first = threading.Thread(target=post, args=("a",))
        first.start()
        assert entered.wait(20)
        second = post("b")
        assert (second.status_code, second.headers["retry-after"]) == (429, "2")
        leave.set()
        first.join()
        assert post("b").status_code == 200
    database.close()


def test_work_that_goes_on_after_its_request_keeps_what_it_holds_until_it_ends() -> None:
    async def run() -> None:
        threads = ReadingThreads(1, 1)
        leave, ended = threading.Event(), []
        begun = asyncio.ensure_future(threads.work(lambda: leave.wait(20), after=lambda: ended.append("first")))
        queued = asyncio.ensure_future(threads.work(lambda: None, after=lambda: ended.append("second")))
        await asyncio.sleep(0.05)
        with pytest.raises(ProblemRaised):
            await threads.work(lambda: None, after=lambda: ended.append("third"))
        assert ended == ["third"]
        queued.cancel()
        begun.cancel()
        await asyncio.sleep(0.05)
        assert ended == ["third", "second"]
        leave.set()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if len(ended) == 3:
                break
        assert ended == ["third", "second", "first"]
        assert await threads.work(lambda: 1, after=lambda: None) == 1
        threads.close()

    asyncio.run(run())


def test_an_answer_counts_as_a_body_while_it_is_sent_and_no_longer_whatever_comes_of_it() -> None:
    body = bytes(range(256)) * 4_000
    budget = BodyBudget(1_000)

    async def nothing() -> None:
        raise AssertionError("nothing is asked of the client")

    def sent(breaks_off_at: int | None) -> bytes:
        came: list[bytes] = []

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                return
            assert budget.used_bytes == len(body)
            assert not budget.take_if_left(1)
            if len(came) == breaks_off_at:
                raise ConnectionResetError
            came.append(message["body"])  # type: ignore[arg-type]
            assert message["more_body"] == (sum(map(len, came)) < len(body))

        answer = LeasedAnswer(budget, (), body)
        assert budget.used_bytes == 0
        try:
            asyncio.run(answer.send(nothing, send))  # type: ignore[arg-type]
        finally:
            assert budget.used_bytes == 0
        return b"".join(came)

    assert sent(None) == body
    with pytest.raises(ConnectionResetError):
        sent(2)


def test_a_large_answer_is_kept_small_and_one_that_was_kept_as_it_was_is_still_given(tmp_path: Path) -> None:
    database = answers_database(f"sqlite:///{tmp_path}/answers.db")
    database.migrate()
    large = json.dumps([{"row": row, "reason": "vehicle_not_admitted"} for row in range(20_000)]).encode()
    kept = KeptAnswers(database)
    assert kept.once("one", "digest", lambda: large) == (large, False)
    with database.writing() as connection:
        (stored,) = connection.execute(sa.select(answers.c.body)).one()
        assert len(stored) < len(large) / 5
        connection.execute(sa.insert(answers).values(key="before", request="digest", body=large, at_us=now_us()))
    for key in ("one", "before"):
        assert kept.once(key, "digest", lambda: b"done again") == (large, True)
