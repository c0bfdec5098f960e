"""One measurement in this process: ``python -m benchmarks.one NAME FOLDER`` prints what it cost as one JSON line.

Runs in the peers' environments too: beyond the standard library a measurement imports only what it measures. Each one
is prepared (imports, compiled code loaded, for the slow peers the input in memory), then timed: CPU time of all threads
and children, and wall time, from the start of the work to its result.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
import warnings
from pathlib import Path

MODULES = {
    "ours_parquet": "ours",
    "ours_parquet_kept": "ours",
    "ours_pass": "ours",
    "ours_pass_chunked": "ours",
    "ours_bson": "ours",
    "ours_walk": "ours",
    "polars": "with_polars",
    "duckdb": "with_duckdb",
    "trackintel": "with_trackintel",
    "movingpandas": "with_movingpandas",
    "scikit_mobility": "with_scikit_mobility",
    "pymongo": "with_pymongo",
    "pymongoarrow": "with_pymongoarrow",
}


def cpu_s() -> float:
    """User and system time of this process, its threads and its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_rss_mb() -> float:
    """The most memory this process ever had resident, or its largest child; MB of 10⁶ bytes."""
    if sys.platform == "linux":  # ru_maxrss would keep the parent's, from before exec
        lines = Path("/proc/self/status").read_text().splitlines()
        own = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    else:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / 1e6


def main() -> None:
    """Prepare, measure, print."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    module = importlib.import_module(f"benchmarks.{MODULES[name]}")
    work = module.prepare(name, folder)
    cpu, wall = cpu_s(), time.perf_counter()
    found = work()
    cost = {"cpu_s": cpu_s() - cpu, "wall_s": time.perf_counter() - wall, "peak_rss_mb": peak_rss_mb()}
    print(json.dumps(found | cost))


if __name__ == "__main__":
    main()
