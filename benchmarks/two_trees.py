"""What a change costs: the figures of another worktree, of that worktree once more, and of this one, in turns.

    python -m benchmarks.two_trees OTHER parquet|bson|http|decisions|door|lag|burst [--pairs 9]

``OTHER`` is a worktree of the commit before, with its own environment (``make setup``). Each turn is a fresh process
of that tree's own benchmark, and the three follow each other in another order each time, so that what else the machine
does meets all of them. Prints a row for each figure: the medians, the median of the ratios this/other by turn, and
that of other/other, which says how far the first can be trusted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.inputs import Inputs
from benchmarks.results import machine
from journeymesh.fleets.writers import Format

FLEETS = Inputs(ROOT / ".cache" / "bench")
FIXES = 2_000_000
FORMATS: dict[str, Format] = {"parquet": "parquet", "bson": "mongodump"}
TURNS: dict[str, tuple[list[str], dict[str, str]]] = {
    **{
        name: (
            ["-m", "benchmarks.one", f"ours_{name}", str(FLEETS.root / f"{fmt}-clustered-{FIXES}")],
            {"cpu_s": f"CPU of {FIXES:,} fixes to months, s"},
        )
        for name, fmt in FORMATS.items()
    },
    "http": (
        [str(ROOT / "benchmarks" / "turn_of_http.py")],
        {"reads_cpu_ms": "CPU of a summary, 64 clients", "hits_cpu_ms": "CPU of a conditional hit, 64 clients"},
    ),
    "decisions": (
        ["-m", "benchmarks.decisions", "--decisions", "10000"],
        {"cpu_p50_ms": "CPU of a decision, p50", "asked_cpu_p50_ms": "CPU of a decision with Cedar, p50"},
    ),
    "door": (
        [
            "-c",
            "import json; from benchmarks import strangler_door as bench; bench.REPETITIONS = 1; "
            "print(json.dumps(bench.door(5_000)))",
        ],
        {name: name.replace("_", " ") for name in ("door_p50_ms", "door_p99_ms", "direct_p50_ms", "direct_p99_ms")},
    ),
    "lag": (["-m", "benchmarks.strangler_feed", "lag", "15"], {"p50_ms": "lag p50", "p99_ms": "lag p99"}),
    "burst": (["-m", "benchmarks.strangler_feed", "burst", "20000"], {"burst_s": "20,000 writes"}),
}
"""By name: the arguments of a turn's Python, and the figures of the JSON that it prints; less is better."""


def turn(tree: Path, arguments: list[str]) -> dict[str, Any]:
    """What one run in this tree printed last.

    Raises:
        RuntimeError: it failed.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [str(tree / ".venv" / "bin" / "python"), *arguments]
    ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"in {tree}: {ran.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def compared(other: Path, name: str, pairs: int) -> dict[str, dict[str, list[float]]]:
    """By figure, its values by turn of ``other``, ``other again`` and ``this``."""
    arguments, figures = TURNS[name]
    trees = {"other": other, "other again": other, "this": ROOT}
    found: dict[str, dict[str, list[float]]] = {figure: {side: [] for side in trees} for figure in figures}
    order = random.Random(7)
    for number in range(pairs):
        for side in order.sample(sorted(trees), len(trees)):
            printed = turn(trees[side], arguments)
            for figure in figures:
                found[figure][side].append(float(printed[figure]))
        print(f"turn {number + 1} of {pairs}", file=sys.stderr, flush=True)
    return found


def ratio(above: list[float], below: list[float]) -> float:
    """The median of the ratios by turn."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_trees", description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("names", nargs="+", choices=sorted(TURNS))
    parser.add_argument("--pairs", type=int, default=9)
    given = parser.parse_args()
    here = machine()
    print(f"{here['cpu']}, {here['cores']} cores, {here['os']}, Python {here['python']}; {given.pairs} turns of each")
    print(f"{'figure':<44}{'other':>10}{'this':>10}{'this/other':>12}{'other/other':>13}")
    for name in given.names:
        if name in FORMATS:
            FLEETS.fleet(FIXES, FORMATS[name])
        for figure, sides in compared(given.other.resolve(), name, given.pairs).items():
            label = f"{name}: {TURNS[name][1][figure]}"
            print(
                f"{label:<44}{statistics.median(sides['other']):>10.4g}{statistics.median(sides['this']):>10.4g}"
                f"{ratio(sides['this'], sides['other']):>12.3f}{ratio(sides['other again'], sides['other']):>13.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
