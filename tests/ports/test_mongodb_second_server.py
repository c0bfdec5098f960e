"""The MongoDB store on a second server that speaks the wire protocol: that of ``JOURNEYMESH_TEST_MONGODB_SECOND``."""

from __future__ import annotations

import pytest

from tests.ports import test_mongodb_store as on_the_first
from tests.second_server import declare_gap, second_server_url

GAPS = {"test_a_journey_comes_back_exactly": "the server keeps -0.0 as 0.0"}
"""What the server cannot do. A test that passes in spite of its gap fails: then the gap has closed."""


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    return second_server_url()


class TestMongodbStoreOnASecondServer(on_the_first.TestMongodbStore):
    @pytest.fixture(autouse=True)
    def declared_gap(self, request: pytest.FixtureRequest) -> None:
        declare_gap(request, GAPS)
