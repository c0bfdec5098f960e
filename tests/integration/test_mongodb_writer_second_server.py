"""Fixes written back to a second server that speaks MongoDB's wire protocol."""

from tests.integration.test_mongodb_writer import *  # noqa: F403 - its tests, with the server below
from tests.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

_NO_COUNT = "a write that fails is answered without nModified, which the driver needs"
GAPS = {
    "test_several_writers_of_the_same_fixes_leave_each_once": _NO_COUNT,
    "test_a_collection_that_refuses_is_told_without_the_document": _NO_COUNT,
}
