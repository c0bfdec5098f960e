"""``python -m tests.differential [--requests N] [--seed N]``: decisions beside the oracle, as many as wanted."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.differential.comparison import compare, expected
from tests.differential.driven import Driven

REQUESTS_A_WORLD = 50_000


def main() -> int:
    """Compare, say what was found; 1 where anything disagreed."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="decisions in total")
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # faults are what is tried
    began, done, allows, disagreements, seed = time.process_time(), 0, 0, 0, options.seed
    while done < options.requests:
        requests = min(REQUESTS_A_WORLD, options.requests - done)
        cases = expected(seed, requests, requests // 10)
        found = compare(Driven(cases.world), cases)
        done, allows, disagreements = done + requests, allows + found.allows, disagreements + found.disagreements
        for case, oracle, product in found.differences:
            print(f"seed {seed}: {case}\n  oracle  {oracle}\n  product {product}", file=sys.stderr)
        seed += 1
    share, seconds = 100 * allows / done, time.process_time() - began
    print(f"{done:,} requests, {disagreements} disagreements, {share:.0f} % allows, {seconds:.0f} s of CPU")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
