"""What is sent, and what answers are read as."""

from __future__ import annotations

import types
import typing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.client import Journeymesh
from journeymesh.client.errors import AccessDenied, ServiceUnavailable
from journeymesh.client.rows import FIXES, JOURNEYS, SUMMARIES, Fix, HarshEvent, HourDriven, Journey, ScorePart, Summary
from journeymesh.errors import UsageError
from journeymesh.journeys.fields import HARSH_EVENT_TYPE, HOUR_TYPE, SCORE_PART_TYPE
from journeymesh.wire.identity import DecisionGiven, Reason, State
from tests.support.scripted_service import Answer, Asked, json, problem, service

AT = datetime(2026, 1, 1, 8, tzinfo=UTC)
FIX = {"vehicle": "V1", "fixed_at": AT, "lat_deg": 51.5, "lon_deg": 0.0}
PYTHON_TYPES: dict[Any, Any] = {
    pa.string(): str,
    pa.float64(): float,
    pa.int64(): int,
    pa.int32(): int,
    pa.int16(): int,
    pa.bool_(): bool,
    pa.date32(): date,
    pa.timestamp("us", tz="UTC"): datetime,
}


def journey(number: int) -> dict[str, Any]:
    return {"journey_id": f"j{number}", "started_at": f"2026-01-0{number}T08:00:00Z", "distance_m": 1000.0 * number}


def three_pages(asked: Asked) -> Answer:
    at = int(asked.params.get("cursor", "c0")[1:])
    return json({"items": [journey(2 * at + 1), journey(2 * at + 2)], "next": f"c{at + 1}" if at < 2 else None})


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        (Journey, JOURNEYS),
        (Summary, SUMMARIES),
        (Fix, FIXES),
        (HourDriven, HOUR_TYPE),
        (HarshEvent, HARSH_EVENT_TYPE),
        (ScorePart, SCORE_PART_TYPE),
    ],
)
def test_rows_are_typed_as_the_columns_they_come_from(row: Any, columns: Any) -> None:
    hints = typing.get_type_hints(row)
    assert list(hints) == [field.name for field in columns]
    for field in columns:
        kinds = typing.get_args(hints[field.name]) if isinstance(hints[field.name], types.UnionType) else ()
        kind = next((each for each in kinds if each is not type(None)), hints[field.name])
        if pa.types.is_list(field.type):
            assert typing.get_origin(kind) is list
        else:
            assert kind is PYTHON_TYPES[field.type], field


def test_pages_are_asked_for_as_they_are_read() -> None:
    with service(three_pages) as api, Journeymesh(api.url) as client:
        rows = iter(client.journeys("P-1"))
        assert not api.asked
        assert [next(rows)["journey_id"] for _ in range(2)] == ["j1", "j2"]
        assert len(api.asked) == 1
        assert [row["journey_id"] for row in rows] == ["j3", "j4", "j5", "j6"]
    assert [asked.params.get("cursor") for asked in api.asked] == [None, "c1", "c2"]


def test_all_pages_are_one_table(ask: Any, rows: Any) -> None:
    with service(three_pages) as api:
        listed, table = ask(api.url, lambda c: rows(c.journeys("P-1")), lambda c: c.journeys("P-1").to_arrow())
    assert [row["journey_id"] for row in listed] == [f"j{n}" for n in range(1, 7)]
    assert table.column_names == ["journey_id", "started_at", "distance_m"]
    assert table["started_at"].type == pa.timestamp("us", tz="UTC")
    assert table["started_at"][0].as_py() == AT
    assert table.num_rows == 6


def test_a_period_fields_and_the_page_size_are_sent(ask: Any, rows: Any) -> None:
    with service([json({"items": []})]) as api:
        ask(
            api.url,
            lambda c: rows(c.journeys("P/1 ü", AT, date(2026, 2, 1), ["journey_id", "distance_m"], page_size=7)),
        )
    assert api.asked[0].path == "/v1/policies/P%2F1%20%C3%BC/journeys"
    assert api.asked[0].params == {
        "from": "2026-01-01T08:00:00Z",
        "to": "2026-02-01T00:00:00Z",
        "fields": "journey_id,distance_m",
        "limit": "7",
    }


def test_a_wrong_question_fails_before_it_is_sent(ask: Any) -> None:
    with service([json({"items": []})]) as api:
        for wrong in (
            lambda c: c.journeys("P-1", datetime(2026, 1, 1)),  # noqa: DTZ001
            lambda c: c.journeys("P-1", fields=["speed"]),
            lambda c: c.summary(".."),
            lambda c: c.journey(""),
            lambda c: c.export("P-1", "file", format="xlsx"),
        ):
            with pytest.raises(UsageError):
                ask(api.url, wrong)
        assert not api.asked
    assert not Path("file").exists()


