"""Memory that a service frees is the system's again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_FREED = """
import threading
from pathlib import Path
from journeymesh.services.http.allocators import give_back_large_blocks
told = give_back_large_blocks()
import pyarrow as pa

def resident_mib():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

def work():
    for _ in range(3):
        blocks = [bytearray(1 << 20) for _ in range(40)] + [pa.array(range(200_000)) for _ in range(20)]
        for block in blocks[:40]:
            block[:] = b"x" * len(block)
        blocks = blocks[::7]
        kept.append(blocks[0])

kept = []
before = resident_mib()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(told, pa.default_memory_pool().backend_name, resident_mib() - before < 60)
"""


def said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc does as it does")
def test_large_blocks_of_python_and_arrow_are_given_back_at_once() -> None:
    assert said(_FREED) == "True system True"


@pytest.mark.parametrize("service", ["journeyapi", "identityapi"])
def test_services_tell_arrow_in_time(service: str) -> None:
    code = f"""
import os
from journeymesh.cli.main import outcome
outcome(["serve", "{service}", "--access", "nowhere"])
import pyarrow as pa
print(pa.default_memory_pool().backend_name)
"""
    assert said(code).splitlines()[-1] == "system"


def test_arrow_cannot_be_told_once_it_is_loaded_and_what_is_set_stands() -> None:
    code = "from journeymesh.services.http.allocators import give_back_large_blocks as told; print(told())"
    assert said(f"import pyarrow; {code}") == "False"
    setting = "import os; os.environ['ARROW_DEFAULT_MEMORY_POOL'] = 'mimalloc'"
    shown = "print(os.environ['ARROW_DEFAULT_MEMORY_POOL'])"
    assert said(f"{setting}; {code}; {shown}").splitlines()[-1] == "mimalloc"
