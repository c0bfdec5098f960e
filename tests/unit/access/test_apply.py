"""Obligations met on tables of journeys, fixes and summaries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from journeymesh.access.apply import ObligationUnmet, OnePolicy, admits, applied, masked
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.journeys.summaries import SUMMARY_SCHEMA, summarise

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
ANY = Obligations(rows=RowPredicate(tenants=frozenset({"north"})))
EVENT = {
    "kind": "braking", "severity": "low", "started_at": NOW, "ended_at": NOW, "peak_at": NOW, "peak_mps2": 3.0,
    "lat_deg": 52.0, "lon_deg": 5.0, "fixes": 2,
}  # fmt: skip
_ZERO: dict[Any, Any] = {pa.string(): "x", pa.float64(): 0.0, pa.int32(): 1}


def policy(number: str = "P-1", **changes: Any) -> Policy:
    held: dict[str, Any] = {"valid_from": BEGIN, "vehicle": "V1", "tenant": "north"}
    return Policy(number=number, **held | changes)


def journey(number: str | None = "P-1", *, days_ago: float = 1.0, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {field.name: _ZERO.get(field.type) for field in JOURNEY_SCHEMA}
    at = NOW - timedelta(days=days_ago)
    owner = {"policy": number, "tenant": "north" if number else None, "product": "default" if number else None}
    owner["policy_from"] = BEGIN if number else None
    return row | owner | {"zone": "UTC", "started_at": at, "ended_at": at, "hours": [], "harsh_events": []} | changes


def journeys(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), JOURNEY_SCHEMA)


def numbers(table: pa.Table) -> list[str | None]:
    return list(table["policy"].to_pylist())


BOOK = (policy(), policy("P-2", status="lapsed"), policy("P-3", tenant="south"))


def test_only_rows_of_admitted_policies_leave() -> None:
    table = journeys(journey("P-1"), journey("P-2"), journey("P-3", tenant="south"))
    active = Obligations(rows=RowPredicate(tenants=frozenset({"north"}), statuses=frozenset({"active"})))
    assert numbers(applied(table, ANY, now=NOW, policies=BOOK)) == ["P-1", "P-2"]
    assert numbers(applied(table, active, now=NOW, policies=BOOK)) == ["P-1"]


def test_a_row_of_no_policy_or_of_an_unknown_one_is_nobodys_to_give() -> None:
    table = journeys(journey(None), journey("P-unknown"), journey("P-1"))
    for obligations in (ANY, Obligations()):
        assert numbers(applied(table, obligations, now=NOW, policies=BOOK)) == ["P-1"]


def test_a_row_that_was_written_for_another_tenant_or_product_stays_though_its_policy_is_admitted() -> None:
    table = journeys(journey("P-1", tenant="south"), journey("P-1", product="van"), journey("P-1"))
    own = RowPredicate(tenants=frozenset({"north"}), products=frozenset({"default"}))
    assert len(applied(table, Obligations(rows=own), now=NOW, policies=BOOK)) == 1


def test_a_table_about_one_policy_leaves_whole_or_not_at_all() -> None:
    table = journeys(journey("P-1"), journey("P-1"))
    assert len(applied(table, ANY, now=NOW, of=OnePolicy([policy()]))) == 2
    assert len(applied(table, ANY, now=NOW, of=OnePolicy([policy(tenant="south")]))) == 0


def test_a_row_of_another_policy_does_not_leave_in_a_table_about_one() -> None:
    assert numbers(applied(journeys(journey("P-1"), journey("P-2")), ANY, now=NOW, of=OnePolicy([policy()]))) == ["P-1"]


def test_each_row_is_judged_by_its_own_term() -> None:
    renewed = NOW - timedelta(days=10)
    terms = [policy(valid_to=renewed, status="lapsed"), policy(valid_from=renewed)]
    table = journeys(journey(days_ago=11), journey(policy_from=renewed), journey(tenant="south", policy_from=renewed))
    active = replace(ANY, rows=replace(ANY.rows, statuses=frozenset({"active"})))
    for left in (
        applied(table, active, now=NOW, policies=terms),
        applied(table, active, now=NOW, of=OnePolicy(terms)),
        applied(table, ANY, now=NOW, of=OnePolicy(terms[1:], all_terms=False)),
    ):
        assert left["policy_from"].to_pylist() == [renewed]
    assert (
        len(applied(table, ANY, now=NOW, policies=terms)) == len(applied(table, ANY, now=NOW, of=OnePolicy(terms))) == 2
    )


def test_a_journey_of_a_term_that_is_not_known_leaves_only_where_every_term_may() -> None:
    table = journeys(journey(policy_from=BEGIN + timedelta(days=1)))
    assert len(applied(table, ANY, now=NOW, of=OnePolicy([policy()]))) == 1
    assert len(applied(table, ANY, now=NOW, of=OnePolicy([policy()], all_terms=False))) == 0


def test_what_began_longer_ago_than_the_retention_does_not_leave() -> None:
    table = journeys(journey(days_ago=31), journey(days_ago=30), journey(days_ago=29))
    kept = applied(table, replace(ANY, retention_days=30), now=NOW, policies=BOOK)
    assert [(NOW - at).days for at in kept["started_at"].to_pylist()] == [30, 29]


def test_an_answer_about_fewer_policies_than_the_group_does_not_leave() -> None:
    table = journeys(journey("P-1"), journey("P-1"), journey("P-2"))
    assert len(applied(table, replace(ANY, minimum_group_size=2), now=NOW, policies=BOOK)) == 3
    assert len(applied(table, replace(ANY, minimum_group_size=3), now=NOW, policies=BOOK)) == 0
    assert len(applied(table, replace(ANY, minimum_group_size=2), now=NOW, of=OnePolicy([policy()]))) == 0


def test_the_group_is_what_is_left_after_rows_and_retention() -> None:
    table = journeys(journey("P-1"), journey("P-2", days_ago=40), journey("P-3", tenant="south"))
    obligations = replace(ANY, retention_days=30, minimum_group_size=2)
    assert len(applied(table, obligations, now=NOW, policies=BOOK)) == 0


def test_no_row_of_another_tenant_leaves_even_where_the_obligations_admit_all() -> None:
    everything = Obligations()
    same = (policy("P-1"), policy("P-1", tenant="south"))
    table = journeys(journey("P-1"), journey("P-1", tenant="south"))
    assert len(applied(table, everything, now=NOW, policies=same)) == 2
    for tenant in ("north", "south", "west", ""):
        own = [tenant] if tenant in ("north", "south") else []
        assert applied(table, everything, now=NOW, policies=same, tenant=tenant)["tenant"].to_pylist() == own
        for of in (same, same[:1], same[1:]):
            left = applied(table, everything, now=NOW, of=OnePolicy(of), tenant=tenant)
            assert left["tenant"].to_pylist() == [each.tenant for each in of if each.tenant == tenant]
    fixes = pa.Table.from_pylist([{"vehicle": "V1", "fixed_at": NOW}], FIX_SCHEMA)
    assert len(applied(fixes, everything, now=NOW, of=OnePolicy(same[1:]), tenant="north")) == 0
    assert len(applied(fixes, everything, now=NOW, of=OnePolicy(same[1:]), tenant="south")) == 1


def test_a_single_policy_is_admitted_where_the_group_may_be_one_and_its_row_may_leave() -> None:
    assert admits(ANY, policy())
    assert not admits(replace(ANY, minimum_group_size=2), policy())
    assert not admits(ANY, policy(tenant="south"))


def test_masked_fields_are_null_and_keep_their_type_and_place() -> None:
    table = applied(
        journeys(journey()),
        replace(ANY, mask=frozenset({"vehicle", "start_lat_deg"})),
        now=NOW,
        of=OnePolicy([policy()]),
    )
    assert table.column_names == JOURNEY_SCHEMA.names
    assert table["vehicle"].to_pylist() == [None]
    assert table["start_lat_deg"].to_pylist() == [None]
    assert table.schema.field("start_lat_deg").type == pa.float64()
    assert table.schema.field("start_lat_deg").nullable
    assert table["distance_m"].to_pylist() == [0.0]


def test_a_track_whose_positions_are_masked_tells_nothing_of_the_way() -> None:
    row = {field.name: 1.0 if field.type == pa.float64() else None for field in FIX_SCHEMA}
    fixes = pa.Table.from_pylist([row | {"vehicle": "V1", "fixed_at": NOW, "received_at": NOW, "ignition": True}] * 3)
    for name in ("lat_deg", "start_lon_deg", "end_lat_deg"):
        table = applied(fixes, replace(ANY, mask=frozenset({name})), now=NOW, of=OnePolicy([policy()]))
        assert table.column_names == fixes.column_names
        assert table.to_pylist() == [dict.fromkeys(fixes.column_names) | {"vehicle": "V1"}] * 3


@pytest.mark.parametrize(
    ("masked", "telling"),
    [
        ("vehicle", {"device"}),
        ("started_at", {"ended_at", "fixed_at", "peak_at", "hours"}),
        ("ended_at", {"started_at"}),
        ("distance_m", {"mean_speed_mps", "hours", "annualised_distance_m", "mileage_ratio", "lat_deg"}),
        ("annualised_distance_m", {"mileage_ratio"}),
        ("max_speed_mps", {"speed_mps", "lat_deg", "fixed_at"}),
        ("score", {"score_parts"}),
        ("end_lon_deg", {"start_lat_deg", "heading_deg", "accel_lateral_mps2"}),
    ],
)
def test_a_mask_hides_what_the_masked_could_be_derived_from(masked: str, telling: set[str]) -> None:
    obligations = replace(ANY, mask=frozenset({masked}))
    assert telling | {masked} <= obligations.hidden
    assert obligations.digest == replace(ANY, mask=obligations.hidden).digest


def test_what_tells_of_nothing_masked_is_left() -> None:
    positions = replace(ANY, mask=frozenset({"lat_deg"}))
    assert not positions.hidden & {
        "distance_m",
        "duration_s",
        "driving_s",
        "started_at",
        "ended_at",
        "score",
        "vehicle",
    }
    assert replace(ANY, mask=frozenset({"idle_s"})).hidden == {"idle_s"}


def test_a_mask_reaches_inside_of_lists_and_structs_and_harms_nothing_beside() -> None:
    rows = journeys(journey(harsh_events=[EVENT, EVENT]), journey(harsh_events=[]), journey(harsh_events=[EVENT]))
    table = masked(rows, frozenset({"lat_deg", "lon_deg"}))
    table.validate(full=True)
    hidden = EVENT | {"lat_deg": None, "lon_deg": None}
    assert table["harsh_events"].to_pylist() == [[hidden, hidden], [], [hidden]]
    assert table["start_lat_deg"].to_pylist() == [0.0, 0.0, 0.0]


def test_a_mask_of_sliced_and_chunked_rows_hides_the_same() -> None:
    rows = journeys(*(journey(harsh_events=[EVENT] * count, distance_m=float(count)) for count in range(6)))
    chunked = pa.concat_tables([rows.slice(1, 2), rows.slice(4, 2)])
    table = masked(chunked, frozenset({"lat_deg"}))
    table.validate(full=True)
    found = table["harsh_events"].to_pylist()
    assert [len(events) for events in found] == [1, 2, 4, 5]
    assert all(event["lat_deg"] is None and event["peak_mps2"] == 3.0 for events in found for event in events)


def test_null_lists_and_structs_stay_null_under_a_mask() -> None:
    inner = pa.struct([pa.field("lat_deg", pa.float64()), pa.field("n", pa.int32())])
    values = [[{"lat_deg": 1.0, "n": 1}, None], None, [], [{"lat_deg": 2.0, "n": 2}]]
    table = masked(pa.table({"seen": pa.array(values, pa.list_(inner))}), frozenset({"lat_deg"}))
    table.validate(full=True)
    assert table["seen"].to_pylist() == [
        [{"lat_deg": None, "n": 1}, None], None, [], [{"lat_deg": None, "n": 2}],
    ]  # fmt: skip


def test_what_cannot_be_masked_alone_is_masked_as_a_whole() -> None:
    inner = pa.struct([pa.field("lat_deg", pa.float64())])
    table = pa.table({"seen": pa.array([[{"lat_deg": 1.0}]], pa.large_list(inner)), "n": [1]})
    assert masked(table, frozenset({"lat_deg"})).to_pylist() == [{"seen": None, "n": 1}]


def test_a_whole_column_of_lists_can_be_masked() -> None:
    assert masked(journeys(journey(harsh_events=[EVENT])), frozenset({"harsh_events"}))["harsh_events"].to_pylist() == [
        None
    ]


def test_fixes_of_a_track_obey_the_policy_that_it_was_driven_under() -> None:
    rows = [
        {"vehicle": "V1", "fixed_at": NOW - timedelta(days=days), "lat_deg": 52.0, "lon_deg": 5.0} for days in (1, 9)
    ]
    fixes = pa.Table.from_pylist(rows, FIX_SCHEMA)
    obligations = replace(ANY, retention_days=7, mask=frozenset({"vehicle", "lat_deg"}))
    left = applied(fixes, obligations, now=NOW, of=OnePolicy([policy()]))
    assert left.to_pylist()[0]["lat_deg"] is None
    assert left["vehicle"].null_count == len(left) == 1
    assert left["lon_deg"].to_pylist() == [None]
    assert len(applied(fixes, obligations, now=NOW, of=OnePolicy([policy(tenant="south")]))) == 0


def test_fixes_do_not_leave_where_it_is_not_said_whose_they_are() -> None:
    fixes = pa.Table.from_pylist([{"vehicle": "V1", "fixed_at": NOW}], FIX_SCHEMA)
    with pytest.raises(ObligationUnmet, match="without policy"):
        applied(fixes, ANY, now=NOW, policies=BOOK)


def test_a_table_without_its_beginning_cannot_be_held_to_a_retention() -> None:
    with pytest.raises(ObligationUnmet, match="started_at"):
        applied(journeys(journey()).select(["policy"]), replace(ANY, retention_days=1), now=NOW, policies=BOOK)


def test_a_summary_obeys_its_policy_and_the_beginning_of_its_period() -> None:
    made = summarise(journeys(journey(days_ago=1), journey(days_ago=40)), policy(), "month", ALWAYS_ON.score)
    assert made.schema == SUMMARY_SCHEMA
    left = applied(made, replace(ANY, retention_days=31, mask=frozenset({"score"})), now=NOW, policies=BOOK)
    assert left["period_from"].to_pylist() == [date(2026, 3, 1)]
    assert left["score"].to_pylist() == [None]


def test_a_date_that_began_too_long_ago_on_some_clock_does_not_leave() -> None:
    table = pa.table({"policy": ["P-1"] * 2, "period_from": pa.array([date(2026, 2, 28), date(2026, 3, 2)])})
    left = applied(table, replace(ANY, retention_days=2), now=NOW, policies=BOOK)
    assert left["period_from"].to_pylist() == [date(2026, 3, 2)]


def test_an_empty_table_meets_every_obligation() -> None:
    obligations = replace(ANY, retention_days=1, minimum_group_size=2, mask=frozenset({"vehicle", "lat_deg"}))
    left = applied(JOURNEY_SCHEMA.empty_table(), obligations, now=NOW, policies=())
    assert left.column_names == JOURNEY_SCHEMA.names
    assert len(left) == 0
