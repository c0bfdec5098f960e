"""Attacks on admission that the cluster denies, and everyday objects that it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.delivery.stage import Stage
from benchmarks.results import Result

ROOT = Path(__file__).parents[2]


def measure(_: Stage, __: int) -> list[Result]:
    """All of them, in namespaces of their own, in a process of their own."""
    argv = [sys.executable, "-m", "tests.support.admission_attempts"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return [Result("admission_attacks_denied", None, "attacks", least=20, note=done.stderr[-300:])]
    found = json.loads(done.stdout.splitlines()[-1])
    every = f"of {found['admission_attacks']} attacks"
    return [
        Result("admission_attacks_denied", found["admission_attacks_denied"], "attacks", least=20, note=every),
        Result("admission_false_denials", found["admission_false_denials"], "or fewer", least=0,
               note=f"of {found['admission_everyday']} everyday objects"),
    ]  # fmt: skip
