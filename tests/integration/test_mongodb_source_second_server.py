"""A live MongoDB as a source, on a second server that speaks the wire protocol."""

from tests.integration.test_mongodb_source import *  # noqa: F403 - its tests, with the server below
from tests.support.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

GAPS = {
    "test_keys_with_a_dot_in_them_are_read_where_they_are_quoted": "the server stores no key that has a dot in it",
}
