"""Hostile BSON against the compiled reader: ``python -m tests.fuzz.fuzz_bson --seconds 60 --seed 1``.

Each case lies in memory between two pages that may not be touched, once against the first and once against the last:
a read outside the buffer kills the process. Beyond that, a case must end in time, account for every document, and
leave the documents beside the damaged one as they are.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import random
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import bson
import numpy as np

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.mapping import load_mapping

CASE_SECONDS = 5.0
PAGE = mmap.PAGESIZE
INT32S = (-(2**31), -1, 0, 1, 3, 4, 5, 6, 7, 13, 14, 255, 65536, 2**24, 2**24 + 2**14, 2**31 - 8, 2**31 - 1)

BLACKBOX = """
collection: blackbox
fields:
  vehicle: {path: deviceId}
  fixed_at: {path: ts, clock: bson_date}
  lat: {path: loc.coordinates.1}
  lon: {path: loc.coordinates.0}
  speed: {path: speedMph, unit: mph}
  accel_longitudinal: {path: accelG.x, unit: g}
  ignition: {path: on}
"""
TRIPS = """
collection: trips
layout: embedded
fields:
  vehicle: {path: vehicle.vin}
  fixed_at: {paths: ["samples[].d", "samples[].t"], clock: strftime, format: "%m/%d/%Y %H:%M:%S", zone_path: tz}
  lat: {path: "samples[].lat"}
  lon: {path: "samples[].lon"}
  speed: {path: "samples[].kmh", unit: km/h}
"""
BUCKETS = """
collection: buckets
layout: bucketed
fields:
  vehicle: {path: meta}
  fixed_at: {path: "data.t[]", clock: offset_s, base: {path: start, clock: iso8601}}
  lat: {path: "data.lat[]"}
  lon: {path: "data.lon[]"}
