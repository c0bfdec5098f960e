"""``journeymesh demo``: a small insurer from its legacy dump to a report, in seconds."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import Format
from journeymesh.cli.output import say
from journeymesh.cli.progress import count_progress, run_progress
from journeymesh.cli.render import Column, PrintedRows, render
from journeymesh.journeys.rules import ALWAYS_ON, JourneyRules
from journeymesh.wiring import open_source, open_store

if TYPE_CHECKING:
    from journeymesh.journeys.policies import Policy
    from journeymesh.stores.port import Store

MAPPING = "blackbox.yaml"


def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after showing the result.")] = False,
    folder: Annotated[Path | None, typer.Option("--dir", help="Work in this folder and keep it.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another insurer.")] = 1,
    vehicles: Annotated[int, typer.Option("--vehicles", min=1, max=1000, help="How many vehicles.")] = 12,
) -> None:
    """Generate a small insurer's legacy database, make journeys of it and show them."""
    from journeymesh.cli.preprocess import report_lines, usable_cores
    from journeymesh.engines.local import run
    from journeymesh.engines.port import RunOptions
    from journeymesh.fleets.spec import FleetSpec
    from journeymesh.fleets.writers import write_fleet

    began = time.perf_counter()
    room = folder or Path(tempfile.mkdtemp(prefix="journeymesh-demo-"))
    spec = FleetSpec(seed=seed, vehicles=vehicles)
    with count_progress("fixes written") as on_written:
        written = write_fleet(spec, room / "legacy-dump", on_written=on_written)
    counts = written.counts
    say(f"1. A legacy database, as mongodump leaves it: {written.source}")
    faults = f"{counts['faults']:,} faults left in"
    say(f"   {counts['fixes']:,} documents of {vehicles} vehicles over {spec.days} days, {faults}\n")

    url = f"sqlite:///{room / 'journeys.db'}"
    (room / "journeys.db").unlink(missing_ok=True)
    mapping = room / "mapping.yaml"
    mapping.write_bytes(resources.files("journeymesh.cli").joinpath("demo_mapping", MAPPING).read_bytes())
    with (
        closing(open_source(str(written.source), mapping)) as source,
        closing(open_store(url)) as store,
    ):
        store.migrate()
        with run_progress() as on_progress:
            options = RunOptions(rules=ALWAYS_ON, jobs=usable_cores())
            report = run(source, store, options, on_progress)
        say("2. Journeys from it")
        say("\n".join(f"   {line}" for line in report_lines(report, ALWAYS_ON.version, url)))
        chosen = _show_policies(store, ALWAYS_ON, room)
        _show_truth(store, written.truth)
    say(f"   {time.perf_counter() - began:.1f} s so far. Look further:  journeymesh journeys list --store {url}")
    _serve(room, url, chosen.number, once)


def _serve(room: Path, url: str, policy: str, once: bool) -> None:
    """Both APIs over the store, and what they answer."""
    import importlib.util
    import shutil

    from journeymesh.cli.demo_apis import served, show, show_console, wait_for_the_end

    if any(importlib.util.find_spec(name) is None for name in ("litestar", "httpx")):
        say('\n7. The APIs need more: pip install "journeymesh[services]"')
        return
    if shutil.which("curl") is None:
        say("\n7. The APIs are shown by curl, which is not installed here")
        return
    with served(room, url, "always-on") as at:
        say(f"\n7. The same over HTTP: journeyapi at {at.journeyapi}, identityapi at {at.identityapi}\n")
        show(at, policy)
        show_console(at, policy)
        if not once:
            say("\nAll go on serving; Ctrl-C ends them.", flush=True)
            wait_for_the_end()


def _show_policies(store: Store, rules: JourneyRules, room: Path) -> Policy:
    import pyarrow as pa

    from journeymesh.cli.field_columns import JOURNEY_COLUMNS, SUMMARY_COLUMNS
    from journeymesh.cli.report import write_report
    from journeymesh.cli.show import text
    from journeymesh.journeys.journey import JOURNEY_SCHEMA
    from journeymesh.journeys.summaries import SUMMARY_SCHEMA
    from journeymesh.stores.port import JourneyQuery

    policies = store.policies()
    terms = {policy.term: _summary(store, policy, rules, "term") for policy in policies}
    say("\n3. What it adds up to, per policy")
    columns = (Column("policy", text("policy")), Column("product", text("product")), *SUMMARY_COLUMNS[2:])
    render(PrintedRows(SUMMARY_SCHEMA, [pa.concat_tables(terms.values())], columns), Format.table, limited=True)
    chosen = max(policies, key=lambda policy: sum(terms[policy.term]["journeys"].to_pylist()))
    say(f"4. One of them, {chosen.number}: its months, and its first journeys")
    months = PrintedRows(SUMMARY_SCHEMA, [_summary(store, chosen, rules, "month")], SUMMARY_COLUMNS)
    render(months, Format.table, limited=True)
    first = store.journeys(JourneyQuery(policy=chosen.number, tenant=chosen.tenant, limit=5))
    render(PrintedRows(JOURNEY_SCHEMA, [first], JOURNEY_COLUMNS), Format.table, limited=True)
    page = room / f"{chosen.number}.html"
    write_report(store, [chosen], rules, page)
    say(f"5. The same for people who would rather look: {page}")
    return chosen


def _summary(store: Store, policy: Policy, rules: JourneyRules, period: str):  # type: ignore[no-untyped-def]
    from journeymesh.journeys.summaries import summarise
    from journeymesh.stores.port import JourneyQuery

    journeys = store.journeys(JourneyQuery(policy=policy.number, tenant=policy.tenant, terms=(policy.valid_from,)))
    return summarise(journeys, policy, period, rules.score)  # type: ignore[arg-type]


def _show_truth(store: Store, truth: Path) -> None:
    import pyarrow.parquet as pq

    from journeymesh.fleets.scoring import score
    from journeymesh.stores.port import JourneyQuery

    true = pq.read_table(truth / "journeys.parquet")
    found = score(store.journeys(JourneyQuery()), true)
    say(
        f"6. Against the truth: {found.matched:,} of {found.true:,} true journeys found, {found.found:,} reported: "
        f"F1 {found.f1:.4f} at IoU 0.9, median boundary error {found.boundary_error_s:.1f} s, "
        f"median distance error {found.distance_error:.2%}"
    )
