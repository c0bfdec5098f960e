"""Hostile compressed columns: ``python -m tests.fuzz.fuzz_columns --seconds 60 --seed 1``.

A case is a sound column with wounds, or bytes put together of what columns are made of. It must give values or be
refused as damaged, in time, and never more than the bounds say. Every sound column must give what was put in.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from datetime import UTC, datetime, timedelta

import bson
from tests.support.columns_encoder import MISSING, column, element

from journeymesh.sources.compressed_columns import MOST_BYTES, MOST_VALUES, column_values
from journeymesh.sources.simple8b import DamagedColumn

CASE_SECONDS = 20.0
START = datetime(2024, 5, 1, tzinfo=UTC)


def sound(rng: random.Random) -> tuple[list, int | None]:
    count = rng.randrange(400)
    kind = rng.randrange(6)
    values: list = []
    match kind:
        case 0:
            values = [round(rng.uniform(-90, 90), 5) for _ in range(count)]
        case 1:
            values = [START + timedelta(seconds=rng.choice((1, 5, 5, 5)) * n) for n in range(count)]
        case 2:
            values = [rng.randrange(-(2**31), 2**31) >> rng.randrange(31) for _ in range(count)]
        case 3:
            values = ["".join(rng.choices("abc", k=rng.randrange(6))) for _ in range(count)]
        case 4:
            values = [rng.random() < 0.5 for _ in range(count)]
        case _:
            values = [
                bson.ObjectId(struct.pack(">I", 10**9 + n) + b"abcde" + bytes((0, 0, n % 256))) for n in range(count)
            ]
    if rng.random() < 0.5:
        values = [MISSING if rng.random() < 0.1 else value for value in values]
    return values, 4 if kind == 0 else None


def built(rng: random.Random) -> bytes:
    """Bytes of what columns are made of, in no order."""
    content = b""
    for _ in range(rng.randrange(1, 12)):
        match rng.randrange(4):
            case 0:
                kind, raw = element(
                    rng.choice((1, 2.5, "a", None, True, START, {"a": 1}, [1], b"x", bson.Int64(2**40)))
                )
                content += bytes((kind, 0)) + raw
            case 1:
                count = rng.randrange(1, 17)
                words = [rng.choice((15 | 15 << 4, 14, 1, rng.getrandbits(64))) for _ in range(count)]
                content += bytes((rng.choice((0x80, 0x90, 0xD0)) | count - 1,)) + struct.pack(f"<{count}Q", *words)
            case 2:
                inside = {"a": 1, "b": {"c": START, "d": [1, {"e": 2.5}]}, "f": {}}
                content += bytes((rng.choice((0xF0, 0xF1, 0xF2)),)) + bson.encode(inside)
            case _:
                content += b"\0" if rng.random() < 0.3 else rng.randbytes(rng.randrange(4))
    return content + b"\0"


def one_case(rng: random.Random) -> None:
    if rng.random() < 0.3:
        content = built(rng)
    else:
        values, scale = sound(rng)
        content = column(values, scale)
        expected = [None if value is MISSING else element(value) for value in values]
        assert column_values(content) == expected, "a sound column was read wrongly"
        wounds = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            wounds[rng.randrange(len(wounds))] = rng.choice((0, 1, 15, 0x80, 0x8F, 0xF0, 0xF1, 255, rng.randrange(256)))
        content = bytes(wounds[: rng.randrange(1, len(wounds) + 1)] if rng.random() < 0.2 else wounds)
    started = time.perf_counter()
    try:
        found = column_values(content)
    except DamagedColumn:
        found = []
    took = time.perf_counter() - started
    assert took < CASE_SECONDS, f"{len(content)} bytes took {took:.1f} s"
    assert len(found) <= MOST_VALUES, "more values than the bound"
    assert sum(len(value[1]) for value in found if value is not None) <= MOST_BYTES, "more bytes than the bound"
    for value in found[:50]:
        if value is not None:
            body = bytes((value[0],)) + b"v\0" + value[1] + b"\0"
            assert len(body) + 4 < 2**31


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    cases = 0
    until = time.monotonic() + given.seconds
    while time.monotonic() < until:
        case_seed = rng.getrandbits(64)
        try:
            one_case(random.Random(case_seed))
        except BaseException:
            print(f"case {cases} failed, its seed is {case_seed}", flush=True)
            raise
        cases += 1
    print(f"{cases} cases passed, seed {given.seed}")


if __name__ == "__main__":
    main()
