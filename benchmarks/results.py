"""Results by name in ``results/latest.json``: each benchmark replaces its own and keeps the rest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

LATEST = Path(__file__).parent / "results" / "latest.json"
QUICK_RESULTS = Path(__file__).parents[1] / ".cache" / "bench" / "quick.json"
"""Small inputs are for trying: they never stand beside what is quoted."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer did in the same run. ``value`` None: it could not be measured, ``note`` says why."""

    name: str
    version: str
    value: float | None
    unit: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One measure. ``goal`` and ``least`` None: there is none. ``value`` None: not measured, ``note`` says why."""

    name: str
    value: float | None
    unit: str
    goal: float | None = None
    least: float | None = None
    peers: list[Peer] = field(default_factory=list)
    note: str = ""

    @property
    def verdict(self) -> str:
        """goal | least | short | '' where nothing is promised."""
        if self.value is None:
            return "not measured"
        bound = self.least if self.least is not None else self.goal
        if bound is None:
            return ""
        smaller_is_better = self.unit in {"s", "ms", "µs", "MB", "or fewer", "× or less"}
        reached = [
            self.value <= b if smaller_is_better else self.value >= b for b in (self.goal, bound) if b is not None
        ]
        return "goal" if reached[0] and self.goal is not None else "least" if reached[-1] else "SHORT"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory": memory,
        "python": platform.python_version(),
        "os": platform.platform(),
    }


def write(results: list[Result], versions: dict[str, str], path: Path = LATEST) -> None:
    """Put these results in the file, by name; others stay. ``machine`` is the last one that measured, ``cpu`` each
    result's own."""
    held = json.loads(path.read_text()) if path.exists() else {}
    by_name = {one["name"]: {"cpu": held["machine"]["cpu"]} | one for one in held.get("results", [])}
    here = machine()
    by_name |= {one.name: asdict(one) | {"cpu": here["cpu"]} for one in results}
    document = {
        "machine": here,
        "versions": held.get("versions", {}) | versions,
        "results": list(by_name.values()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def show(value: float | None) -> str:
    """A figure for the table."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown(results: list[Result]) -> str:
    """The table."""
    lines = ["| name | value | unit | goal | least | reached | beside it |", "|---|---:|---|---:|---:|---|---|"]
    for one in results:
        beside = "; ".join(f"{p.name} {p.version}: {show(p.value)} {p.unit} {p.note}".strip() for p in one.peers)
        notes = "; ".join(part for part in (beside, one.note) if part)
        lines.append(
            f"| `{one.name}` | {show(one.value)} | {one.unit} | {show(one.goal)} | {show(one.least)} "
            f"| {one.verdict} | {notes} |"
        )
    return "\n".join(lines)


class Bench(Protocol):
    """What a part of the benchmarks adds its results to."""

    def add(self, result: Result) -> None:
        """Keep a result."""


def printed(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON line that the module prints last."""
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError((ran.stderr.strip().splitlines() or ["no output"])[-1][:200])
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found
