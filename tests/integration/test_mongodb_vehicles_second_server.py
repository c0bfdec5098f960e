"""A live MongoDB asked by vehicle, on a second server that speaks the wire protocol."""

import math

import bson
import pytest
from tests.integration import test_mongodb_vehicles as on_the_first
from tests.integration.test_mongodb_vehicles import *  # noqa: F403 - its tests, with the server below
from tests.support.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

_NO_SUCH_VALUES = "the server closes the connection at decimals and NaN in a query, and does not know the type minKey"
GAPS = {
    "test_reading_by_vehicle_gives_what_a_batch_run_gives": _NO_SUCH_VALUES,
    "test_fixes_in_arrays_are_read_by_vehicle_as_in_a_batch_run": _NO_SUCH_VALUES,
    "test_a_span_brings_what_lies_in_it_and_every_clock_that_cannot_be_compared": _NO_SUCH_VALUES,
    "test_a_read_of_too_much_is_refused_with_the_bound": "the server does not know the type minKey",
}


@pytest.fixture(autouse=True)
def values_that_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes neither decimals nor numbers that are not finite: it closes the connection, or refuses the document."""
    for name in ("ODD_NAMES", "ODD_CLOCKS"):
        taken = [value for value in getattr(on_the_first, name) if not _untaken(value)]
        assert len(taken) > 15
        monkeypatch.setattr(on_the_first, name, taken)


def _untaken(value: object) -> bool:
    return isinstance(value, bson.Decimal128) or (isinstance(value, float) and not math.isfinite(value))
