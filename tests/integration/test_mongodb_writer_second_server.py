"""Fixes written back to a second server that speaks MongoDB's wire protocol."""

from tests.integration.test_mongodb_writer import *  # noqa: F403 - its tests, with the server below
from tests.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

GAPS: dict[str, str] = {}
