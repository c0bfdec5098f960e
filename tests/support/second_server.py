"""A second server that speaks MongoDB's wire protocol, and what it cannot do.

A module that runs another one's tests on it imports the fixtures here behind those tests, and names in ``GAPS`` which
of them fail there and why.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest


def second_server_url() -> str:
    """The server of ``JOURNEYMESH_TEST_MONGODB_SECOND``; skips the test without one."""
    url = os.environ.get("JOURNEYMESH_TEST_MONGODB_SECOND")
    if not url:
        pytest.skip("JOURNEYMESH_TEST_MONGODB_SECOND is unset")
    return url


def declare_gap(request: pytest.FixtureRequest, gaps: Mapping[str, str]) -> None:
    """Expect the test to fail where the server has a gap; one that passes in spite of it fails: the gap has closed."""
    reason = gaps.get(request.node.originalname)
    if reason is not None:
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    """The second server in place of the first."""
    return second_server_url()


@pytest.fixture(autouse=True)
def declared_gap(request: pytest.FixtureRequest) -> None:
    """Expect what the module's ``GAPS`` name to fail."""
    declare_gap(request, request.module.GAPS)
