"""journeyapi as its own process, over real stores and real sockets."""

from __future__ import annotations

import io
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance, unsupported_method
from tests.support import records
from tests.support.journeyapis import FOREIGN, NOON, POLICY
from tests.support.served_journeyapi import served

from journeymesh import wiring
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch

# Every request bears a token that holds (other tests walk the routes without); which cursors and fields there are no
# schema says; TRACE and the like are the server's to refuse.
_NOT_OURS = (ignored_auth, positive_data_acceptance, unsupported_method)
SUMMARY = "/v1/policies/P-1/summary"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, httpx.Client]]:
    """A store with forty journeys of one policy, and a client of the service over it."""
    folder = tmp_path_factory.mktemp("journeyapi")
    url = f"sqlite:///{folder}/journeys.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")
    opened = wiring.open_store(url)
    opened.migrate()
    put = [records.journey(start=NOON + timedelta(days=n)) for n in range(40)]
    fixes = records.fixes("car-1", NOON, NOON + timedelta(minutes=5))
    opened.write(StoreBatch(journeys=records.journeys(*put), policies=[POLICY, FOREIGN], fixes=fixes))
    with served(url, f"sqlite:///{folder}/answers.db") as (client, _):
        yield opened, client
    opened.close()


def test_journeys_summaries_tracks_and_exports_come_over_the_wire(api: tuple[Store, httpx.Client]) -> None:
    _, client = api
    page = client.get("/v1/policies/P-1/journeys?limit=30").json()
    rest = client.get(f"/v1/policies/P-1/journeys?limit=30&cursor={page['next']}").json()
    assert len(page["items"]) + len(rest["items"]) == 40
    track = client.get(f"/v1/journeys/{page['items'][0]['journey_id']}/track").json()
    assert len(track["items"]) == 2
    parquet = client.get("/v1/policies/P-1/journeys", headers={"accept": "application/vnd.apache.parquet"})
    assert len(pq.read_table(io.BytesIO(parquet.content))) == 40
    assert sum(row["journeys"] for row in client.get(SUMMARY).json()["items"]) == 40


def test_many_callers_at_once_each_get_the_whole_answer(api: tuple[Store, httpx.Client]) -> None:
    _, client = api
    expected = client.get("/v1/policies/P-1/journeys?limit=1000").json()

    def ask(n: int) -> bool:
        return client.get(f"/v1/policies/P-1/journeys?limit={1000 - n % 3}").json()["items"] == expected["items"]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(ask, range(200)))


def test_what_is_written_is_answered_within_a_second(api: tuple[Store, httpx.Client]) -> None:
    store, client = api
    tag = client.get(SUMMARY).headers["etag"]
    assert client.get(SUMMARY, headers={"if-none-match": tag}).status_code == 304
    store.write(StoreBatch(journeys=records.journeys(records.journey(start=NOON + timedelta(days=41)))))
    time.sleep(1.0)
    answer = client.get(SUMMARY, headers={"if-none-match": tag})
    assert answer.status_code == 200
    assert sum(row["journeys"] for row in answer.json()["items"]) == 41


def test_fixes_handed_in_are_journeys_when_the_answer_comes(api: tuple[Store, httpx.Client]) -> None:
    store, client = api
    rows = [
        {
            "vehicle": "car-2",
            "fixed_at": (NOON + timedelta(seconds=5 * n)).isoformat(),
            "lat_deg": 51.5 + n / 2000,
            "lon_deg": 0.1,
        }
        for n in range(120)
    ]
    answers = [client.post("/v1/fixes", json={"fixes": rows}, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert [answer.json() for answer in answers] == [
        {"accepted": 120, "refused": [], "again": again} for again in (False, True)
    ]
    assert len(store.journeys(JourneyQuery(policy="P-2"))) == 1


def test_on_sigterm_readyz_fails_first_and_requests_under_way_end(tmp_path: Path) -> None:
    opened = wiring.open_store(f"sqlite:///{tmp_path}/journeys.db")
    opened.migrate()
    put = [records.journey(start=NOON + timedelta(minutes=30 * n)) for n in range(20_000)]
    opened.write(StoreBatch(journeys=records.journeys(*put), policies=[POLICY]))
    opened.close()
    with served(f"sqlite:///{tmp_path}/journeys.db", f"sqlite:///{tmp_path}/answers.db") as (client, process):
        lines: list[str] = []

        def export() -> None:
            with client.stream(
                "GET", "/v1/policies/P-1/journeys", headers={"accept": "application/x-ndjson"}
            ) as answer:
                lines.extend(answer.iter_lines())

        under_way = threading.Thread(target=export)
        under_way.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        with httpx.Client(base_url=client.base_url) as other:
            assert other.get("/readyz").status_code == 503
            assert other.get("/livez").status_code == 200
        under_way.join(30)
        assert len(lines) == 20_000
        assert process.wait(30) == 0


def test_no_request_gets_a_5xx_or_an_answer_that_is_not_documented(api: tuple[Store, httpx.Client]) -> None:
    _, client = api
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    asked: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=40, database=None, suppress_health_check=list(HealthCheck))
        @seed(20260101)
        def answered(case: schemathesis.Case) -> None:
            case.headers["authorization"] = "Bearer analyst"
            if "policy" in case.path_parameters and len(str(case.path_parameters["policy"])) % 2:
                case.path_parameters["policy"] = "P-1"
            case.call_and_validate(timeout=30, excluded_checks=[*_NOT_OURS])
            asked[case.operation.label] += 1

        answered()
    assert sum(label.partition(" ")[2].startswith("/v1/") for label in asked) == 13
    assert sum(asked.values()) > 100
