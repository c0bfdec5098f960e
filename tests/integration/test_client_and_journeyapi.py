"""The client against journeyapi as it is served: what one sends the other reads, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, Served, filled
from tests.support.served_app import served_app
from tests.unit.services.test_journeyapi_book import book

from journeymesh.client import AsyncJourneymesh, Journeymesh
from journeymesh.client.errors import AccessDenied, NotThere, RequestRefused, TokenNotAccepted
from journeymesh.errors import UsageError
from journeymesh.governance.obligations import Obligations
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.services.journeyapi.ingest import StoreTaker
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers_database
from journeymesh.stores.port import JourneyQuery, StoreBatch, Superseded
from journeymesh.wire.identity import Reason


@pytest.fixture
def api() -> Iterator[tuple[str, Served]]:
    with Served(store=filled(7)) as served, served_app(served.app) as url:
        yield url, served


def test_journeys_come_page_by_page_and_as_one_table(api: tuple[str, Served]) -> None:
    url, _ = api
    with Journeymesh(url, token="analyst", purpose="pricing") as client:
        paged = list(client.journeys("P-1", page_size=3))
        whole = client.journeys("P-1").to_arrow()
        some = client.journeys("P-1", NOON, NOON + timedelta(days=2), ["started_at", "distance_m"]).to_arrow()
    assert [row["started_at"] for row in paged] == [NOON + timedelta(days=n) for n in range(7)]
    assert whole.num_rows == 7
    assert whole.column_names == list(paged[0])
    assert some.column_names == ["started_at", "distance_m"]
    assert some.num_rows == 2


def test_async_pages_are_the_same_rows(api: tuple[str, Served]) -> None:
    url, _ = api

    async def read() -> list[Any]:
        async with AsyncJourneymesh(url, token="analyst", purpose="pricing") as client:
            return [row async for row in client.journeys("P-1", page_size=2)]

    with Journeymesh(url, token="analyst") as client:
        assert asyncio.run(read()) == list(client.journeys("P-1"))


def test_what_did_not_change_is_answered_from_memory_after_a_new_decision(api: tuple[str, Served]) -> None:
    url, served = api
    with Journeymesh(url, token="analyst") as client:
        first = client.summary("P-1", "month")
        reads, decisions = served.reads.reads, len(served.decisions.asked)
        again = client.summary("P-1", "month")
        assert again.rows == first.rows
        assert (served.reads.reads, len(served.decisions.asked)) == (reads, decisions + 1)
        served.decisions.reasons["summaries:read"] = Reason.APPROVAL_MISSING
        with pytest.raises(AccessDenied) as denied:
            client.summary("P-1", "month")
        assert denied.value.reason == "approval_missing"
    assert first[0]["journeys"] == 7
    assert first.to_arrow()["period_from"].type == pa.date32()


def test_refused_fixes_come_page_by_page_and_a_journeys_versions_with_what_changed() -> None:
    store = filled(1)
    row = store.journeys(JourneyQuery(policy="P-1")).to_pylist()[0]
    same = Superseded(row["journey_id"], row["journey_id"])
    changed = records.journeys({**row, "distance_m": 7.0})
    refused = [
        Refusal("position_spike", f"x/{k}", "", "car-1", NOON + timedelta(seconds=k), 51.5, -0.5) for k in range(5)
    ]
    store.write(StoreBatch(journeys=changed, superseded=[same], refusals=refused))

    async def awaited(url: str) -> tuple[list[Any], Any, list[Any]]:
        async with AsyncJourneymesh(url, token="analyst") as client:
            return (
                [each async for each in client.refusals("P-1", positions=True, page_size=2)],
                await client.journey_versions(row["journey_id"]),
                [each async for each in client.journey_refusals(row["journey_id"], page_size=2)],
            )

    with Served(store) as served, served_app(served.app) as url, Journeymesh(url, token="analyst") as client:
        found = list(client.refusals("P-1", positions=True, page_size=2))
        versions = client.journey_versions(row["journey_id"])
        of_journey = client.journey_refusals(row["journey_id"], page_size=2)
        assert [each["fixed_at"] for each in found] == [NOON + timedelta(seconds=k) for k in range(5)]
        assert {each["lat_deg"] for each in found} == {51.5}
        assert of_journey.to_arrow()["lat_deg"].null_count == 5
        assert [each["reason"] for each in client.refusals("P-1", NOON, NOON + timedelta(seconds=2))] == [
            "position_spike"
        ] * 2
        assert list(client.refusals("P-1", reason="position_zero")) == []
        (version,) = versions.items
        assert version.journey == row
        assert [(each.field, each.before, each.after) for each in version.changes] == [("distance_m", 1.5, 7.0)]
        assert asyncio.run(awaited(url)) == (found, versions, list(of_journey))


def test_masked_fields_arrive_as_nulls() -> None:
    told = Told(obligations=Obligations(mask=frozenset({"start_lat_deg", "start_lon_deg"})))
    with Served(decisions=told) as served, served_app(served.app) as url, Journeymesh(url, token="analyst") as client:
        rows = list(client.journeys("P-1"))
        table = client.journeys("P-1").to_arrow()
    assert rows[0]["start_lat_deg"] is None
    assert table["start_lat_deg"].null_count == len(rows)


def test_one_journey_and_the_product(api: tuple[str, Served]) -> None:
    url, _ = api
    with Journeymesh(url, token="analyst") as client:
        first = next(iter(client.journeys("P-1")))
        assert first["journey_id"] is not None
        assert client.journey(first["journey_id"]) == first
        assert client.track(first["journey_id"]).rows == []
        assert client.product().contract["version"] == "1.2.0"


def test_what_is_not_there_or_not_ones_own_is_refused(api: tuple[str, Served]) -> None:
    url, _ = api
    with Journeymesh(url, token="analyst") as client:
        for ask in (lambda: client.summary("P-NONE"), lambda: client.journey("nothing")):
            with pytest.raises(NotThere) as missing:
                ask()
            assert "P-NONE" not in str(missing.value)
        with pytest.raises(RequestRefused):
            client.summary("P-1", since="yesterday")
    with Journeymesh(url, token="forged") as client, pytest.raises(TokenNotAccepted):
        client.summary("P-1")


@pytest.mark.parametrize("form", ["arrow", "parquet", "csv", "ndjson"])
def test_an_export_is_whole_however_often_it_is_made(api: tuple[str, Served], tmp_path: Path, form: Any) -> None:
    """What goes into a file is not in memory, so that it cannot be answered from there."""
    url, _ = api
    with Journeymesh(url, token="analyst") as client:
        for name in ("first", "second", "third"):
            assert client.export("P-1", tmp_path / name, format=form) > 100
            assert client.export_summaries(tmp_path / f"{name} sums", format=form) > 100
        if form in ("csv", "ndjson"):
            assert (tmp_path / "first").read_bytes() == (tmp_path / "third").read_bytes()
        assert len(list(client.journeys("P-1"))) == 7


def test_exports_are_files_of_their_kind(api: tuple[str, Served], tmp_path: Path) -> None:
    url, served = api
    with Journeymesh(url, token="analyst") as client:
        for form in ("parquet", "arrow", "csv", "ndjson"):
            assert client.export("P-1", tmp_path / form, format=form) == (tmp_path / form).stat().st_size  # type: ignore[arg-type]
        asked = [each.capability for each in served.decisions.asked]
    assert asked == ["journeys:export"] * 3 + ["journeys:read"]
    with (tmp_path / "arrow").open("rb") as stream:
        assert pa.ipc.open_stream(stream).read_all().num_rows == 7
    assert pq.read_table(tmp_path / "parquet").num_rows == 7
    assert pa_csv.read_csv(tmp_path / "csv").num_rows == 7
    assert len((tmp_path / "ndjson").read_text().splitlines()) == 7


def test_fixes_handed_in_become_journeys_once(tmp_path: Path) -> None:
    database = answers_database(f"sqlite:///{tmp_path / 'answers.db'}")
    database.migrate()
    store = filled(0)
    drive: list[dict[str, Any]] = [
        {
            "vehicle": "car-1",
            "fixed_at": NOON + timedelta(seconds=10 * n),
            "lat_deg": 51.5 + n * 0.001,
            "lon_deg": 0.0,
            "speed_mps": 11.0,
        }
        for n in range(60)
    ]
    with (
        Served(store=store, taker=StoreTaker(store, ALWAYS_ON), kept=KeptAnswers(database)) as served,
        served_app(served.app) as url,
        Journeymesh(url, token="analyst", purpose="journey-collection") as client,
    ):
        taken = client.put_fixes([*drive, {**drive[0], "fixed_at": NOON, "lat_deg": 200.0}])
        assert (taken.accepted, taken.again) == (60, False)
        assert [refused.row for refused in taken.refused] == [60]
        again = client.put_fixes([*drive, {**drive[0], "fixed_at": NOON, "lat_deg": 200.0}])
        assert (again.accepted, again.again) == (60, True)
        served.versions.tick()
        rows = list(client.journeys("P-1"))
    assert len(rows) == 1
    assert (rows[0]["distance_m"] or 0) > 5000


def test_a_whole_book_comes_page_by_page_ranked_and_as_a_file(tmp_path: Path) -> None:
    with Served(store=book(hidden=False)) as served, served_app(served.app) as url:
        with Journeymesh(url, token="analyst", purpose="pricing") as client:
            policies = client.policies(product="gold", page_size=2).to_arrow()
            months = client.summaries("month", page_size=5)
            rows = list(months)
            first = client.top("distance_m", 2, "term", status="active")
            size = client.export_summaries(tmp_path / "months.parquet")
            table = months.to_arrow()

        async def read() -> tuple[list[Any], list[Any], Any, int]:
            async with AsyncJourneymesh(url, token="analyst", purpose="pricing") as client:
                return (
                    [row async for row in client.policies("gold", page_size=2)],
                    [row async for row in client.summaries("month", page_size=7)],
                    (await client.top("distance_m", 2, "term", status="active")).rows,
                    await client.export_summaries(tmp_path / "again.parquet"),
                )

        assert asyncio.run(read()) == (policies.to_pylist(), rows, first.rows, size)
    assert policies["policy"].to_pylist() == ["P-0", "P-2", "P-4"]
    assert [row["policy"] for row in first] == ["P-5", "P-3"]
    assert pq.read_table(tmp_path / "months.parquet")["policy"].to_pylist() == [row["policy"] for row in rows]
    assert table["distance_m"].to_pylist() == [row["distance_m"] for row in rows]
    assert len(rows) == 12
    assert (tmp_path / "again.parquet").exists()


def test_a_sorted_book_comes_page_by_page() -> None:
    with Served(store=book()) as served, served_app(served.app) as url, Journeymesh(url, token="analyst") as client:
        rows = client.book("distance_m", "month", "2024-03", least={"distance_m": 2000.0}, product="gold", page_size=1)
        assert [row["policy"] for row in rows] == ["P-4", "P-2"]
        assert rows.to_arrow()["policy_from"].null_count == 0
        assert [row["policy"] for row in client.book("journeys", "term", lowest=True, policy="P-3")] == ["P-3"]
        with pytest.raises(UsageError, match="not sorted by 'policy'"):
            client.book("policy")


def test_a_ranking_that_cannot_be_is_refused_before_anything_is_sent() -> None:
    with Journeymesh("http://127.0.0.1:1", token="analyst") as client:
        for by, count in (("colour", 3), ("score", 0), ("score", 1001)):
            with pytest.raises(UsageError):
                client.top(by, count)
        with pytest.raises(UsageError, match="time zone"):
            client.summaries("month", NOON.replace(tzinfo=None))


def test_a_whole_book_is_a_polars_and_a_pandas_frame() -> None:
    pytest.importorskip("polars")
    pytest.importorskip("pandas")
    with Served(store=book()) as served, served_app(served.app) as url, Journeymesh(url, token="analyst") as client:
        months = client.summaries("month")
        numbers = months.to_arrow()["policy"].to_pylist()
        assert months.to_polars()["policy"].to_list() == numbers
        assert months.to_pandas()["policy"].tolist() == numbers
