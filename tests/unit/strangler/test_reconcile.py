"""Comparing what legacy gives with what a target holds, and putting it right."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from journeymesh.engines.port import Retention
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, Superseded
from journeymesh.strangler.differences import Classification
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.legacy_upstream import LegacyUpstream
from journeymesh.strangler.plan import Feed
from journeymesh.strangler.reconcile import Reconciliation, TargetDifference, reconciliations_of
from journeymesh.strangler.routes import read_routes
from tests.support.builders import NOON, drive
from tests.support.feeds import Bench, policy_of
from tests.support.records import refusal


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for n in range(6):
        for day in range(2):
            made.legacy.put(drive((15.0, 300), vehicle=f"V{n}", start=NOON + timedelta(days=day), every_s=3.0))
    made.legacy.held_policies = [policy_of(f"V{n}") for n in range(6)]
    made.route()
    made.feed()
    return made


def reconciliation(bench: Bench, chunk_fixes: int = 200, **options: Any) -> Reconciliation:
    session = FeedSession(
        control=bench.control,
        feed=Feed(chunk_fixes=chunk_fixes),
        source=LegacyUpstream(bench.legacy, bench.rules),
        store=bench.open_store("embedded"),
        rules=bench.rules,
        retention=Retention(),
        upstream="legacy",
        target="embedded",
        routes=read_routes(bench.control).routes,
    )
    session.reload()
    return Reconciliation(session, session.routes[0].slice, **options)


def rewritten(store: Store, **values: Any) -> None:
    """Change V2's first journey in the store."""
    [row] = store.journeys(JourneyQuery(vehicle="V2", limit=1)).to_pylist()
    store.write(StoreBatch(journeys=pa.Table.from_pylist([row | values], schema=JOURNEY_SCHEMA)))


def lost(store: Store) -> None:
    [row] = store.journeys(JourneyQuery(vehicle="V2", limit=1)).to_pylist()
    store.write(StoreBatch(superseded=[Superseded(row["journey_id"], None)]))


def invented(store: Store) -> None:
    [row] = store.journeys(JourneyQuery(vehicle="V2", limit=1)).to_pylist()
    store.write(StoreBatch(journeys=pa.Table.from_pylist([row | {"journey_id": "x" * 26}], schema=JOURNEY_SCHEMA)))


def fixes_cut(store: Store) -> None:
    fixes = store.fixes("V2", NOON, NOON + timedelta(hours=1))
    store.write(StoreBatch(fixes=fixes.take(slice(1, None))))


def day_lost(store: Store) -> None:
    store.write(StoreBatch(fixes_withdrawn=[("V2", round(NOON.timestamp()) // 86_400)]))


FAULTS: list[tuple[Callable[[Store], None], Classification, str]] = [
    (lost, Classification.MISSING, ""),
    (invented, Classification.EXTRA, ""),
    (lambda store: rewritten(store, distance_m=4350.000000001), Classification.VALUE, "distance_m"),
    (lambda store: rewritten(store, idle_s=-0.0), Classification.VALUE, "idle_s"),
    (lambda store: rewritten(store, policy="P-V3"), Classification.VALUE, "policy"),
    (lambda store: rewritten(store, hours=[]), Classification.VALUE, "hours"),
    (lambda store: rewritten(store, rules_version="r-0"), Classification.VALUE, "rules_version"),
    (fixes_cut, Classification.VALUE, "digest"),
    (day_lost, Classification.MISSING, "digest"),
    (lambda store: store.write(StoreBatch(refusals=[refusal(vehicle="V2")])), Classification.EXTRA, ""),
]


def test_equal_sides_differ_in_nothing(bench: Bench) -> None:
    work = reconciliation(bench)
    assert list(work.differences()) == []
    assert (work.counts["vehicles"], work.counts["days"]) == (6, 12)


@pytest.mark.parametrize(("fault", "kind", "name"), FAULTS)
def test_a_fault_is_found_with_its_side_and_field_and_repaired(
    bench: Bench, fault: Callable[[Store], None], kind: Classification, name: str
) -> None:
    store = bench.open_store("embedded")
    fault(store)
    found = list(reconciliation(bench).differences())
    assert [(each.vehicle, each.kind, each.field) for each in found] == [("V2", kind, name)]
    assert bench.digest() != bench.expected()
    assert list(reconciliation(bench, repair=True).differences()) == found
    assert bench.digest() == bench.expected()
    assert list(reconciliation(bench).differences()) == []


def test_a_reconciliation_that_was_stopped_goes_on_behind_its_last_chunk(bench: Bench) -> None:
    first = reconciliation(bench, chunk_fixes=1)
    chunks = first.chunks()
    met = [next(chunks).vehicles for _ in range(3)]
    chunks.close()
    again = reconciliation(bench, chunk_fixes=1, run_id=first.run_id)
    met += [chunk.vehicles for chunk in again.chunks()]
    assert [list(each) for each in met] == [["V0"], ["V1"], ["V2"], ["V2"], ["V3"], ["V4"], ["V5"]]
    [state] = reconciliations_of(bench.control, "pilot")
    assert state.finished_us is not None


def test_the_feeder_goes_on_rightly_after_a_repair_beside_it(bench: Bench) -> None:
    store = bench.open_store("embedded")
    rewritten(store, distance_m=1.0)
    found: list[TargetDifference] = list(reconciliation(bench, repair=True).differences())
    assert [each.target_value for each in found] == [1.0]
    row = bench.legacy.rows[document := min(bench.legacy.rows)]
    bench.legacy.change(document, (row[0], row[1], row[2] + 1e-5, *row[3:]))
    bench.feed()
    assert bench.digest() == bench.expected()
    assert replace(found[0], target_value=None).policy == "P-V2"
