"""Digests of ids, and the values that a vehicle's name may be stored as."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.sources.document_places import Identities
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb_queries import values_of, vehicle_queries
from journeymesh.sources.mongodb_vehicles import Trail
from journeymesh.sources.vehicle_port import VehicleTimes

IDS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    st.binary(max_size=400),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=12, max_size=12).map(bson.ObjectId),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 9)),
    st.none(),
    st.floats(allow_nan=False),
)


def digest(identity: Any) -> int:
    element = bson.encode({"v": identity})
    return int.from_bytes(blake2b(element[4:5] + element[7:-1], digest_size=8).digest(), "little", signed=True)


def buffer_of(*documents: dict[str, Any]) -> Any:
    return np.frombuffer(b"".join(map(bson.encode, documents)), np.uint8)


@given(st.lists(IDS, min_size=1, max_size=5), st.booleans())
def test_a_digest_is_blake2b_of_the_id_wherever_it_stands(ids, last):
    documents = [{"x": 1, "_id": one} if last else {"_id": one, "x": 1} for one in ids]
    identities = Identities(buffer_of(*documents), len(ids), digesting=True)
    assert identities.digests.tolist() == [digest(one) for one in ids]
    packed = identities.packed()
    assert [bson.decode(packed.document(int(at)))["_id"] for at in identities.spans[:, 0]] == ids
    assert packed.document(int(identities.spans[-1, 0]) + 1) == b""


def test_ids_that_differ_in_type_alone_have_digests_of_their_own():
    ids = [1, bson.Int64(1), 1.0, "1"]
    digests = Identities(buffer_of(*({"_id": one} for one in ids)), 4, digesting=True).digests
    assert len(set(digests.tolist())) == 4


@pytest.mark.parametrize("at", range(4, 25))
def test_a_document_cut_short_is_never_read_past_its_end(at):
    content = bson.encode({"_id": "abcdefgh"})
    found = Identities(np.frombuffer(content[:at], np.uint8), 1, digesting=True)
    assert len(found.spans) == (1 if at >= len(content) else 0)


@pytest.mark.parametrize(
    ("vehicle", "values"),
    [
        ("D1", ["D1"]),
        ("123", ["123", 123]),
        ("-5", ["-5", -5]),
        ("0123", ["0123"]),
        ("+5", ["+5"]),
        ("--5", ["--5"]),
        ("-0", ["-0"]),
        ("٣", ["٣"]),
        (str(2**63), [str(2**63), bson.Decimal128(str(2**63))]),
        (str(-(2**63)), [str(-(2**63)), -(2**63)]),
        ("6b05039a7fca864991799d88", ["6b05039a7fca864991799d88", bson.ObjectId("6b05039a7fca864991799d88")]),
        ("6B05039A7FCA864991799D88", ["6B05039A7FCA864991799D88"]),
        ("", []),
    ],
)
def test_a_vehicle_is_asked_for_as_every_value_that_is_read_as_its_name(vehicle, values):
    assert [value for value in values_of(vehicle) if not isinstance(value, bson.Binary)] == values


@pytest.mark.parametrize(
    ("vehicle", "binaries"),
    [
        ("D1", [bson.Binary(b"D1")]),
        ("ff00", [bson.Binary(b"ff00"), bson.Binary(b"\xff\0")]),
        ("FF00", [bson.Binary(b"FF00")]),
        (
            "00112233-4455-6677-8899-aabbccddeeff",
            [
                bson.Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 4),
                bson.Binary(bytes.fromhex("00112233445566778899aabbccddeeff"), 3),
                bson.Binary(b"00112233-4455-6677-8899-aabbccddeeff"),
            ],
        ),
    ],
)
def test_a_vehicle_is_asked_for_as_the_bytes_that_are_read_as_its_name(vehicle, binaries):
    assert [value for value in values_of(vehicle) if isinstance(value, bson.Binary)] == binaries


def test_many_vehicles_are_few_questions_and_each_vehicle_is_in_one():
    mapping = load_mapping(
        "collection: c\nfields:\n  vehicle: {path: d}\n  fixed_at: {path: t, clock: bson_date}\n"
        "  lat: {path: a}\n  lon: {path: o}\n"
    )
    wanted = [VehicleTimes(f"D{number % 25}", number, number + 10) for number in range(100)]
    asked = list(vehicle_queries(mapping, wanted, most=10))
    assert [len(vehicles) for _, vehicles in asked] == [10, 10, 5]
    assert frozenset().union(*(vehicles for _, vehicles in asked)) == {f"D{number}" for number in range(25)}
    assert list(vehicle_queries(mapping, [VehicleTimes("D1", 5, 4), VehicleTimes("")])) == []


def test_a_trail_forgets_the_oldest_and_keeps_the_last_whatever_its_size():
    trail = Trail(most_bytes=200)
    packed = Identities(buffer_of({"_id": "a"}), 1, digesting=False).packed()
    starts = [trail.reserve(100) for _ in range(20)]
    assert len(set(starts)) == 20
    for start in starts[:10]:
        trail.remember([(start, packed)])
    known = [bool(document) for document in trail.documents(starts)]
    assert known[9]
    assert not any(known[:3])
    assert not any(known[10:])
    trail.remember([(start, packed) for start in starts[10:]])
    assert [bool(document) for document in trail.documents(starts)] == [False] * 10 + [True] * 10