"""


def blackbox_document(rng: random.Random) -> dict:
    return {
        "_id": bson.ObjectId(rng.randbytes(12)),
        "deviceId": f"BB-{rng.randrange(10 ** rng.randrange(1, 6))}",
        "ts": datetime(2019, 5, 23, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**6)),
        "loc": {"type": "Point", "coordinates": [rng.uniform(-180, 180), rng.uniform(-90, 90)]},
        "speedMph": rng.choice([rng.uniform(0, 80), rng.randrange(80), bson.Int64(5), "31.5", None]),
        "gps": {"fix": 3, "sats": 4, "note": rng.choice([bson.Regex("a.c", "i"), b"\0\1", bson.Code("x", {"a": 1})])},
        "accelG": {"x": rng.uniform(-1, 1), "y": bson.Decimal128("0.25")},
        "on": rng.choice([True, False, 1, "off"]),
    }


def trip_document(rng: random.Random) -> dict:
    return {
        "_id": f"T{rng.randrange(1000)}",
        "vehicle": {"vin": "VF1ACVYB000000001"},
        "tz": rng.choice(["Africa/Casablanca", "Europe/London"]),
        "samples": [
            {"d": "03/29/2021", "t": f"11:13:{second:02}", "lat": "33.986225", "lon": f"-6.7{second}", "kmh": 1.5}
            for second in range(rng.randrange(40))
        ],
    }


def bucket_document(rng: random.Random) -> dict:
    count = rng.randrange(30)
    columns = {name: [float(i) for i in range(count)] for name in ("t", "lat", "lon")}
    if rng.random() < 0.5:
        columns = {name: {str(i): value for i, value in enumerate(column)} for name, column in columns.items()}
    return {"_id": rng.randrange(1000), "meta": 17, "start": "2021-03-29T11:13:45Z", "data": columns}


SHAPES: tuple[tuple[str, Callable[[random.Random], dict]], ...] = (
    (BLACKBOX, blackbox_document),
    (TRIPS, trip_document),
    (BUCKETS, bucket_document),
)


@contextmanager
def guarded(content: bytes, *, at_end: bool) -> Iterator[np.ndarray]:
    """The content as an array whose one end touches a page that kills whoever reads it."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    pages = max(1, -(-len(content) // PAGE))
    region = mmap.mmap(-1, (pages + 2) * PAGE)
    anchor = ctypes.c_char.from_buffer(region)
    address = ctypes.addressof(anchor)
    start = PAGE + (pages * PAGE - len(content) if at_end else 0)
    region[start : start + len(content)] = content
    guards = (address, address + (pages + 1) * PAGE)
    for guard in guards:
        if libc.mprotect(guard, PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    try:
        array = np.frombuffer((ctypes.c_uint8 * len(content)).from_address(address + start), np.uint8)
        array.flags.writeable = False
        yield array
    finally:
        for guard in guards:
            libc.mprotect(guard, PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
        del array, anchor
        region.close()


def landmarks(document: bytes, start: int = 0, depth: int = 0) -> list[tuple[str, int]]:
    """Where a valid document has its length fields, types, keys and ends."""
    end = start + struct.unpack_from("<i", document, start)[0]
    found = [("length", start), ("end", end - 1)]
    at = start + 4
    while document[at]:
        found += [("type", at), ("key", at + 1)]
        kind = document[at]
        value = document.index(b"\0", at + 1) + 1
        size = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 255: 0, 127: 0}.get(kind)
        if kind == 11:
            size = document.index(b"\0", document.index(b"\0", value) + 1) + 1 - value
        elif size is None:
            found.append(("length", value))
            size = struct.unpack_from("<i", document, value)[0] + {2: 4, 5: 5, 13: 4, 14: 4}.get(kind, 0)
            if kind in (3, 4) and depth < 50:
                found += landmarks(document, value, depth + 1)
        if size:
            found.append(("value", value + size - 1))
        at = value + size
    return found


def nested(depth: int, key: bytes) -> bytes:
    """A document of many levels, without recursion."""
    content = b"\5\0\0\0\0"
    for _ in range(depth):
        content = struct.pack("<i", len(content) + len(key) + 7) + b"\3" + key + b"\0" + content + b"\0"
    return content


def damaged(document: bytes, rng: random.Random) -> bytes:
    """A document with a few wounds; its own length stays right, so that what follows can be found."""
    wounds = bytearray(document)
    marks = [mark for mark in landmarks(document) if mark != ("length", 0)]
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        what, at = rng.choice(marks)
        if what == "length":
            before = struct.unpack_from("<i", document, at)[0]
            wrong = rng.choice((*INT32S, before + rng.randrange(-9, 10), len(document) - at, rng.randrange(1 << 31)))
            wounds[at : at + 4] = struct.pack("<i", max(-(2**31), min(wrong, 2**31 - 1)))
        elif what == "type":
            wounds[at] = rng.choice((*range(20), 127, 255, rng.randrange(256)))
        else:
            wounds[at] = rng.choice((0, 1, 48, 255, rng.randrange(256)))
    if rng.random() < 0.2:
        cut = rng.randrange(5, len(wounds))
        wounds = wounds[:cut]
    wounds[0:4] = struct.pack("<i", len(wounds))
    return bytes(wounds)


def bomb(rng: random.Random, maker: Callable[[random.Random], dict]) -> bytes:
    """Deep nesting below a mapped key or an unmapped one, or a document as large as they come."""
    kind = rng.random()
    if kind < 0.9:
        key = rng.choice((b"loc", b"coordinates", b"samples", b"data", b"x", b"0"))
        inner = nested(rng.randrange(1, 3000), key)
        whole = bson.encode(maker(rng))[4:-1] + b"\3" + key + b"\0" + inner + b"\0"
        return struct.pack("<i", len(whole) + 4) + whole
    element = rng.choice((b"\x100\0\1\0\0\0", b"\x0a0\0", b"\x030\0\5\0\0\0\0", b"\x02lat\0\2\0\0\x001\0"))
    array = element * ((16 * 2**20 - 400) // len(element))
    array = struct.pack("<i", len(array) + 5) + array + b"\0"
    whole = rng.choice((b"\4samples\0", b"\4zzz\0", b"\3loc\0")) + array + b"\0"
    return struct.pack("<i", len(whole) + 4) + whole


def read(reader: BsonReader, content: bytes, *, at_end: bool) -> tuple[Fixes, list, int, int, bool]:
    with guarded(content, at_end=at_end) as buffer:
        started = time.perf_counter()
        parts = list(reader.parts(buffer))
        took = time.perf_counter() - started
    assert took < CASE_SECONDS + len(content) / 2**20, f"{len(content)} bytes took {took:.1f} s"
    fixes = Fixes.concat([part.fixes for part in parts])
    refusals = [refusal for part in parts for refusal in part.refusals]
    return fixes, refusals, sum(part.documents for part in parts), parts[-1].end, parts[-1].is_broken


def rows_of(fixes: Fixes) -> list[tuple]:
    columns = [column.tolist() for name, column in fixes.columns() if name not in ("vehicle", "origin")]
    names = [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
    return [tuple(map(repr, row)) for row in zip(names, *columns, strict=True)]


def one_case(rng: random.Random, readers: list[tuple[BsonReader, Callable]]) -> None:
    """One file: valid documents around a hostile one."""
    reader, maker = rng.choice(readers)
    before, after = (
        b"".join(bson.encode(maker(rng)) for _ in range(rng.randrange(1, 4))),
        b"".join(bson.encode(maker(rng)) for _ in range(rng.randrange(1, 4))),
    )
    hostile = bomb(rng, maker) if rng.random() < 0.02 else damaged(bson.encode(maker(rng)), rng)
    at_end = rng.random() < 0.5
    alone, alone_refused, alone_documents, _, _ = read(reader, before + after, at_end=at_end)
    fixes, refusals, documents, end, broken = read(reader, before + hostile + after, at_end=at_end)
    assert (end, broken) == (len(before + hostile + after), False)
    assert documents == alone_documents + 1, "a document is not accounted for"
    if reader.mapping.layout == "document":
        refused = [one for one in refusals if one.reason != "value_unparseable"]  # those are used without the value
        assert len(fixes) + len(refused) == documents, "a document is neither a fix nor a refusal"
    kept, mine = rows_of(alone), rows_of(fixes)
    split = len(rows_of(read(reader, before, at_end=at_end)[0]))
    assert mine[:split] == kept[:split], "a document before the damaged one changed"
    assert mine[len(mine) - (len(kept) - split) :] == kept[split:], "a document behind the damaged one changed"
    assert len(refusals) >= len(alone_refused)
    # Now the outer structure: a wrong length of a whole document, or the end of the file inside one.
    whole = bytearray(before + hostile + after)
    at = len(before)
    if rng.random() < 0.5:
        struct.pack_into("<i", whole, at, rng.choice((*INT32S, rng.randrange(-(2**31), 2**31), rng.randrange(400))))
    else:
        whole = whole[: rng.randrange(len(whole))]
    fixes, _, _, end, broken = read(reader, bytes(whole), at_end=at_end)
    assert end <= len(whole)
    if len(whole) >= at:
        assert rows_of(fixes)[:split] == kept[:split], "what came before the damage was lost"
    rest = len(whole) - end
    if rest >= 4 and not broken:
        assert struct.unpack_from("<i", whole, end)[0] > rest, "reading stopped before a whole document"


def fuzz(seconds: float, seed: int) -> int:
    """Cases that passed in this time."""
    rng = random.Random(seed)
    readers = [(BsonReader(load_mapping(text)), maker) for text, maker in SHAPES]
    cases = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        case_seed = rng.getrandbits(64)
        try:
            one_case(random.Random(case_seed), readers)
        except BaseException:
            print(f"case {cases} failed, its seed is {case_seed}", flush=True)
            raise
        cases += 1
    return cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{fuzz(given.seconds, given.seed)} cases passed, seed {given.seed}")


if __name__ == "__main__":
    main()