def test_an_empty_answer_is_an_empty_table_with_the_columns_asked_for(ask: Any) -> None:
    with service([json({"items": []})]) as api:
        some, whole = ask(
            api.url,
            lambda c: c.journeys("P-1", fields=["journey_id", "hours"]).to_arrow(),
            lambda c: c.summary("P-1"),
        )
    assert some.column_names == ["journey_id", "hours"]
    assert whole.to_arrow().schema.names == SUMMARIES.names
    assert len(whole) == 0


def test_masked_fields_are_null_in_rows_and_tables(ask: Any) -> None:
    harsh = {
        "kind": "braking", "severity": "low", "started_at": "2026-01-01T08:00:00Z", "ended_at": "2026-01-01T08:00:01Z",
        "peak_at": "2026-01-01T08:00:00.500000Z", "peak_mps2": 4.0, "lat_deg": None, "lon_deg": None, "fixes": 2,
    }  # fmt: skip
    said = {"journey_id": "j1", "start_lat_deg": None, "harsh_events": [harsh], "added_later": 1}
    with service([json(said), json({"items": [said]})]) as api:
        one, table = ask(api.url, lambda c: c.journey("j1"), lambda c: c.journeys("P-1").to_arrow())
    assert one["start_lat_deg"] is None
    assert one["harsh_events"][0]["peak_at"] == datetime(2026, 1, 1, 8, 0, 0, 500_000, UTC)
    assert "added_later" not in one
    assert table["start_lat_deg"].null_count == 1
    assert table["harsh_events"][0][0]["lat_deg"].as_py() is None


def test_summaries_have_local_dates_and_become_data_frames(ask: Any) -> None:
    row = {"period": "month", "period_from": "2026-01-01", "period_to": "2026-02-01", "journeys": 3, "score": None}
    with service([json({"items": [row]})]) as api:
        found = ask(api.url, lambda c: c.summary("P-1", "month"))[0]
    assert found[0]["period_from"] == date(2026, 1, 1)
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert frame["journeys"].dtype == pandas.ArrowDtype(pa.int64())
    assert frame["score"].isna().all()
    polars = pytest.importorskip("polars")
    assert found.to_polars().schema["period_from"] == polars.Date
    assert found.to_polars()["journeys"].to_list() == [3]


def test_a_track_is_a_table_of_fixes(ask: Any) -> None:
    with service([json({"items": [{**FIX, "fixed_at": "2026-01-01T08:00:00Z", "ignition": True}]})]) as api:
        found = ask(api.url, lambda c: c.track("j1"))[0]
    assert found[0] == {**FIX, "ignition": True}
    assert found.to_arrow()["lat_deg"].to_pylist() == [51.5]


def test_fixes_are_sent_as_an_arrow_stream_whatever_they_come_as(ask: Any) -> None:
    columns = pa.table({name: [value] for name, value in FIX.items()})
    shapes: list[Any] = [[FIX], [{**FIX, "fixed_at": AT.isoformat()}], columns, columns.to_batches()[0]]
    try:
        import polars as pl
    except ImportError:
        pass
    else:
        shapes.append(pl.from_arrow(columns))
    with service([json({"accepted": 1, "refused": [], "again": False})]) as api:
        for shape in shapes:
            ask(api.url, lambda c, shape=shape: c.put_fixes(shape))
    tables = [pa.ipc.open_stream(asked.body).read_all() for asked in api.asked]
    assert all(table.to_pylist() == [FIX] for table in tables)
    assert {asked.headers["content-type"] for asked in api.asked} == {"application/vnd.apache.arrow.stream"}
    assert len({asked.headers["idempotency-key"] for asked in api.asked}) == 1


def test_other_fixes_have_another_key_and_a_given_key_is_kept(ask: Any) -> None:
    with service([json({"accepted": 1, "refused": [], "again": False})]) as api:
        ask(
            api.url,
            lambda c: c.put_fixes([FIX]),
            lambda c: c.put_fixes([{**FIX, "lat_deg": 51.6}]),
            lambda c: c.put_fixes([FIX], "mine"),
        )
    keys = [asked.headers["idempotency-key"] for asked in api.asked]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


def test_refused_fixes_are_listed_with_their_rows_and_reasons(ask: Any) -> None:
    told = {"accepted": 1, "again": True, "refused": [{"row": 1, "reason": "no_position", "detail": "lat_deg"}]}
    with service([json(told)]) as api:
        found = ask(api.url, lambda c: c.put_fixes([FIX, {**FIX, "lat_deg": None}]))[0]
    assert (found.accepted, found.again) == (1, True)
    assert (found.refused[0].row, found.refused[0].reason) == (1, "no_position")


