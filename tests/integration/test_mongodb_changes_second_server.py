"""A second server that speaks MongoDB's wire protocol cannot be followed: it has no change streams."""

import pytest
from tests.integration import test_mongodb_changes as on_the_first
from tests.integration.test_mongodb_changes import *  # noqa: F403 - its tests, with the server below
from tests.support.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

from journeymesh.errors import SourceUnreadable

GAPS = {
    name: "the server has no change streams"
    for name in vars(on_the_first)
    if name.startswith("test_") and name != "test_the_source_is_a_vehicle_source"
}


def test_that_it_cannot_be_followed_is_said(source) -> None:
    with pytest.raises(SourceUnreadable, match="cannot be followed"):
        source.position()
