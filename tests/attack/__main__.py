"""Attack both services with every hostile input, one after the other, and hold them to their bounds.

    python -m tests.attack [--seconds 60] [--clients 16] [--only TEXT] [--seed N]

prints a table with the machine and what it ran on; ends with 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from tests.attack.inputs import INPUTS, Strength
from tests.attack.measuring import Attacker, Outcome, calm_p99_ms
from tests.attack.services import Running, running_services

MOST_MIB = 300.0
MOST_MS = 250.0
MOST_TIMES = 3.0
"""``/livez`` under attack, as a multiple of what it takes without one."""
SHOWN = ("granian", "litestar", "msgspec", "pyarrow", "uvloop")


def broken(outcome: Outcome, calm_ms: float) -> list[str]:
    """The bounds that the service broke, in words."""
    found = []
    if outcome.grown_mib > MOST_MIB:
        found.append(f"memory above {MOST_MIB:.0f} MiB")
    if outcome.p99_ms > MOST_MS:
        found.append(f"p99 above {MOST_MS:.0f} ms")
    if outcome.p99_ms > MOST_TIMES * calm_ms:
        found.append(f"p99 {outcome.p99_ms / calm_ms:.0f} times as long")
    return found


def settled_mib(service: Running) -> float:
    """The memory of the idle service."""
    time.sleep(1.0)
    return service.resident_mib()


def main() -> int:
    """Attack."""
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--only", default="", help="inputs whose name has this text")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"Python {platform.python_version()}, {versions}")
    print(f"{given.clients} clients, {given.seconds:g} s each, seed {given.seed}\n")
    print(f"{'service':<12} {'input':<50} {'MiB more':>8} {'p99 ms':>8} {'lost':>5}  answers")
    failed, strength = 0, Strength(given.seconds, given.clients, given.seed)
    with (
        tempfile.TemporaryDirectory() as room,
        running_services(Path(room)) as services,
        closing(Attacker()) as attacker,
    ):
        for service in services.values():
            calm_ms = calm_p99_ms(service, min(10.0, given.seconds))
            idle_mib = settled_mib(service)
            print(f"{service.name:<12} {'(no attack)':<50} {idle_mib:>8.0f} {calm_ms:>8.1f} {0:>5}", flush=True)
            for name, sent in INPUTS.items():
                if service.name not in sent.services or given.only not in name:
                    continue
                outcome = attacker.attack(service, name, idle_mib, strength)
                answers = ", ".join(f"{count} × {status}" for status, count in outcome.answers.items())
                faults = broken(outcome, calm_ms)
                failed += bool(faults)
                told = "".join(f"  BROKEN: {fault}" for fault in faults)
                print(
                    f"{service.name:<12} {name:<50} {outcome.grown_mib:>8.0f} {outcome.p99_ms:>8.1f} "
                    f"{outcome.lost:>5}  {answers}{told}",
                    flush=True,
                )
    print(f"\n{failed} of the attacks broke a bound" if failed else "\nevery bound held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
