"""One turn of ``two_trees``: what a summary costs over HTTP, by whichever tree's ``benchmarks`` is on the path.

Prints one line of JSON: milliseconds of CPU a request, of the service and PostgreSQL together.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks import http_reads
from benchmarks.postgresql import postgresql

POLICIES, JOURNEYS, SECONDS = 50, 120, 3.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as name, postgresql() as (url, database):
        folder = Path(name)
        token = http_reads._people(folder)
        http_reads._fill(url, POLICIES, JOURNEYS)
        with http_reads._served("ours", url, folder) as (port, process):
            found = http_reads._asked(port, (process.pid, database), token, POLICIES, SECONDS, folder)
    print(json.dumps({f"{what}_cpu_ms": 1000 / found[f"{what}_per_s_core"] for what in ("reads", "hits")}))


if __name__ == "__main__":
    main()
