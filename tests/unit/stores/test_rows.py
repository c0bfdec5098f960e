"""The stored form of journeys."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import journey, journeys

from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.stores import rows
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.sql_bulk import escaped, unescaped


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_journey_survives_the_stored_form_and_history_exactly(value: float, start: datetime) -> None:
    hours = [{"hour_of_week": 3, "distance_m": value, "driving_s": 1.0}]
    table = journeys(
        journey(start=start, ended_at=start, distance_m=value, hours=hours), journey(policy=None, hours=[])
    )
    (first, second) = rows.rows_of(rows.stored_journeys(table))
    assert rows.journeys_of([first, second]).equals(table)
    again = rows.row_from_content(rows.row_content(first))
    assert again == first
    assert rows.row_content(again) == rows.row_content(first)


def test_chunks_and_slices_do_not_change_the_stored_form() -> None:
    table = journeys(*(journey(f"car-{i}", distance_m=float(i)) for i in range(9)))
    chunked = pa.concat_tables([table.slice(0, 2), table.slice(2, 3), table.slice(5)])
    stored = rows.rows_of(rows.stored_journeys(table))
    assert rows.rows_of(rows.stored_journeys(chunked)) == stored
    assert rows.rows_of(rows.stored_journeys(table.slice(4, 3))) == stored[4:7]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_rows_that_become_columns_some_at_a_time_are_the_same_table(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    hours = [{"hour_of_week": 3, "distance_m": -0.0, "driving_s": 1.0}]
    table = journeys(
        *(
            journey(f"car-{i}", distance_m=float(i), policy=None if i < 4 else f"P-{i}", hours=hours * (i % 3))
            for i in range(count)
        )
    )
    stored = rows.rows_of(rows.stored_journeys(table))
    whole, made = rows.table_of, list[int]()
    monkeypatch.setattr(rows, "table_of", lambda some, schema: made.append(len(some)) or whole(some, schema))
    monkeypatch.setattr(rows, "_ROWS_AT_ONCE", 3)
    found = rows.journeys_of(iter(stored))
    assert found.equals(table)
    assert found["distance_m"].num_chunks <= 1
    assert sum(made) == count
    assert max(made, default=0) <= 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_number_that_is_none_is_refused(value: float | None) -> None:
    schema = pa.schema([field.with_nullable(True) for field in JOURNEY_SCHEMA])
    table = pa.Table.from_pylist([journey(night_s=value)], schema=schema)
    with pytest.raises(ValueError, match="night_s"):
        rows.stored_journeys(table)


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(ValueError, match="no column zone"):
        rows.stored_journeys(journeys(journey()).drop_columns("zone"))


@given(st.lists(st.text("\0\1\2ab", max_size=6), max_size=8))
def test_nul_is_escaped_reversibly_and_in_order(texts: list[str]) -> None:
    assert [unescaped(escaped(text)) for text in texts] == texts
    assert not any("\0" in escaped(text) for text in texts)
    assert sorted(map(escaped, texts)) == [escaped(text) for text in sorted(texts)]


def test_the_stated_head_is_the_newest_migration() -> None:
    from alembic.script import ScriptDirectory

    assert ScriptDirectory.from_config(SCHEMA.scripts()).get_heads() == [SCHEMA.head]
