"""Whether two kinds of answers can be told apart by the time that they take.

The classifier is trained on the first half of the timings and judged on the second: of each timing it looks at the
difference to the median of those around it, so that a machine that grows slower or faster hides nothing, and chooses
the kind that had more of them in that range.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_AROUND = 20
_RANGES = 12
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Timings:
    """``took_s``, float64[n], in the order in which they were taken; ``kind``, 0 or 1, of each."""

    took_s: F64
    kind: npt.NDArray[np.int64]

    def median_ms(self, kind: int) -> float:
        """The median of one kind."""
        return float(np.median(self.took_s[self.kind == kind])) * 1e3


Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Measured:
    """The same requests by two clocks: the wall's, and that of the process's CPU time, which is what the wall's shows
    where nothing else runs on the machine."""

    wall: Timings
    cpu: Timings

    def share_right(self) -> float:
        """How often the classifier is right by the clock that tells it more."""
        return max(share_right(self.wall), share_right(self.cpu))


async def timed(
    asks: Sequence[Ask], of_each: int, *, repeats: int = 1, injected_s: float = 0.0, seed: int = 1
) -> Measured:
    """So many timings of each of two requests, in random order, each the shortest of ``repeats`` in a row.
    ``injected_s``: the second one takes so much longer."""
    order = [0, 1] * of_each
    random.Random(seed).shuffle(order)
    wall, cpu, kind = np.empty(len(order)), np.empty(len(order)), np.array(order)
    for place, which in enumerate(order):
        took = [await _once(asks[which], injected_s if which else 0.0) for _ in range(repeats)]
        wall[place], cpu[place] = min(wall_s for wall_s, _ in took), min(cpu_s for _, cpu_s in took)
    return Measured(Timings(wall, kind), Timings(cpu, kind))


async def _once(ask: Ask, injected_s: float) -> tuple[float, float]:
    began, began_cpu = time.perf_counter(), time.process_time()
    await ask()
    if injected_s:
        until = time.thread_time() + injected_s
        while time.thread_time() < until:
            pass
    return time.perf_counter() - began, time.process_time() - began_cpu


def share_right(timings: Timings) -> float:
    """How often the classifier is right on timings that it was not trained on: 0.5 is a guess."""
    seen = timings.took_s - _around(timings.took_s)
    half = len(seen) // 2
    edges = np.quantile(seen[:half], np.linspace(0, 1, _RANGES + 1)[1:-1])
    place = np.searchsorted(edges, seen)
    more = np.zeros(_RANGES)
    np.add.at(more, place[:half], timings.kind[:half] * 2 - 1)
    # Where a range had as many of both, its neighbours decide.
    smooth = np.convolve(np.pad(more, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    told = (smooth > 0).astype(np.int64)[place]
    return float(np.mean(told[half:] == timings.kind[half:]))


def _around(took_s: F64) -> F64:
    """The median of the timings around each, itself left in."""
    padded = np.pad(took_s, _AROUND, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    return np.asarray(np.median(windows, axis=1))
