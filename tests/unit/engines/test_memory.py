"""How a run holds on to memory. Each in a process of its own, for what is set is the process's."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest


def said(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_cycles_are_looked_for_seldom_and_not_among_what_is_loaded() -> None:
    told = said(
        "import gc; from journeymesh.engines.memory import collect_seldom\n"
        "collect_seldom(); collect_seldom(); print(gc.get_threshold()[0], gc.get_freeze_count() > 1000)"
    )
    assert told == "50000 True"


def test_who_looks_for_cycles_even_less_or_never_goes_on_so() -> None:
    for set_before, told in ((60_000, "60000"), (0, "0")):
        code = (
            f"import gc; gc.set_threshold({set_before}); from journeymesh.engines.memory import collect_seldom\n"
            "collect_seldom(); print(gc.get_threshold()[0])"
        )
        assert said(code) == told


_PAGES_PER_BUFFER = """
import ctypes, resource, pyarrow
pool = pyarrow.jemalloc_memory_pool()
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffer = pyarrow.allocate_buffer(32 << 20, memory_pool=pool)
    ctypes.memset(buffer.address, 1, 32 << 20)
    del buffer
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif("jemalloc" not in pa.supported_memory_backends(), reason="this Arrow has no jemalloc")
def test_memory_that_was_decoded_into_is_there_for_the_next_batch() -> None:
    keeping = "from journeymesh.engines.memory import keep_decoded_memory; assert keep_decoded_memory()\n"
    first, *others = (int(line) for line in said(keeping + _PAGES_PER_BUFFER).splitlines())
    assert max(others) < first / 10


def test_arrow_cannot_be_told_once_it_is_loaded_and_what_is_set_stands() -> None:
    code = "from journeymesh.engines.memory import keep_decoded_memory; print(keep_decoded_memory())"
    assert said(f"import pyarrow; {code}") == "False"
    setting = "import os; os.environ['JE_ARROW_MALLOC_CONF'] = 'narenas:1'"
    assert said(f"{setting}; {code}; print(os.environ['JE_ARROW_MALLOC_CONF'])") == "True\nnarenas:1"


def test_preprocess_tells_arrow_in_time() -> None:
    code = "import os; from journeymesh.cli.main import outcome; outcome(['preprocess', '--source', 'nowhere.parquet'])"
    assert said(f"{code}; print(os.environ['JE_ARROW_MALLOC_CONF'])") == "dirty_decay_ms:-1"
