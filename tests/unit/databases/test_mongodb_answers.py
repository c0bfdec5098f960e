"""A server that leaves out what the driver takes for granted is no fault of the program, and ours stay ours."""

import pytest
from pymongo import bulk_shared

from journeymesh.databases.mongodb_answers import is_of_driver
from journeymesh.errors import StoreUnavailable
from journeymesh.stores.mongo_faults import mongo_faults


def test_a_field_that_the_driver_misses_makes_the_store_unavailable() -> None:
    with (
        pytest.raises(StoreUnavailable, match="box: the server's answer lacks 'writeErrors'") as caught,
        mongo_faults("mongodb://box/x", "box"),
    ):
        bulk_shared._raise_bulk_write_error({})
    assert caught.value.__cause__ is not None
    assert is_of_driver(caught.value.__cause__)


def test_a_key_that_we_miss_stays_a_fault_of_the_program() -> None:
    answer: dict[str, int] = {}
    with pytest.raises(KeyError) as caught, mongo_faults("mongodb://box/x", "box"):
        answer["key"]
    assert not is_of_driver(caught.value)
