"""Runs of the local engine into stores: idempotent, in any order, from any cut, within rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from journeymesh.engines.grouping import NotClustered, Spill, clustered
from journeymesh.engines.local import run
from journeymesh.engines.port import Progress, Retention, RunOptions, RunReport
from journeymesh.errors import RulesConflict
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED
from journeymesh.sources.port import SourceBatch, SourceSize
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Run, StoreBatch
from journeymesh.strangler.backfill import backfill_id
from journeymesh.strangler.targets import feed_id, sync_id

START_US = 1_700_000_000_000_000
NOW = datetime(2025, 1, 1, tzinfo=UTC)


class Parts:
    """A source that is these parts."""

    name = "parts"

    def __init__(self, parts: Sequence[Fixes], policies: Sequence[Policy] = (), resumes: bool = False) -> None:
        self.parts, self.held, self.resumes = list(parts), list(policies), resumes

    def size(self) -> SourceSize:
        return SourceSize(fixes=sum(map(len, self.parts)))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        for number, part in enumerate(self.parts):
            if resume is None or number > int(resume):
                yield SourceBatch(part, resume=str(number) if self.resumes else None)

    def describe(self, origins: I64) -> list[str]:
        return [f"parts/{origin}" for origin in origins.tolist()]

    def policies(self) -> list[Policy]:
        return self.held

    def close(self) -> None:
        pass


def drives(vehicle: str, count: int, first: int = 0, seconds: int = 300) -> Fixes:
    """``count`` straight drives of 10 m/s at 1 Hz, ten minutes apart, as an engine-switched recorder reports them."""
    at = np.concatenate([np.arange(seconds) + (first + drive) * (seconds + 600) for drive in range(count)])
    along = np.concatenate([np.arange(seconds) * 10.0 for _ in range(count)])
    n = len(at)
    return Fixes(
        vehicles=(vehicle,),
        vehicle=np.zeros(n, np.int32),
        fixed_at_us=START_US + at * 1_000_000,
        lat_deg=50.0 + along / 111_000.0,
        lon_deg=np.full(n, 8.0),
        speed_mps=np.full(n, 10.0),
        origin=np.arange(n, dtype=np.int64),
    )


def fleet(vehicles: int = 5, count: int = 4) -> Fixes:
    return Fixes.concat([drives(f"V{number}", count) for number in range(vehicles)])


def options(**changes: object) -> RunOptions:
    return replace(RunOptions(rules=ENGINE_SWITCHED, now=NOW), **changes)  # type: ignore[arg-type]


def stored(*runs: Sequence[Fixes], **changes: object) -> tuple[MemoryStore, list[RunReport]]:
    store = MemoryStore()
    store.migrate()
    return store, [run(Parts(parts), store, options(**changes)) for parts in runs]


def test_running_again_changes_nothing() -> None:
    store, (first, second) = stored([fleet()], [fleet()])
    once, _ = stored([fleet()])
    assert first.counts["journeys"] == 20
    assert (second.counts["journeys"], second.counts["journeys_changed"], second.counts["duplicates"]) == (0, 0, 6000)
    assert store.digest() == once.digest()


def test_what_is_refused_counts_once_when_it_comes_again() -> None:
    fixes = drives("V", 4)
    lat = fixes.lat_deg.copy()
    lat[7] = np.nan
    given = replace(fixes, lat_deg=lat)
    _, (first, second) = stored([given], [given])
    counted = [[run.counts[name] for name in ("accepted", "duplicates", "refused")] for run in (first, second)]
    assert counted == [[1199, 0, 1], [0, 1200, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_late_and_shuffled_runs_add_up_to_the_one_run(seed: int) -> None:
    fixes = fleet()
    rows = np.random.default_rng(seed).permutation(len(fixes))
    store, _ = stored(*([fixes.take(part)] for part in np.array_split(rows, 4)))
    once, _ = stored([fixes])
    assert store.digest() == once.digest()


def test_input_too_large_for_memory_gives_the_same_in_any_order() -> None:
    fixes = fleet(60, 6)
    clustered_parts = [fixes.take(slice(k, k + 7_000)) for k in range(0, len(fixes), 7_000)]
    shuffled = fixes.take(np.random.default_rng(3).permutation(len(fixes)))
    shuffled_parts = [shuffled.take(slice(k, k + 7_000)) for k in range(0, len(fixes), 7_000)]
    small = {"memory_bytes": 1}
    digests = [stored(parts, **small)[0].digest() for parts in (clustered_parts, shuffled_parts, [fixes])]
    assert digests[0] == digests[1] == digests[2]


def test_a_vehicle_that_comes_back_is_noticed() -> None:
    parts = [drives("A", 40), drives("B", 40), drives("C", 40), drives("A", 1, first=90)]
    with pytest.raises(NotClustered):
        list(clustered(parts, 1))


def test_a_spill_gives_back_every_fix_of_whole_vehicles() -> None:
    fixes = fleet(20, 2)
    shuffled = fixes.take(np.random.default_rng(1).permutation(len(fixes)))
    with Spill(4) as spill:
        for part in np.array_split(np.arange(len(fixes)), 5):
            spill.add(shuffled.take(part))
        groups = list(spill.whole_vehicles())
    names = [set(group.vehicles) for group in groups]
    assert sum(map(len, groups)) == len(fixes)
    assert sum(map(len, names)) == len(set().union(*names)) == 20


def test_two_jobs_give_the_same_as_one() -> None:
    assert stored([fleet(12)], jobs=2)[0].digest() == stored([fleet(12)])[0].digest()


def test_a_late_fix_reopens_only_the_journey_it_touches_and_the_old_id_resolves() -> None:
    whole = drives("V", 3)
    late_start = whole.take(np.r_[10:300, 300:900])
    store, _ = stored([late_start])
    before = store.journeys(JourneyQuery()).to_pylist()
    run(Parts([whole.take(np.arange(10))]), store, options())
    after = store.journeys(JourneyQuery()).to_pylist()
    assert before[1:] == after[1:]
    assert before[0]["journey_id"] != after[0]["journey_id"]
    found = store.journey(before[0]["journey_id"])
    assert found is not None
    assert found.to_pylist() == after[:1]
    assert [entry.successor_id for entry in store.history(before[0]["journey_id"])] == [after[0]["journey_id"]]


def test_a_fix_refused_before_is_taken_back_when_late_ones_confirm_it() -> None:
    whole = drives("V", 1)
    # Far enough to be impossible after one second; the fixes that make it possible come later.
    far = replace(whole, lat_deg=np.where(np.arange(300) >= 290, whole.lat_deg + 1.0, whole.lat_deg))
    store, _ = stored([far.take(np.r_[0:290, 290:292])])
    assert [r.reason for _, r in store.refusals(RefusalQuery())] == ["position_spike"] * 2
    many = replace(far, fixed_at_us=far.fixed_at_us)
    later = replace(
        many.take(np.arange(292, 300)),
        lat_deg=np.full(8, far.lat_deg[291]),
    )
    more = replace(later, fixed_at_us=later.fixed_at_us + 8_000_000)
    run(Parts([later, more]), store, options())
    assert [r.reason for _, r in store.refusals(RefusalQuery())] == []


def test_summaries_only_keep_no_fixes_and_refuse_a_late_one() -> None:
    nothing = {"retention": Retention(timedelta(0))}
    whole = drives("V", 2)
    store, _ = stored([whole.take(np.r_[0:100, 105:600])], **nothing)
    before = store.digest()
    report = run(Parts([whole.take(np.arange(100, 105))]), store, options(**nothing))
    assert len(store.fixes("V", datetime(2000, 1, 1, tzinfo=UTC), NOW)) == 0
    assert report.counts["refused_fixes_not_kept"] == 5
    assert store.digest()["journeys"] == before["journeys"]


def test_summaries_only_take_the_same_input_again_and_what_covers_it() -> None:
    nothing = {"retention": Retention(timedelta(0))}
    whole = drives("V", 2)
    store, (_, again, more) = stored([whole.take(np.arange(400))], [whole.take(np.arange(400))], [whole], **nothing)
    assert "refused_fixes_not_kept" not in again.counts | more.counts
    assert store.digest()["journeys"] == stored([whole])[0].digest()["journeys"]


def test_fixes_older_than_retention_are_forgotten() -> None:
    whole = drives("V", 1)
    store, _ = stored([whole], retention=Retention(timedelta(days=1)))
    assert len(store.fixes("V", datetime(2000, 1, 1, tzinfo=UTC), NOW)) == 0
    assert len(store.journeys(JourneyQuery())) == 1


def test_two_rules_versions_do_not_mix_unless_asked() -> None:
    store, _ = stored([drives("V", 1)])
    with pytest.raises(RulesConflict, match="another store"):
        run(Parts([drives("W", 1)]), store, options(rules=ALWAYS_ON))
    run(Parts([drives("W", 1)]), store, options(rules=ALWAYS_ON, allow_mixed_rules=True))
    assert {used.version for used in store.rules()} == {ALWAYS_ON.version, ENGINE_SWITCHED.version}


def test_edited_rules_of_one_version_are_noticed() -> None:
    store, _ = stored([drives("V", 1)])
    with pytest.raises(RulesConflict, match="same version"):
        run(Parts([drives("W", 1)]), store, options(rules=replace(ENGINE_SWITCHED, min_distance_m=1.0)))


def test_a_new_policy_takes_over_the_journeys_of_its_term() -> None:
    store, _ = stored([drives("V", 2)])
    policy = Policy(number="P1", device="V", valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone="Europe/Berlin")
    report = run(Parts([Fixes.empty(("V",))], [policy]), store, options())
    assert report.counts["journeys_changed"] == 2
    assert set(store.journeys(JourneyQuery(policy="P1"))["zone"].to_pylist()) == {"Europe/Berlin"}


def test_a_run_that_dies_while_a_new_policy_takes_over_is_made_good_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = Policy(number="P1", device="V", valid_from=datetime(2020, 1, 1, tzinfo=UTC), zone="Europe/Berlin")
    store, _ = stored([drives("V", 2)])
    whole, _ = stored([drives("V", 2)])
    run(Parts([], [policy]), whole, options())
    write, writes = store.write, 0

    def dies(batch: StoreBatch) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise RuntimeError("killed")
        write(batch)

    monkeypatch.setattr(store, "write", dies)
    with pytest.raises(RuntimeError, match="killed"):
        run(Parts([], [policy]), store, options())
    run(Parts([], [policy]), store, options())
    assert set(store.journeys(JourneyQuery())["policy"].to_pylist()) == {"P1"}
    assert store.digest() == whole.digest()


def test_fixes_outside_any_policy_are_reported() -> None:
    policy = Policy(
        number="P1", device="V0", valid_from=datetime(2020, 1, 1, tzinfo=UTC), valid_to=datetime(2024, 1, 1, tzinfo=UTC)
    )
    store = MemoryStore()
    store.migrate()
    report = run(Parts([fleet(2, 1)], [policy]), store, options())
    assert report.counts["outside_policy"] == 300
    assert len(store.journeys(JourneyQuery(unattributed=True))) == 1


def test_a_source_with_positions_is_taken_up_where_it_was_left() -> None:
    parts = [drives("V", 1), drives("V", 1, first=1), drives("V", 1, first=2)]
    store = MemoryStore()
    store.migrate()
    run(Parts(parts[:2], resumes=True), store, options())
    report = run(Parts(parts, resumes=True), store, options())
    assert report.counts["fixes"] == 300
    assert store.digest() == stored(parts)[0].digest()


def test_progress_is_told() -> None:
    told: list[Progress] = []
    store = MemoryStore()
    store.migrate()
    run(Parts([fleet(2, 1), fleet(1, 1)]), store, options(), told.append)
    assert [progress.fixes for progress in told] == [600, 900]


def test_refusals_say_where_the_input_is() -> None:
    fixes = drives("V", 1)
    lat = fixes.lat_deg.copy()
    lat[7] = np.nan
    store, (report,) = stored([replace(fixes, lat_deg=lat)])
    ((_, refusal),) = store.refusals(RefusalQuery())
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.origin, refusal.vehicle) == ("position_missing", "parts/7", "V")
    assert report.counts["refused_position_missing"] == 1
    assert store.journeys(JourneyQuery())["quarantined"].to_pylist() == [1]


@pytest.mark.parametrize("run_id", [sync_id("legacy"), feed_id("legacy"), backfill_id("cars")])
def test_where_a_feed_stands_is_no_position_of_a_pass(run_id: str) -> None:
    parts = [drives("V", 1), drives("V", 1, first=1)]
    store = MemoryStore()
    store.migrate()
    source = Parts(parts, resumes=True)
    at = datetime.now(UTC)
    store.write(StoreBatch(run=Run(run_id, source.name, options().rules.version, at, None, {}, resume="1")))
    report = run(source, store, options())
    assert report.counts["fixes"] == 600
    assert store.digest() == stored(parts)[0].digest()
