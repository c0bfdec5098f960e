"""Fixes written back to a second server that speaks MongoDB's wire protocol."""

import pytest
from tests.integration.test_mongodb_writer import *  # noqa: F403 - its tests, with the server below
from tests.second_server import declare_gap, second_server_url

_NO_COUNT = "a write that fails is answered without nModified, which the driver needs"
GAPS = {
    "test_several_writers_of_the_same_fixes_leave_each_once": _NO_COUNT,
    "test_a_collection_that_refuses_is_told_without_the_document": _NO_COUNT,
}


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    return second_server_url()


@pytest.fixture(autouse=True)
def declared_gap(request: pytest.FixtureRequest) -> None:
    declare_gap(request, GAPS)
