"""What journeyapi tells of a journey's earlier versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from journeymesh.governance.obligations import Obligations
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import StoreBatch, Superseded
from journeymesh.wire.identity import Reason
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import FOREIGN, NOON, POLICY, Served

MINUTE = timedelta(minutes=1)
FIRST, SECOND, THIRD = (records.journey(distance_m=1000.0 * k, fixes=k) for k in (1, 2, 3))
SAME = FIRST["journey_id"]


def path(journey_id: str = SAME) -> str:
    return f"/v1/journeys/{journey_id}/versions"


def changed_twice(*policies: object) -> MemoryStore:
    store = MemoryStore()
    store.write(StoreBatch(journeys=records.journeys(FIRST), policies=policies or [POLICY, FOREIGN]))  # type: ignore[arg-type]
    for row in (SECOND, THIRD):
        store.write(StoreBatch(journeys=records.journeys(row), superseded=[Superseded(SAME, SAME)]))
    return store


def test_each_former_content_comes_with_what_the_next_one_has_otherwise() -> None:
    with Served(changed_twice()) as served:
        page = served.get(path()).json()
        current = served.get(f"/v1/journeys/{SAME}").json()
        assert page["next"] is None
        assert [each["journey"]["distance_m"] for each in page["items"]] == [2000.0, 1000.0]
        assert [each["changes"] for each in page["items"]] == [
            [{"field": "distance_m", "before": 2000.0, "after": 3000.0}, {"field": "fixes", "before": 2, "after": 3}],
            [{"field": "distance_m", "before": 1000.0, "after": 2000.0}, {"field": "fixes", "before": 1, "after": 2}],
        ]
        for each in page["items"]:
            assert each["superseded_by"] == SAME
            assert list(each["journey"]) == list(current)
            at = datetime.fromisoformat(each["superseded_at"])
            assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)


def test_a_journey_that_never_changed_has_none() -> None:
    store = MemoryStore()
    store.write(StoreBatch(journeys=records.journeys(FIRST), policies=[POLICY]))
    with Served(store) as served:
        assert served.get(path()).json() == {"items": [], "next": None}


def test_an_id_that_was_superseded_leads_on_over_all_its_successors() -> None:
    store, now = changed_twice(), records.journey(start=NOON - MINUTE, distance_m=9000.0)
    store.write(StoreBatch(journeys=records.journeys(now), superseded=[Superseded(SAME, now["journey_id"])]))
    after = {**now, "distance_m": 9500.0}
    same = Superseded(now["journey_id"], now["journey_id"])
    store.write(StoreBatch(journeys=records.journeys(after), superseded=[same]))
    with Served(store) as served:
        found = served.get(path()).json()["items"]
        assert [each["journey"]["distance_m"] for each in found] == [9000.0, 3000.0, 2000.0, 1000.0]
        moved = {change["field"]: (change["before"], change["after"]) for change in found[1]["changes"]}
        assert moved["journey_id"] == (SAME, now["journey_id"])
        assert moved["started_at"] == ("2024-03-10T12:00:00Z", "2024-03-10T11:59:00Z")
        assert found[1]["superseded_by"] == now["journey_id"]
        own = served.get(path(now["journey_id"])).json()["items"]
        assert [each["journey"]["distance_m"] for each in own] == [9000.0]


def test_ids_that_led_in_a_circle_end() -> None:
    store, other = changed_twice(), records.journey(start=NOON - MINUTE)
    there, back = Superseded(SAME, other["journey_id"]), Superseded(other["journey_id"], SAME)
    store.write(StoreBatch(journeys=records.journeys(other), superseded=[there]))
    store.write(StoreBatch(journeys=records.journeys(FIRST), superseded=[back]))
    with Served(store) as served:
        assert len(served.get(path()).json()["items"]) == 3
        assert len(served.get(path(other["journey_id"])).json()["items"]) == 4


def test_a_page_goes_on_with_its_cursor_and_changes_are_the_same_over_pages() -> None:
    with Served(changed_twice()) as served:
        whole = served.get(path()).json()["items"]
        first = served.get(f"{path()}?limit=1").json()
        rest = served.get(f"{path()}?limit=1&cursor={first['next']}").json()
        assert first["items"] + rest["items"] == whole
        assert rest["next"] is None
        for query in ("limit=0", "limit=101", "what=1"):
            assert served.get(f"{path()}?{query}").status_code == 400
        assert served.get(f"{path('0' * 26)}?cursor={first['next']}").status_code == 404
        assert served.get(f"{path()}?cursor=nonsense").json()["type"].endswith("/cursor-refused")


@pytest.mark.parametrize("mask", ["distance_m", "journey_id", "fixes"])
def test_what_is_masked_is_neither_in_a_version_nor_among_its_changes(mask: str) -> None:
    told = Told(Obligations(mask=frozenset({mask})))
    with Served(changed_twice(), decisions=told) as served:
        found = served.get(path()).json()["items"]
        assert len(found) == 2
        hidden = told.obligations.hidden
        for each in found:
            assert not hidden & {change["field"] for change in each["changes"]}
            assert {each["journey"][name] for name in hidden if name in each["journey"]} == {None}
            assert (each["superseded_by"] is None) == (mask == "journey_id")
            assert each["changes"]


def test_a_version_of_another_policy_is_not_told() -> None:
    store = MemoryStore()
    theirs = {**FIRST, "policy": "P-2", "tenant": "other"}
    store.write(StoreBatch(journeys=records.journeys(theirs), policies=[POLICY, FOREIGN]))
    for row in (SECOND, THIRD):
        store.write(StoreBatch(journeys=records.journeys(row), superseded=[Superseded(SAME, SAME)]))
    with Served(store) as served:
        found = served.get(path()).json()["items"]
        assert [each["journey"]["policy"] for each in found] == ["P-1"]
        assert "other" not in str(found)


def test_obligations_and_denials_are_those_of_the_journey() -> None:
    with Served(changed_twice(), decisions=Told(Obligations(minimum_group_size=10))) as served:
        assert served.get(path()).json()["type"].endswith("/group-too-small")
    with Served(changed_twice(), decisions=Told(Obligations(retention_days=30))) as served:
        assert [served.get(each).status_code for each in (path(), f"/v1/journeys/{SAME}")] == [404, 404]
    with Served(changed_twice(), decisions=Told(reasons={"journeys:read": Reason.APPROVAL_MISSING})) as served:
        assert served.get(path()).status_code == 403
        assert served.reads.reads == 0


def test_an_unchanged_answer_is_304_until_the_journey_changes_again() -> None:
    with Served(changed_twice()) as served:
        tag = served.get(path()).headers["etag"]
        reads = served.reads.reads
        assert served.get(path(), **{"if-none-match": tag}).status_code == 304
        assert served.reads.reads == reads
        again = {**THIRD, "distance_m": 4.0}
        served.write(StoreBatch(journeys=records.journeys(again), superseded=[Superseded(SAME, SAME)]))
        assert len(served.get(path(), **{"if-none-match": tag}).json()["items"]) == 3
