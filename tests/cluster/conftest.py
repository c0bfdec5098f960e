"""One bundle for all tests of this folder: brought up once, left as the cluster's other content is."""

from __future__ import annotations

import pytest

from tests.cluster.bring_up import Bundle, brought_up, missing


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The development bundle on the cluster that the environment names, or a skip that says what is missing."""
    if told := missing():
        pytest.skip(f"no cluster to bring the bundle up on: {told}")
    return brought_up(tmp_path_factory.mktemp("bundle"))
