"""Arrow and Parquet have instants that Python has not: each row is a fix or a refusal, and no fault of the program."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.body_attacks import ARROW, columns, stream

from journeymesh.services.journeyapi.fix_bodies import read_fixes
from journeymesh.sources.column_values import listed
from journeymesh.sources.columnar import ParquetSource

BEYOND = [2**62, -(2**62), 253_402_300_800_000_000]


def _fixes(beyond: int, unit: str = "us") -> pa.Table:
    kind = pa.timestamp(unit, "UTC")
    good = columns(1).column("fixed_at").cast(kind, safe=False)[0].value
    return columns(2, fixed_at=pa.array([good, beyond], pa.int64()).cast(kind))


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_an_instant_beyond_the_calendar_harms_no_other_row_of_a_body(beyond: int, unit: str) -> None:
    fixes, refused = read_fixes(ARROW, stream(_fixes(beyond, unit)), 10)
    assert len(fixes) + len(refused) == 2
    assert 0 not in [one.row for one in refused]


@pytest.mark.parametrize("beyond", BEYOND)
def test_an_instant_beyond_the_calendar_harms_no_other_row_of_a_file(beyond: int, tmp_path: Path) -> None:
    table = _fixes(beyond)
    for name, changed in (("a", table), ("b", table.append_column("note", table.column("fixed_at")))):
        place = tmp_path / f"{name}.parquet"
        pq.write_table(changed.set_column(2, "lat_deg", pa.array([51.5, 91.5])), place)
        batches = list(ParquetSource(str(place)).batches())
        assert sum(len(batch.fixes) + len(batch.refusals) for batch in batches) == 2


def test_what_python_has_not_is_told_apart_from_null() -> None:
    assert listed(pa.array([1, None, 2**62], pa.int64()).cast(pa.timestamp("us")))[1:] == [
        None,
        f"timestamp[us] {2**62}",
    ]
