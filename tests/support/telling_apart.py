"""Whether two kinds of requests can be distinguished by the time that they take.

Two judges see the same timings. The *rank test* (Mann and Whitney, 1947) finds that one kind mostly takes longer; kinds
are timed in random order, so its z holds on a machine whose load changes, too. The *classifier* finds any difference:
it is trained on the first half of the timings and judged on the second. Both look at each timing's difference to the
median of those around it.
"""

from __future__ import annotations

import gc
import random
import resource
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_AROUND = 20
_RANGES = 12
_FEWEST = 200
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Timings:
    """``took_s``, float64[n], in the order in which they were taken; ``kind``, of each: which request it was."""

    took_s: F64
    kind: I64

    def median_ms(self, kind: int) -> float:
        """The median of one kind."""
        return float(np.median(self.took_s[self.kind == kind])) * 1e3

    def pair(self, other: int) -> Timings:
        """Those of kind 0 and those of ``other``, which becomes 1."""
        chosen = (self.kind == 0) | (self.kind == other)
        return Timings(self.took_s[chosen], (self.kind[chosen] == other).astype(np.int64))

    def and_then(self, later: Timings) -> Timings:
        """These and later ones."""
        return Timings(np.concatenate([self.took_s, later.took_s]), np.concatenate([self.kind, later.kind]))


Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Measured:
    """The same requests by two clocks: the wall's, and that of the process's CPU time, which is what the wall's shows
    where nothing else runs on the machine."""

    wall: Timings
    cpu: Timings

    def pair(self, other: int) -> Measured:
        """Requests 0 and ``other`` alone, as 0 and 1."""
        return Measured(self.wall.pair(other), self.cpu.pair(other))

    def and_then(self, later: Measured) -> Measured:
        """These and later ones."""
        return Measured(self.wall.and_then(later.wall), self.cpu.and_then(later.cpu))

    def share_right(self) -> float:
        """How often the classifier is right by the clock that shows it more."""
        return max(share_right(self.wall), share_right(self.cpu))

    def rank_z(self) -> float:
        """The rank test's z, of the clock that shows more; positive: kind 1 takes longer."""
        return max(rank_z(self.wall), rank_z(self.cpu), key=abs)


def slower(ask: Ask, by_s: float) -> Ask:
    """The same request with so much CPU time more."""

    async def asked() -> None:
        await ask()
        until = time.thread_time() + by_s
        while time.thread_time() < until:
            pass

    return asked


async def timed(asks: Sequence[Ask], of_each: int, *, repeats: int = 1, seed: int = 1) -> Measured:
    """So many timings of each request, in random order, each the shortest of ``repeats`` in a row. The wall's clock
    leaves those out during which the machine took the processor away, so it has fewer on a loud machine."""
    order = list(range(len(asks))) * of_each
    random.Random(seed).shuffle(order)
    wall, cpu, kind = np.full(len(order), np.inf), np.full(len(order), np.inf), np.array(order)
    with _no_garbage_collected():
        for place, which in enumerate(order):
            for _ in range(repeats):
                interrupted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
                began, began_cpu = time.perf_counter(), time.process_time()
                await asks[which]()
                took_cpu, took = time.process_time() - began_cpu, time.perf_counter() - began
                cpu[place] = min(cpu[place], took_cpu)
                if resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw == interrupted:
                    wall[place] = min(wall[place], took)
    whole = np.isfinite(wall)
    return Measured(Timings(wall[whole], kind[whole]), Timings(cpu, kind))


@contextmanager
def _no_garbage_collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def rank_z(timings: Timings) -> float:
    """How many standard deviations the rank sum of kind 1 lies above what two equal kinds have.

    Of n and m timings without ties the sum of ranks U has the mean n·m/2 and the variance n·m·(n + m + 1)/12. Of few
    timings it is 0: they show nothing.
    """
    if len(timings.kind) < _FEWEST:
        return 0.0
    seen = timings.took_s - _around(timings.took_s)
    is_one = timings.kind == 1
    ones, zeros = int(is_one.sum()), int((~is_one).sum())
    ranks = np.empty(len(seen))
    ranks[np.argsort(seen, kind="stable")] = np.arange(1, len(seen) + 1)
    above = ranks[is_one].sum() - ones * (ones + 1) / 2 - ones * zeros / 2
    return float(above / np.sqrt(ones * zeros * (ones + zeros + 1) / 12))


def shift_ms(timings: Timings) -> float:
    """The median of the differences of each timing of kind 1 to each of kind 0 (Hodges and Lehmann, 1963)."""
    seen = timings.took_s - _around(timings.took_s)
    ones, zeros = seen[timings.kind == 1], seen[timings.kind == 0]
    return float(np.median(ones[:, np.newaxis] - zeros[np.newaxis, :])) * 1e3


def share_right(timings: Timings) -> float:
    """How often the classifier is right on timings that it was not trained on: 0.5 is a guess, as of few timings."""
    if len(timings.kind) < _FEWEST:
        return 0.5
    seen = timings.took_s - _around(timings.took_s)
    half = len(seen) // 2
    edges = np.quantile(seen[:half], np.linspace(0, 1, _RANGES + 1)[1:-1])
    place = np.searchsorted(edges, seen)
    more = np.zeros(_RANGES)
    np.add.at(more, place[:half], timings.kind[:half] * 2 - 1)
    # Where a range had as many of both, its neighbours decide.
    smooth = np.convolve(np.pad(more, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    chosen = (smooth > 0).astype(np.int64)[place]
    return float(np.mean(chosen[half:] == timings.kind[half:]))


def _around(took_s: F64) -> F64:
    """The median of the timings around each, itself left in."""
    padded = np.pad(took_s, _AROUND, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    return np.asarray(np.median(windows, axis=1))
