"""Blocks of kept fixes."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.errors import StoreCorrupt
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.stores.digests import fixes_digest
from journeymesh.stores.fix_blocks import DAY_US, decode_block, decoded, encode_blocks, fixes_of


def some_fixes(count: int = 60, seed: int = 1) -> Fixes:
    """Fixes of three vehicles over four days, around 1970, with every optional column reported now and then."""
    random = np.random.default_rng(seed)
    at = np.sort(random.choice(4 * DAY_US, count, replace=False)) - 2 * DAY_US
    columns = {
        name: np.where(random.random(count) < 0.3, np.nan, random.random(count))
        for name in ("speed_mps", "heading_deg", "accel_longitudinal_mps2", "accel_lateral_mps2", "speed_limit_mps")
    }
    received = np.where(random.random(count) < 0.5, NOT_REPORTED_US, at + 5)
    flags = random.integers(-1, 2, count).astype(np.int8)
    codes = random.integers(0, 3, count).astype(np.int32)
    lat, lon = random.random(count), -random.random(count)
    return Fixes(("b", "a", "é"), codes, at, lat, lon, received_at_us=received, ignition=flags, **columns)


def test_blocks_are_one_per_vehicle_and_utc_day() -> None:
    at = np.array([-1, 0, DAY_US - 1, DAY_US, 5], np.int64)
    codes = np.array([0, 0, 0, 0, 1], np.int32)
    blocks = encode_blocks(Fixes(("z", "a"), codes, at, np.ones(5), np.ones(5)))
    found = [(b.vehicle, b.day, b.rows, b.first_us, b.last_us) for b in blocks]
    assert found == [
        ("a", 0, 1, 5, 5),
        ("z", -1, 1, -1, -1),
        ("z", 0, 2, 0, DAY_US - 1),
        ("z", 1, 1, DAY_US, DAY_US),
    ]


@given(st.integers(0, 2**32 - 1))
def test_the_same_fixes_in_any_order_give_the_same_bytes(seed: int) -> None:
    fixes = some_fixes()
    shuffled = fixes.take(np.random.default_rng(seed).permutation(len(fixes)))
    assert encode_blocks(shuffled) == encode_blocks(fixes)


def test_a_column_that_is_absent_and_one_never_reported_are_the_same_block() -> None:
    at, one = np.arange(3, dtype=np.int64), np.ones(3)
    bare = Fixes(("v",), np.zeros(3, np.int32), at, one, one)
    silent = Fixes(
        ("v",),
        np.zeros(3, np.int32),
        at,
        one,
        one,
        received_at_us=np.full(3, NOT_REPORTED_US),
        speed_mps=np.full(3, np.nan),
        ignition=np.full(3, -1, np.int8),
    )
    assert encode_blocks(silent) == encode_blocks(bare)


def test_fixes_come_back_as_they_were() -> None:
    fixes = some_fixes()
    blocks = encode_blocks(fixes)
    for code, vehicle in enumerate(fixes.vehicles):
        expected = fixes.take(fixes.vehicle == code)
        contents = [block.content for block in blocks if block.vehicle == vehicle]
        found = fixes_of(vehicle, contents, -(2**62), 2**62)
        for name, column in expected.columns()[1:]:
            assert np.array_equal(getattr(found, name), column, equal_nan=column.dtype.kind == "f"), name


def test_no_fixes_make_no_block() -> None:
    assert encode_blocks(Fixes.empty(("v",))) == []
    assert len(fixes_of("v", [], 0, 1)) == 0


@given(st.data())
def test_a_damaged_byte_anywhere_is_noticed(data: st.DataObject) -> None:
    content = bytearray(encode_blocks(some_fixes())[0].content)
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreCorrupt, match="damaged"):
        decode_block(bytes(content))


@pytest.mark.parametrize("content", [b"", b"short", b"\1\0\0\0" + b"\0" * 40])
def test_what_is_no_block_is_refused(content: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="damaged"):
        decode_block(content)


def test_a_truncated_block_is_refused() -> None:
    content = encode_blocks(some_fixes())[0].content
    with pytest.raises(StoreCorrupt, match="damaged"):
        decode_block(content[:-9])


_BEFORE_ACCURACY = (
    "0RaC40{{R3I0FCx00000jhAj(D77#BU^oKp2mnIPDJ^ho(i-GgA2Q-7z#NdjqF6anetkv%K4u2OPuA#CRS}$10fwr2CaJ$$cibuewd8iWWKze0v>|y"
    "sO#&&nStJfq!=%EvpeTx>DB4slOdv31w5cNKR9JYlsZ!`@3?$kKWVwMhyRt0Ht}M$k=n8WEcsZ^bFDK{S+`O8aH{uHMW@cVY%zN*xWDj^f97-7(z0i="
    "~2>WQ1QgTvYv@$@#=kxglM<AesBrOJF;J`t~0B5#2e7huUvm`Js%WyiDdG-{{zB_Ap*myP}z=LykwK2j;82G>gmT?(NjPU`>SjGhf8(aO_c;JB#Jn+"
    "B=9(dpbmKfs$mKfs$mKfs$4?OUJ2P|=n2P|=n2P|<6TMQh27z<q"
)
_ITS_DIGEST = "2-d8b746fe853393bc1e494da2fa40c13c"


def test_a_block_of_the_first_format_is_read_and_its_fixes_have_the_digest_of_the_present_one() -> None:
    content = base64.b85decode(_BEFORE_ACCURACY)
    fixes = fixes_of("V1", [content], 0, 2_000_000_000_000_000)
    assert fixes.ignition is not None
    assert fixes.ignition.tolist() == [1, -1, 0]
    assert fixes.accuracy_m is None
    (again,) = encode_blocks(fixes)
    assert fixes_digest(decoded(iter([("V1", again.day, content)]))) == _ITS_DIGEST
    assert len(again.content) < len(content)
    assert decode_block(again.content) == decode_block(content)
    assert fixes_digest(decoded(iter([("V1", again.day, again.content)]))) == _ITS_DIGEST


def test_accuracy_is_kept_and_counts_in_the_digest() -> None:
    content = base64.b85decode(_BEFORE_ACCURACY)
    fixes = replace(fixes_of("V1", [content], 0, 2_000_000_000_000_000), accuracy_m=np.array([5.0, np.inf, np.nan]))
    (block,) = encode_blocks(fixes)
    kept = fixes_of("V1", [block.content], 0, 2_000_000_000_000_000)
    np.testing.assert_array_equal(kept.accuracy_m, fixes.accuracy_m)
    assert fixes_digest(decoded(iter([("V1", block.day, block.content)]))) != _ITS_DIGEST
