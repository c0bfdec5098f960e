"""What journeyapi answers about a policy, a journey and the product."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import StoreUnavailable
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.answers import json_lines
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import summarise
from journeymesh.stores.port import JourneyQuery, StoreBatch
from journeymesh.wire.identity import Reason
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, POLICY, Served, filled

JOURNEYS = "/v1/policies/P-1/journeys"
SUMMARY = "/v1/policies/P-1/summary"
SCORE = "/v1/policies/P-1/score"
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"


def test_a_page_of_journeys_goes_on_with_its_cursor_to_the_end() -> None:
    with Served(filled(5)) as served:
        seen, cursor = [], ""
        for _ in range(3):
            page = served.get(f"{JOURNEYS}?limit=2{cursor}").json()
            seen += [row["journey_id"] for row in page["items"]]
            cursor = f"&cursor={page['next']}"
        assert page["next"] is None
        expected = served.store.journeys(JourneyQuery(policy="P-1"))["journey_id"].to_pylist()
        assert seen == expected
        assert len(seen) == 5


def test_journeys_are_rendered_as_the_command_line_renders_them() -> None:
    import json

    with Served() as served:
        rows = served.get(JOURNEYS).json()["items"]
        table = served.store.journeys(JourneyQuery(policy="P-1"))
        assert rows == [json.loads(line) for line in json_lines(table)]


def test_only_the_chosen_fields_are_answered_in_the_order_given() -> None:
    with Served() as served:
        answer = served.get(f"{JOURNEYS}?fields=distance_m,journey_id&limit=1")
        assert list(answer.json()["items"][0]) == ["distance_m", "journey_id"]
        assert served.get(f"{JOURNEYS}?fields=nonsense").status_code == 400


def test_from_and_to_are_half_open_over_the_start() -> None:
    with Served() as served:
        query = "from=2024-03-11T12:00:00Z&to=2024-03-12T12:00:00Z"
        assert [row["started_at"] for row in served.get(f"{JOURNEYS}?{query}").json()["items"]] == [
            "2024-03-11T12:00:00Z"
        ]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "from=2024-03-11", "from=2024-03-11T00:00:00", "what=1", "limit=1&limit=2"],
)
def test_a_query_that_cannot_be_understood_is_400(query: str) -> None:
    with Served() as served:
        answer = served.get(f"{JOURNEYS}?{query}")
        assert answer.status_code == 400
        assert answer.json()["type"].endswith("/malformed")


def test_a_page_of_the_newest_journeys_goes_on_to_the_oldest() -> None:
    with Served(filled(5)) as served:
        oldest_first = [row["journey_id"] for row in served.get(f"{JOURNEYS}?limit=1000").json()["items"]]
        seen, cursor = [], ""
        while cursor is not None:
            page = served.get(f"{JOURNEYS}?limit=2&order=desc{cursor}").json()
            seen += [row["journey_id"] for row in page["items"]]
            cursor = page["next"] and f"&cursor={page['next']}"
        assert seen == oldest_first[::-1]
        assert len(seen) == 5
        forward = served.get(f"{JOURNEYS}?limit=2").json()["next"]
        assert served.get(f"{JOURNEYS}?limit=2&order=desc&cursor={forward}").status_code == 400
        assert served.get(f"{JOURNEYS}?order=newest").status_code == 400
        whole = served.get(f"{JOURNEYS}?order=desc", accept=ARROW)
        assert pa.ipc.open_stream(whole.content).read_all()["journey_id"].to_pylist() == seen


def test_a_cursor_that_was_made_up_or_is_of_another_listing_is_refused() -> None:
    with Served(filled(5)) as served:
        cursor = served.get(f"{JOURNEYS}?limit=2").json()["next"]
        for other in (cursor[:-4] + "AAAA", "nonsense", "é" * 10, f"{cursor}&from=2024-01-01T00:00:00Z"):
            answer = served.get(f"{JOURNEYS}?limit=2&cursor={other}")
            assert answer.status_code == 400, other
            assert answer.json()["type"].endswith("/cursor-refused")


@pytest.mark.parametrize("media", [ARROW, PARQUET, "text/csv", "application/x-ndjson"])
def test_all_journeys_leave_in_the_media_type_that_was_asked_for(media: str) -> None:
    with Served(filled(25), config={"stream_rows": 10}) as served:
        answer = served.get(JOURNEYS, accept=media)
        assert answer.headers["content-type"].startswith(media)
        expected = served.store.journeys(JourneyQuery(policy="P-1"))
        body = answer.content
        if media == ARROW:
            assert pa.ipc.open_stream(body).read_all().cast(JOURNEY_SCHEMA) == expected
        elif media == PARQUET:
            assert pq.read_table(io.BytesIO(body)).to_pylist() == expected.to_pylist()
        elif media == "text/csv":
            read = pa_csv.read_csv(io.BytesIO(body))
            assert read["journey_id"].to_pylist() == expected["journey_id"].to_pylist()
            assert read.column_names == JOURNEY_SCHEMA.names
        else:
            assert body.decode().splitlines() == list(json_lines(expected))


def test_an_export_needs_a_capability_of_its_own() -> None:
    with Served(decisions=Told(reasons={"journeys:export": Reason.CAPABILITY_MISSING})) as served:
        assert served.get(JOURNEYS, accept=PARQUET).status_code == 403
        assert served.get(JOURNEYS).status_code == 200


def test_what_nobody_offers_is_406() -> None:
    with Served() as served:
        assert served.get(JOURNEYS, accept="image/png").status_code == 406
        assert served.get(JOURNEYS, accept="image/png, */*;q=0.1").status_code == 200


def test_a_summary_is_what_the_journeys_add_up_to() -> None:
    import json

    with Served() as served:
        found = served.get(f"{SUMMARY}?period=day").json()["items"]
        table = summarise(served.store.journeys(JourneyQuery(policy="P-1")), POLICY, "day", ScoreRules())
        assert found == [json.loads(line) for line in json_lines(table)]
        assert len(found) == 3
        assert served.get(f"{SUMMARY}?period=year").status_code == 400


def test_a_summary_in_memory_is_answered_until_the_data_changes() -> None:
    with Served() as served:
        first = served.get(SUMMARY)
        reads = served.reads.reads
        assert served.get(SUMMARY).content == first.content
        assert served.reads.reads == reads
        served.write(StoreBatch(journeys=records.journeys(records.journey(start=NOON + timedelta(days=3)))))
        assert served.get(SUMMARY).json()["items"][0]["journeys"] == first.json()["items"][0]["journeys"] + 1


def test_a_score_comes_with_its_rules_and_with_what_would_change_it() -> None:
    with Served(filled(5)) as served:
        told = served.get(SCORE).json()
        term = served.get(f"{SUMMARY}?period=term").json()["items"][-1]
        assert (told["score"], told["period_from"]) == (term["score"], term["period_from"])
        assert [{name: part[name] for name in ("part", "value", "score", "weight")} for part in told["parts"]] == [
            {**part, "weight": pytest.approx(part["weight"])} for part in term["score_parts"]
        ]
        for part in told["parts"]:
            rule = getattr(ScoreRules(), part["part"])
            assert (part["best"], part["worst"]) == (rule.best, rule.worst)
        assert told["changes"]
        assert all(change["score"] == pytest.approx(told["score"] + change["points"]) for change in told["changes"])


@pytest.mark.parametrize("masked", ["night_share", "mileage_ratio", "distance_m", "score"])
def test_what_the_purpose_hides_is_told_neither_by_parts_nor_by_what_would_change_the_score(masked: str) -> None:
    with Served(filled(5), decisions=Told(Obligations(mask=frozenset({masked})))) as served:
        told = served.get(SCORE).json()
        assert (told["parts"], told["changes"]) == ([], [])
        assert (told["score"] is None) == (masked == "score")
        assert served.get(f"{SUMMARY}?period=term").json()["items"][-1]["score_parts"] is None


@pytest.mark.parametrize("path", [JOURNEYS, SCORE, f"{SUMMARY}?period=week"])
def test_an_unchanged_answer_is_304_which_decides_and_does_not_touch_the_store(path: str) -> None:
    with Served() as served:
        tag = served.get(path).headers["etag"]
        reads, asked = served.reads.reads, len(served.decisions.asked)
        answer = served.get(path, **{"if-none-match": tag})
        assert answer.status_code == 304
        assert answer.headers["decision-id"]
        assert answer.content == b""
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "private, no-cache"
        assert served.reads.reads == reads
        assert len(served.decisions.asked) == asked + 1


def test_an_entity_tag_is_the_same_on_every_replica_and_after_a_restart() -> None:
    store = filled(1500)
    with Served(store) as one, Served(store) as other:
        assert one.get(SUMMARY).headers["etag"] == other.get(SUMMARY).headers["etag"]


def test_an_entity_tag_changes_with_data_obligations_and_representation() -> None:
    with Served() as served:
        tags = [served.get(SUMMARY).headers["etag"], served.get(f"{SUMMARY}?period=day").headers["etag"]]
        tags.append(served.get(SUMMARY, accept="text/csv").headers["etag"])
        served.decisions.obligations = Obligations(mask=frozenset({"score"}))
        tags.append(served.get(SUMMARY).headers["etag"])
        served.decisions.obligations = Obligations()
        served.write(StoreBatch(journeys=records.journeys(records.journey(start=NOON + timedelta(days=9)))))
        tags.append(served.get(SUMMARY).headers["etag"])
        assert len(set(tags)) == 5
        denied = served.get(SUMMARY, **{"if-none-match": tags[0], "authorization": "Bearer nobody"})
        assert denied.status_code == 401


def test_many_rows_have_the_entity_tag_of_what_they_say_before_they_are_sent() -> None:
    with Served(filled(9), config={"stream_rows": 2}) as served, Served(filled(9), config={"stream_rows": 4}) as other:
        answer = served.get(JOURNEYS, accept="application/x-ndjson")
        tag = answer.headers["etag"]
        assert answer.content == other.get(JOURNEYS, accept="application/x-ndjson").content
        reads = served.reads.reads
        assert served.get(JOURNEYS, accept="application/x-ndjson", **{"if-none-match": tag}).status_code == 304
        assert served.reads.reads == reads
        again = served.get(JOURNEYS, accept="application/x-ndjson")
        assert (again.headers["etag"], again.content) == (tag, answer.content)
        assert served.get(JOURNEYS, accept="text/csv").headers["etag"] != tag
        assert served.get(f"{JOURNEYS}?fields=journey_id", accept="application/x-ndjson").headers["etag"] != tag
        served.write(
            StoreBatch(journeys=records.journeys(records.journey("car-1", NOON - timedelta(days=1), policy="P-9")))
        )
        assert served.get(JOURNEYS, accept="application/x-ndjson", **{"if-none-match": tag}).status_code == 304
        served.write(
            StoreBatch(journeys=records.journeys(records.journey(start=NOON + timedelta(days=8), distance_m=9.0)))
        )
        assert served.get(JOURNEYS, accept="application/x-ndjson", **{"if-none-match": tag}).status_code == 200


def test_a_page_that_goes_on_has_one_entity_tag_whatever_its_cursor() -> None:
    with Served() as one, Served() as other:
        pages = [served.get(f"{JOURNEYS}?limit=1") for served in (one, other)]
        assert pages[0].json()["next"] != pages[1].json()["next"]
        assert pages[0].headers["etag"] == pages[1].headers["etag"]
        assert other.get(f"{JOURNEYS}?limit=1", **{"if-none-match": pages[0].headers["etag"]}).status_code == 304


def test_where_no_version_is_known_everything_is_read_and_the_tag_is_of_what_was_read() -> None:
    with Served() as served:
        served.versions.clock_s = lambda: 1e12
        first = served.get(SUMMARY)
        reads = served.reads.reads
        assert served.get(SUMMARY, **{"if-none-match": first.headers["etag"]}).status_code == 304
        assert served.reads.reads == reads + 1
        assert served.client.get("/readyz").status_code == 503


def test_if_match_never_matches_a_weak_tag() -> None:
    with Served() as served:
        tag = served.get(SUMMARY).headers["etag"]
        assert served.get(SUMMARY, **{"if-match": tag}).status_code == 412


def test_masked_fields_are_null_in_every_media_type() -> None:
    told = Told(Obligations(mask=frozenset({"start_lat_deg", "score", "distance_m"})))
    with Served(decisions=told) as served:
        row = served.get(JOURNEYS).json()["items"][0]
        assert row["start_lat_deg"] is None
        assert row["end_lat_deg"] is None  # where the next journey begins
        assert row["duration_s"] is not None
        assert served.get(SUMMARY).json()["items"][0]["score"] is None
        table = pq.read_table(io.BytesIO(served.get(JOURNEYS, accept=PARQUET).content))
        assert table["distance_m"].null_count == len(table) == 3


def test_a_mask_of_the_start_takes_the_questions_about_it_away_too() -> None:
    with Served(decisions=Told(Obligations(mask=frozenset({"started_at"})))) as served:
        assert served.get(JOURNEYS).json()["items"][0]["started_at"] is None
        assert served.get(f"{JOURNEYS}?from=2024-03-11T00:00:00Z").status_code == 403


def test_what_began_before_the_retention_does_not_leave() -> None:
    store = filled(1)
    recent = datetime.now(UTC) - timedelta(days=1)
    store.write(StoreBatch(journeys=records.journeys(records.journey(start=recent))))
    with Served(store, Told(Obligations(retention_days=30))) as served:
        assert len(served.get(JOURNEYS).json()["items"]) == 1
        assert [row["period_from"] for row in served.get(f"{SUMMARY}?period=day").json()["items"]] == [
            f"{recent:%Y-%m-%d}"
        ]


def test_a_policy_that_is_not_admitted_is_answered_like_one_that_is_not_there() -> None:
    told = Told(Obligations(rows=RowPredicate(tenants=frozenset({"default"}))))
    with Served(decisions=told) as served:
        answers = [
            served.get(f"/v1/policies/{number}/{what}") for number in ("P-2", "P-9") for what in ("journeys", "summary")
        ]
        assert {answer.status_code for answer in answers} == {404}
        bodies = [{**answer.json(), "request_id": ""} for answer in answers]
        assert all(body == bodies[0] for body in bodies)
        assert served.reads.reads == 0


def test_where_only_groups_may_be_told_of_one_policy_is_not() -> None:
    with Served(decisions=Told(Obligations(minimum_group_size=5))) as served:
        for number in ("P-1", "P-9"):
            answer = served.get(f"/v1/policies/{number}/summary")
            assert answer.status_code == 403
            assert answer.json()["type"].endswith("/group-too-small")


def test_one_journey_and_its_track_are_read_by_id() -> None:
    store = filled(1)
    store.write(StoreBatch(fixes=records.fixes("car-1", NOON, NOON + timedelta(minutes=5), NOON + timedelta(hours=9))))
    with Served(store) as served:
        row = served.get(JOURNEYS).json()["items"][0]
        one = served.get(f"/v1/journeys/{row['journey_id']}")
        assert one.json() == row
        track = served.get(f"/v1/journeys/{row['journey_id']}/track")
        assert [fix["fixed_at"] for fix in track.json()["items"]] == ["2024-03-10T12:00:00Z", "2024-03-10T12:05:00Z"]
        reads = served.reads.reads
        for answer, path in ((one, ""), (track, "/track")):
            again = served.get(f"/v1/journeys/{row['journey_id']}{path}", **{"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
        assert served.reads.reads == reads


def test_a_journey_of_a_policy_that_is_not_admitted_is_not_there() -> None:
    told = Told(Obligations(rows=RowPredicate(tenants=frozenset({"default"}))))
    with Served(decisions=told) as served:
        foreign = served.store.journeys(JourneyQuery(policy="P-2"))["journey_id"][0].as_py()
        for path in ("", "/track"):
            assert served.get(f"/v1/journeys/{foreign}{path}").status_code == 404
            assert served.get(f"/v1/journeys/unknown{path}").status_code == 404


def test_a_stranger_cannot_make_the_store_look_for_a_journey() -> None:
    with Served(token="") as served:
        assert served.get("/v1/journeys/abc").status_code == 401
        assert served.reads.reads == 0


def test_the_product_tells_its_contract_freshness_and_quality_without_a_purpose() -> None:
    with Served(decisions=Told(purpose_needed=False)) as served:
        served.store.write(StoreBatch(run=_run()))
        told = served.get("/v1/products/journeys").json()
        assert told["contract"] == {"id": "journeys", "version": "1.2.0"}
        assert told["freshness"]["last_run_finished_at"] == "2024-03-10T12:00:00Z"
        assert told["quality"]["last_run"]["refused"] == 3


def test_a_store_that_is_away_is_503_and_says_nothing_of_itself() -> None:
    with Served() as served:
        served.reads.fault = StoreUnavailable("postgresql://secret@host/P-1")
        answer = served.get(JOURNEYS)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "secret" not in answer.text + served.lines.getvalue().decode()


def test_policy_numbers_and_journey_ids_reach_neither_logs_nor_metrics() -> None:
    with Served() as served:
        journey = served.get(JOURNEYS).json()["items"][0]["journey_id"]
        served.get(SUMMARY)
        served.get(f"/v1/journeys/{journey}")
        served.get(f"/v1/journeys/{journey}/track")
        served.get("/v1/policies/P-9/summary")
        seen = served.lines.getvalue().decode() + served.client.get("/metrics").text
        for name in ("P-1", "P-9", journey, "car-1"):
            assert name not in seen
        assert "/v1/policies/{policy}/summary" in seen


def _run():
    from journeymesh.stores.port import Run

    return Run("r1", "dump", "2026.1", NOON, NOON, {"fixes": 10, "refused": 3})
