"""How a run holds on to memory. Each in a process of its own, for what is set is the process's."""

from __future__ import annotations

import subprocess
import sys


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