@pytest.mark.parametrize(
    "wrong",
    [
        [{**FIX, "speed_kmh": 3.0}],
        [{"vehicle": "V1"}],
        [{**FIX, "fixed_at": datetime(2026, 1, 1)}],  # noqa: DTZ001
        [{**FIX, "fixed_at": "yesterday"}],
        [{**FIX, "lat_deg": "north"}],
        pa.table({"vehicle": ["V1"], "fixed_at": ["now"], "lat_deg": [1.0], "lon_deg": [1.0]}),
    ],
)
def test_what_is_no_fix_fails_before_it_is_sent(ask: Any, wrong: Any) -> None:
    with service([json({"accepted": 1, "refused": [], "again": False})]) as api, pytest.raises(UsageError):
        ask(api.url, lambda c: c.put_fixes(wrong))
    assert not api.asked


def test_an_export_is_written_to_its_file(ask: Any, tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"journey_id": ["j1"]}), sink)
    body = sink.getvalue().to_pybytes()
    path = tmp_path / "journeys.parquet"
    with service([Answer(200, {}, body, breaks_after=20), Answer(200, {}, body)]) as api:
        assert ask(api.url, lambda c: c.export("P-1", path, AT)) == [len(body)]
    assert api.asked[0].headers["accept"] == "application/vnd.apache.parquet"
    assert pq.read_table(path)["journey_id"].to_pylist() == ["j1"]
    assert [each.name for each in tmp_path.iterdir()] == ["journeys.parquet"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(problem(403, "no"), AccessDenied), (Answer(200, {}, b"x" * 90, breaks_after=9), ServiceUnavailable)],
)
def test_an_export_that_fails_leaves_the_file_that_was_there(
    ask: Any, tmp_path: Path, answer: Answer, kind: Any
) -> None:
    path = tmp_path / "journeys.csv"
    path.write_text("earlier")
    with service([answer]) as api, pytest.raises(kind):
        ask(api.url, lambda c: c.export("P-1", path, format="csv"))
    assert path.read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["journeys.csv"]


def test_governance_calls_go_to_identityapi_as_its_routes_say(ask: Any) -> None:
    approval = {
        "id": "a1", "product": "journeys", "product_major": 1, "purpose": "pricing", "tenant": "t", "domain": "pricing",
        "state": "requested", "reason": "rates", "requested_by": {"provider": "p", "subject": "s"},
        "requested_at": AT, "decided_by": None, "valid_from": AT, "valid_to": AT, "obligations": None, "steps": [],
    }  # fmt: skip
    with service([json(approval)]) as identity, service([problem(404, "not here")]) as data:
        ask(
            data.url,
            lambda c: c.request_approval("pricing", domain="pricing", reason="rates"),
            lambda c: c.approve("a1", "fine"),
            lambda c: c.acknowledge("a1"),
            lambda c: c.revoke("a1", "ended"),
            identity_url=identity.url,
        )
    assert not data.asked
    assert [(asked.method, asked.path) for asked in identity.asked] == [
        ("POST", "/v1/approvals"),
        ("POST", "/v1/approvals/a1:approve"),
        ("POST", "/v1/approvals/a1:acknowledge"),
        ("POST", "/v1/approvals/a1:revoke"),
    ]


def test_a_state_and_a_reason_that_a_newer_service_knows_are_answers_like_others() -> None:
    decision = {
        "decision_id": "d1", "allowed": False, "reason": "budget_spent", "obligations": None, "determining": [],
        "approval_id": None, "retry_after_s": None,
    }  # fmt: skip
    told = msgspec.json.decode(msgspec.json.encode(decision), type=DecisionGiven)
    assert (told.reason, told.reason in Reason) == ("budget_spent", False)
    assert msgspec.convert("paused", State) == "paused"
    assert State("active") is State.ACTIVE


@pytest.mark.parametrize("wrong", [1, None, ["active"]])
def test_a_state_that_is_no_text_is_none(wrong: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, State)


def test_a_file_that_cannot_be_written_leaves_nothing_behind(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(request: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("journeymesh.client.carrier.start_over", full)
    with service([Answer(200, {}, b"PAR1")]) as api, pytest.raises(OSError, match="no space") as fault:
        ask(api.url, lambda c: c.export("P-1", tmp_path / "journeys.parquet"))
    assert list(tmp_path.iterdir()) == []
    assert fault.value.__traceback__ is not None
