"""Exporting and deleting documents by vehicle, on a second server that speaks MongoDB's wire protocol."""

from tests.integration.test_mongodb_remover import *  # noqa: F403 - its tests, with the server below
from tests.support.second_server import declared_gap, mongodb_url  # noqa: F401 - fixtures

_NO_DECIMALS = "the server closes the connection at decimals in a query, which a vehicle's name may be"
GAPS = {
    "test_the_documents_of_these_vehicles_and_no_others_are_exported_whole_and_deleted": _NO_DECIMALS,
    "test_only_documents_that_meet_the_conditions_are_removed": _NO_DECIMALS,
}
