"""A live MongoDB as a source, on a second server that speaks the wire protocol: no test of it is excepted."""

import pytest
from tests.integration.test_mongodb_source import *  # noqa: F403 - its tests, with the server below
from tests.second_server import second_server_url


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    return second_server_url()
