"""The MongoDB store on a second server that speaks the wire protocol: that of ``JOURNEYMESH_TEST_MONGODB_SECOND``."""

from __future__ import annotations

import pytest

from tests.ports import test_mongodb_store as on_the_first
from tests.support.second_server import declare_gap, second_server_url

_NEGATIVE_ZERO = "the server keeps -0.0 as 0.0"
GAPS = {
    "test_a_journey_comes_back_exactly": _NEGATIVE_ZERO,
    "test_a_store_filled_before_limits_were_recorded_goes_on": _NEGATIVE_ZERO,
    "test_a_refusal_that_is_there_stays_and_one_withdrawn_goes": _NEGATIVE_ZERO,
    "test_long_and_missing_positions_of_refusals_are_kept": "the server refuses infinite numbers",
}
"""What the server cannot do. A test that passes in spite of its gap fails: then the gap has closed."""


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    return second_server_url()


class TestMongodbStoreOnASecondServer(on_the_first.TestMongodbStore):
    @pytest.fixture(autouse=True)
    def declared_gap(self, request: pytest.FixtureRequest) -> None:
        declare_gap(request, GAPS)
