"""What kept figures cost and give.

    python -m benchmarks.figures cost [--fixes 4000000] [--pairs 5]
    python -m benchmarks.figures pages URL [--terms 100000] [--months 24]

``cost``: CPU of a run from Parquet to summaries with figures kept and without, each in a fresh process, in turns.
``pages``: fills the figures of the store at URL (an empty ``sqlite:///FILE`` or ``postgresql://…``), of so many terms
and months, and times pages of a sorted book over HTTP, in one process: the first, the second and the 500th, by each
number, in both orders. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from benchmarks.environments import ROOT
from benchmarks.inputs import Inputs
from benchmarks.one import cpu_s
from journeymesh.journeys.fields import SORTS, SUMMED, summary_field
from journeymesh.journeys.period_sums import PeriodSums
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.stores import row_batches
from journeymesh.stores.figure_rows import figure_rows
from journeymesh.stores.port import Store
from journeymesh.wiring import open_store

_BEGIN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_TERMS_AT_ONCE: Final = 2_000
_LAST_PAGE: Final = 500
_REPEATS: Final = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cost", "turn", "pages"])
    parser.add_argument("place", nargs="?", default="")
    parser.add_argument("--fixes", type=int, default=4_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--terms", type=int, default=100_000)
    parser.add_argument("--months", type=int, default=24)
    parser.add_argument("--sorts", nargs="+", choices=SORTS, default=SORTS)
    parser.add_argument("--without", action="store_true")
    options = parser.parse_args()
    match options.what:
        case "cost":
            print(json.dumps(cost(options.fixes, options.pairs)))
        case "turn":
            print(json.dumps(turn(Path(options.place), without=options.without)))
        case _:
            print(json.dumps(pages(options.place, options.terms, options.months, options.sorts)))


def cost(fixes: int, pairs: int) -> dict[str, Any]:
    """CPU seconds with figures and without, and the median of their ratios by turn."""
    folder = Inputs(ROOT / ".cache" / "bench").fleet(fixes)
    found: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(pairs):
        for without in (False, True) if pair % 2 else (True, False):
            command = [sys.executable, "-m", "benchmarks.figures", "turn", str(folder)]
            ran = subprocess.run(
                [*command, *(["--without"] if without else [])], check=True, capture_output=True, text=True
            )
            found[without].append(json.loads(ran.stdout.splitlines()[-1])["cpu_s"])
    ratios = [kept / none for kept, none in zip(found[False], found[True], strict=True)]
    return {"kept_cpu_s": found[False], "not_kept_cpu_s": found[True], "ratio": statistics.median(ratios)}


def turn(folder: Path, *, without: bool) -> dict[str, Any]:
    """One run."""
    from benchmarks import ours

    work = ours.prepare("ours_parquet", folder)
    if without:
        row_batches.update_figures = lambda *_: None
    began = cpu_s()
    work()
    return {"cpu_s": cpu_s() - began}


def pages(url: str, terms: int, months: int, sorts: Sequence[str]) -> dict[str, Any]:
    """Milliseconds of pages of 100 rows, medians; ``fill_s``: of filling the figures alone."""
    store = open_store(url)
    store.migrate()
    policies = [
        Policy(number=f"P-{n:07}", valid_from=_BEGIN - timedelta(days=n % 300), device=f"d{n}", product=f"p{n % 5}",
               declared_annual_distance_m=9e6 if n % 2 else None)
        for n in range(terms)
    ]  # fmt: skip
    began = time.perf_counter()
    if not store.policies():
        _fill(store, policies, months)
    filled = time.perf_counter() - began
    month = f"{2025 + (months - 1) // 12}-{(months - 1) % 12 + 1:02}"
    found: dict[str, Any] = {"url": store.url, "terms": terms, "months": months, "fill_s": round(filled, 1)}
    found |= _timed(store, month, sorts)
    store.close()
    return found


def _timed(store: Store, month: str, sorts: Sequence[str]) -> dict[str, dict[str, float]]:
    import httpx
    from tests.support.journeyapis import Served
    from tests.support.served_app import served_app

    times: dict[str, dict[str, float]] = {}
    with (
        Served(store=store, keeps_figures=True) as api,
        served_app(api.app) as address,
        httpx.Client(base_url=address, headers={"authorization": "Bearer analyst"}, timeout=120) as client,
    ):
        client.get("/v1/summaries?sort=score&period=term").raise_for_status()  # the policies at hand are read
        for period in (f"month={month}", f"period=last_12_months&month={month}", "period=term"):
            for sort in sorts:
                for order in ("highest", "lowest"):
                    path = f"/v1/summaries?{period}&sort={sort}&order={order}"
                    times[f"{period} {sort} {order}"] = _walked(client, path)
    return times


def _walked(client: Any, path: str) -> dict[str, float]:
    cursor, found = "", {}
    for number in range(1, _LAST_PAGE + 1):
        spent = []
        for _ in range(_REPEATS if number in (1, 2, _LAST_PAGE) else 1):
            began = time.perf_counter()
            answer = client.get(path + cursor)
            spent.append((time.perf_counter() - began) * 1e3)
        page = answer.raise_for_status().json()
        if number in (1, 2, _LAST_PAGE):
            found[str(number)] = round(statistics.median(spent), 1)
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    return found


def _fill(store: Store, policies: list[Policy], months: int) -> None:
    """Figures alone: of journeys there are none."""
    random, write = np.random.default_rng(1), store._write  # type: ignore[attr-defined]
    for first in range(0, len(policies), _TERMS_AT_ONCE):
        some = policies[first : first + _TERMS_AT_ONCE]
        rows = list(figure_rows(some, _months(random, len(some), months), lambda _: ScoreRules()))

        def put(into: Any, rows: list[Any] = rows) -> None:
            into.put("figures", rows)

        write(put)
    _put_policies(store, policies)


def _put_policies(store: Store, policies: list[Policy]) -> None:
    """Without what a batch does: it would take the figures away, for which there are no journeys."""
    from journeymesh.stores import records

    def put(into: Any) -> None:
        into.put("policies", list(map(records.policy_row, policies)))

    store._write(put)  # type: ignore[attr-defined]


def _months(random: np.random.Generator, terms: int, months: int) -> PeriodSums:
    group = np.repeat(np.arange(terms), months)
    month = (np.datetime64("2025-01") + np.tile(np.arange(months), terms)).astype("datetime64[M]")
    begin, end = (each.astype("datetime64[D]").astype(np.int64) for each in (month, month + 1))
    counts = random.integers(5, 90, len(group))
    sums: dict[str, Any] = {}
    for field in SUMMED:
        values = random.gamma(2.0, 4.0, len(group)) * (1 if "night" in field.name or "speeding" in field.name else 1e4)
        kind = summary_field(field).type
        whole = values.astype(np.int64) if pa.types.is_integer(kind) else values
        sums[field.name] = whole if field.journeys == "required" else pa.array(whole, kind)
    version = pa.repeat(pa.scalar("always-on-2026.2"), len(group))
    return PeriodSums(
        group, group, begin, end, end - 1, {"journeys": counts, "active_days": counts % 28 + 1}, sums, version, version
    )


if __name__ == "__main__":
    main()
