"""One-line sabotages of the tree: how many the check catches by the right rule."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.delivery_sabotages import SABOTAGES
from tests.support.sabotaged_tree import caught

from benchmarks.delivery.stage import Stage
from benchmarks.results import Result

ROOT = Path(__file__).parents[2]


def measure(_: Stage, sample: int) -> list[Result]:
    """Every sabotage, or the first so many, in a copy of this checkout's tree."""
    chosen = SABOTAGES[:sample] if sample else SABOTAGES
    with TemporaryDirectory() as folder:
        found = caught(chosen, ROOT, Path(folder))
    missed = ", ".join(name for name, was_caught in found.items() if not was_caught)
    return [
        Result(
            "sabotages_caught", sum(found.values()), "sabotages", least=len(chosen), note=f"missed: {missed or 'none'}"
        )
    ]
