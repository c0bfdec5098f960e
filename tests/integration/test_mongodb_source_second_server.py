"""A live MongoDB as a source, on a second server that speaks the wire protocol: no test of it is excepted."""

import os

import pytest
from tests.integration.test_mongodb_source import *  # noqa: F403 - its tests, with the server below


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    url = os.environ.get("JOURNEYMESH_TEST_MONGODB_SECOND")
    if not url:
        pytest.skip("JOURNEYMESH_TEST_MONGODB_SECOND is unset")
    return url
