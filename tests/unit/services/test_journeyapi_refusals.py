"""What journeyapi tells of refused fixes: of a journey's time and of a policy's, never the input itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest

from journeymesh.governance.obligations import Obligations
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import TOLD, Reason
from journeymesh.services.journeyapi.refusal_routes import told_id
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, StoreBatch
from journeymesh.wire.identity import Reason as Denial
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, POLICY, Served, filled

OF_POLICY = "/v1/policies/P-1/refusals"
MINUTE = timedelta(minutes=1)


def refused(
    minutes: float, reason: str = "position_spike", vehicle: str | None = "car-1", **changed: object
) -> Refusal:
    at = NOON + minutes * MINUTE
    values = {"lat_deg": 51.25, "lon_deg": -0.5, "content": "SECRET", "detail": f"latitude 51.25 at {minutes}"}
    return Refusal(reason, f"SECRET/{vehicle}/{minutes}", vehicle=vehicle, fixed_at=at, **(values | changed))  # type: ignore[arg-type]


def with_refusals(*more: Refusal) -> MemoryStore:
    """Three journeys of P-1 from noon on, a day apart and twenty minutes long, with refusals around the first."""
    store = filled(3)
    found = [refused(k) for k in range(-2, 23, 3)] + [refused(5, vehicle="car-2"), *more]
    found.append(Refusal("clock_missing", "SECRET", "no clock", vehicle="car-1"))
    store.write(StoreBatch(refusals=found))
    return store


def journey_id(served: Served, number: int = 0) -> str:
    return str(served.store.journeys(JourneyQuery(policy="P-1"))["journey_id"][number].as_py())


def every_page(served: Served, path: str, limit: int) -> list[dict[str, object]]:
    found, cursor = [], ""
    while cursor is not None:
        page = served.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}").json()
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next"] and f"&cursor={page['next']}"
    return found


def test_a_journey_has_the_refused_fixes_of_its_time_and_no_others() -> None:
    with Served(with_refusals(refused(20), refused(20.001))) as served:
        path = f"/v1/journeys/{journey_id(served)}/refusals"
        rows = served.get(path).json()["items"]
        assert [row["fixed_at"] for row in rows] == [
            f"2024-03-10T12:{minute:02}:00Z" for minute in (1, 4, 7, 10, 13, 16, 19, 20)
        ]
        assert {row["explanation"] for row in rows} == {TOLD["position_spike"]}
        assert {(row["lat_deg"], row["lon_deg"]) for row in rows} == {(None, None)}
        assert every_page(served, path, 3) == rows
        assert served.get(f"/v1/journeys/{journey_id(served, 1)}/refusals").json() == {"items": [], "next": None}


def test_nothing_of_the_input_is_told() -> None:
    with Served(with_refusals()) as served:
        for path in (f"/v1/journeys/{journey_id(served)}/refusals", OF_POLICY):
            text = served.get(f"{path}?positions=true").text
            assert "51.25" in text
            for hidden in ("SECRET", "latitude", "car-1", "content", "origin"):
                assert hidden not in text


def test_the_id_that_is_told_gives_nobody_a_way_to_try_positions() -> None:
    kept = {each.refusal_id for each in [refused(k) for k in range(-2, 23, 3)]}
    with Served(with_refusals()) as served:
        told = [row["refusal_id"] for row in served.get(OF_POLICY).json()["items"]]
        assert len(set(told)) == len(told) == len(kept)
        assert not kept & set(told)
        assert told == [row["refusal_id"] for row in served.get(f"{OF_POLICY}?positions=true").json()["items"]]
    with Served(with_refusals()) as replica:
        assert told == [row["refusal_id"] for row in replica.get(OF_POLICY).json()["items"]]
    assert told_id(min(kept), b"1" * 32) != told_id(min(kept), b"2" * 32)


def test_a_policy_has_the_refused_fixes_of_its_terms() -> None:
    store = with_refusals(refused(60 * 24 * 40), refused(-60 * 24 * 100))
    with Served(store) as served:
        rows = served.get(OF_POLICY).json()["items"]
        assert len(rows) == 10  # not: another's vehicle, before the term, without a clock
        assert [row["fixed_at"] for row in rows] == sorted(row["fixed_at"] for row in rows)
        assert every_page(served, OF_POLICY, 4) == rows
        some = "from=2024-03-10T12:04:00Z&to=2024-03-10T12:10:00Z"
        assert [row["fixed_at"] for row in served.get(f"{OF_POLICY}?{some}").json()["items"]] == [
            "2024-03-10T12:04:00Z", "2024-03-10T12:07:00Z"
        ]  # fmt: skip


def test_terms_that_follow_on_each_other_and_two_names_of_a_vehicle_give_each_entry_once() -> None:
    store = MemoryStore()
    ends = NOON + 5 * MINUTE
    first = replace(POLICY, valid_to=ends, device="box-1")
    second = replace(POLICY, valid_from=ends, valid_to=ends + 5 * MINUTE)
    third = replace(POLICY, valid_from=ends + 9 * MINUTE)
    found = [refused(k, vehicle=name) for k in range(16) for name in ("car-1", "box-1")]
    store.write(StoreBatch(policies=[first, second, third], refusals=found, journeys=records.journeys()))
    with Served(store) as served:
        rows = every_page(served, OF_POLICY, 3)
        at = [int(str(row["fixed_at"])[14:16]) for row in rows]
        assert at == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 14, 15]
        assert len({row["refusal_id"] for row in rows}) == len(rows)


def test_positions_need_the_capability_of_tracks() -> None:
    with Served(with_refusals(), decisions=Told(reasons={"tracks:read": Denial.CAPABILITY_MISSING})) as served:
        for path in (f"/v1/journeys/{journey_id(served)}/refusals", OF_POLICY):
            assert served.get(path).status_code == 200
            reads = served.reads.reads
            denied = served.get(f"{path}?positions=true")
            assert denied.status_code == 403
            assert served.reads.reads == reads
    with Served(with_refusals(), decisions=Told(reasons={"journeys:read": Denial.CAPABILITY_MISSING})) as served:
        for path in (f"/v1/journeys/{journey_id(served)}/refusals", OF_POLICY):
            assert served.get(path).status_code == 403
            assert served.get(f"{path}?positions=true").json()["items"][0]["lat_deg"] == 51.25


@pytest.mark.parametrize(("mask", "nulls"), [({"lat_deg"}, ["fixed_at", "lat_deg", "lon_deg"]),
                                             ({"fixed_at"}, ["fixed_at"])])  # fmt: skip
def test_masked_fields_are_null_and_do_not_filter(mask: set[str], nulls: list[str]) -> None:
    with Served(with_refusals(), decisions=Told(Obligations(mask=frozenset(mask)))) as served:
        rows = served.get(f"{OF_POLICY}?positions=true").json()["items"]
        assert len(rows) == 9
        for row in rows:
            assert [name for name in ("fixed_at", "lat_deg", "lon_deg") if row[name] is None] == nulls
            assert row["reason"] == "position_spike"
        assert served.get(f"{OF_POLICY}?from=2024-03-10T12:04:00Z").status_code == 403
        assert served.get(f"{OF_POLICY}?from=2024-03-10T12:04:00Z").json()["type"].endswith("/policy-forbids")


def test_groups_and_retention_hold_here_as_everywhere() -> None:
    with Served(with_refusals(), decisions=Told(Obligations(minimum_group_size=10))) as served:
        for path in (f"/v1/journeys/{journey_id(served)}/refusals", OF_POLICY):
            assert served.get(path).json()["type"].endswith("/group-too-small")
    with Served(with_refusals(), decisions=Told(Obligations(retention_days=30))) as served:
        assert served.get(OF_POLICY).json()["items"] == []  # all of them are of 2024


def test_a_reason_can_be_asked_for_and_a_cursor_is_of_its_listing() -> None:
    with Served(with_refusals(refused(2, "position_zero"))) as served:
        (row,) = served.get(f"{OF_POLICY}?reason=position_zero").json()["items"]
        assert row["explanation"] == TOLD["position_zero"]
        cursor = quote(served.get(f"{OF_POLICY}?limit=1").json()["next"])
        for other in (f"{OF_POLICY}?reason=position_zero&", f"/v1/journeys/{journey_id(served)}/refusals?"):
            assert served.get(f"{other}cursor={cursor}").json()["type"].endswith("/cursor-refused")
        for query in ("limit=0", "limit=1001", "positions=perhaps", "what=1", "from=2024-03-11"):
            assert served.get(f"{OF_POLICY}?{query}").status_code == 400


@pytest.mark.parametrize("path", [OF_POLICY, "/v1/journeys/{journey}/refusals"])
def test_an_unchanged_answer_is_304_until_something_more_is_refused(path: str) -> None:
    with Served(with_refusals()) as served:
        path = path.replace("{journey}", journey_id(served))
        tag = served.get(path).headers["etag"]
        reads = served.reads.reads
        assert served.get(path, **{"if-none-match": tag}).status_code == 304
        assert served.reads.reads == reads
        served.write(StoreBatch(refusals=[refused(11)]))
        assert served.get(path, **{"if-none-match": tag}).status_code == 200


def test_another_tenants_policy_and_journey_are_answered_as_unknown() -> None:
    with Served(with_refusals()) as served:
        theirs = served.store.journeys(JourneyQuery(policy="P-2"))["journey_id"][0].as_py()
        for path, unknown in (
            ("/v1/policies/P-2/refusals", "/v1/policies/P-9/refusals"),
            (f"/v1/journeys/{theirs}/refusals", f"/v1/journeys/{'0' * 26}/refusals"),
        ):
            answers = [served.get(each) for each in (path, unknown)]
            assert [each.status_code for each in answers] == [404, 404]
            assert [{**each.json(), "request_id": ""} for each in answers] == [
                answers[1].json() | {"request_id": ""}
            ] * 2


def test_every_reason_is_told_in_words() -> None:
    inside = {"accepted", "duplicate", "undecided"}
    assert {reason.code for reason in Reason} - inside == set(TOLD)
