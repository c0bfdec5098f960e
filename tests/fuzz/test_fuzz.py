"""The fuzz targets for a bounded time, each in a process of its own: a read outside a buffer would end it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_hostile_bson_neither_crashes_nor_hangs_nor_touches_its_neighbours():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz_bson", "--seconds", "8", "--seed", "20260101"],
        check=False, capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
    )  # fmt: skip
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout[-500:]}\n{ran.stderr[-3000:]}"
    assert int(ran.stdout.split()[0]) > 50


def test_hostile_columns_are_refused_in_time_and_within_bounds():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz_columns", "--seconds", "5", "--seed", "20260101"],
        check=False, capture_output=True, text=True, timeout=120, cwd=REPOSITORY,
    )  # fmt: skip
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout[-500:]}\n{ran.stderr[-3000:]}"
    assert int(ran.stdout.split()[0]) > 50


def test_a_read_past_the_buffer_ends_the_process():
    reading_past_the_end = (
        "from tests.fuzz.fuzz_bson import guarded\n"
        "import ctypes\n"
        "with guarded(b'12345678', at_end=True) as buffer:\n"
        "    assert bytes(buffer) == b'12345678'\n"
        "    ctypes.string_at(buffer.ctypes.data + 8, 1)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", reading_past_the_end], check=False, capture_output=True, timeout=60, cwd=REPOSITORY
    )
    assert ran.returncode < 0


def test_hostile_requests_and_files_are_read_or_refused_as_declared():
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.fuzz_parsers", "--seconds", "22", "--seed", "20260101"],
        check=False, capture_output=True, text=True, timeout=300, cwd=REPOSITORY,
    )  # fmt: skip
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout[-500:]}\n{ran.stderr[-3000:]}"
    targets = ran.stdout.splitlines()
    assert len(targets) >= 20
    assert all(
        re.fullmatch(r".+: (\d\d+) cases passed, [1-9]\d* of them read, seed 20260101", line) for line in targets
    )
