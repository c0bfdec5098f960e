"""What a feed refuses is counted by slice, and a sudden share of it is a question that closes gates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import VehicleRead
from journeymesh.stores.port import StoreBatch
from journeymesh.strangler.control import Control, now_us, reads
from journeymesh.strangler.gates import closed_gates
from journeymesh.strangler.mismatches import accept_mismatch, list_mismatches
from journeymesh.strangler.plan import Gates
from journeymesh.strangler.refusals import Limits, Refusals, RefusalWindow, refusals_of, still_refused, sudden
from journeymesh.strangler.routes import read_routes
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.status import read_gate_inputs
from tests.support.builders import NOON, drive
from tests.support.feeds import Bench, policy_of
from tests.support.legacy_double import MemoryLegacy
from tests.support.rooms_databases import fresh_postgresql

DAY_US = 86_400_000_000


# --- when a share is sudden


@pytest.mark.parametrize(
    ("documents", "refused", "before", "is_sudden"),
    [
        (1_000, 410, 0.0, True),
        (1_000, 49, 0.0, False),  # less than 5 %
        (1_000, 50, 0.0, True),
        (100, 19, 0.0, False),  # fewer than 20 documents
        (100, 20, 0.0, True),
        (1_000, 430, 0.40, False),  # 40 % is the custom
        (1_000, 470, 0.40, True),
        (400, 182, 0.40, False),  # 45.5 %: 22 more than the custom, which chance gives as well
        (400, 210, 0.40, True),
        (1_000, 499, None, False),  # the first fill
        (1_000, 500, None, True),
        (0, 0, None, False),
        (0, 30, 0.0, True),  # more refused than was counted as read
        (1_000, -300, 0.0, False),  # mended
    ],
)
def test_a_share_is_sudden_against_the_share_before(
    documents: int, refused: int, before: float | None, is_sudden: bool
) -> None:
    assert sudden(RefusalWindow(documents, refused, before), Limits()) is is_sudden


def test_a_plan_may_ask_for_less() -> None:
    window = RefusalWindow(1_000, 20, 0.0)
    assert not sudden(window, Limits())
    assert sudden(window, Limits(documents=10, share=0.01))
    assert not still_refused(window, 5, Limits(documents=10, share=0.01))


# --- counted by a feed


class Unreadable(MemoryLegacy):
    """A legacy collection some of whose documents name no vehicle."""

    without_vehicle: tuple[str, ...] = ()

    def nameless(self) -> VehicleRead:
        code = Reason.VEHICLE_MISSING.code
        return VehicleRead(
            Fixes.empty(), [Refusal(code, f"memory/{name}", "no vehicle") for name in self.without_vehicle]
        )


@pytest.fixture(params=["sqlite", "postgresql"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    held = Bench(tmp_path, legacy=Unreadable(held_policies=[policy_of("V1"), policy_of("V2")]))
    with ExitStack() as opened:
        if request.param == "postgresql":
            held.control.close()
            held.control = Control(opened.enter_context(fresh_postgresql(request.getfixturevalue("postgresql_url"))))
            held.control.migrate()
        yield held
        held.control.close()


def documents(number: int, refused: int, *, hours: float = 0.0, vehicle: str = "V1") -> Fixes:
    """So many documents of a drive, the last of which have no position."""
    fixes = drive((10.0, 10 * (number - 1)), start=NOON + timedelta(hours=hours), vehicle=vehicle, every_s=10)
    assert len(fixes) == number
    lat = fixes.lat_deg.copy()
    lat[number - refused :] = np.nan
    return replace(fixes, lat_deg=lat)


def refusals(bench: Bench, name: str = "pilot") -> Refusals:
    found = refusals_of(bench.control, name, "embedded")
    assert found is not None
    return found


def gates(bench: Bench, name: str = "pilot") -> list[str]:
    """The closed gates that tell of refusals."""
    route = read_routes(bench.control).get(name)
    assert route is not None
    inputs = read_gate_inputs(bench.control, route, bench.legacy.policies())
    return [each for each in closed_gates(Phase.TARGET, Gates(), inputs) if "refused" in each]


def filled(bench: Bench, refused: int = 4) -> None:
    bench.route()
    bench.legacy.put(documents(200, refused))
    bench.feed()


def test_documents_read_and_refused_are_counted_by_backfill_and_live_sync(bench: Bench) -> None:
    filled(bench)
    found = refusals(bench)
    assert (found.documents, found.refused, found.share_before, found.question) == (200, 4, 0.02, None)
    bench.legacy.put(documents(50, 1, hours=3))
    bench.feed()
    found = refusals(bench)
    assert (found.documents, found.refused) == (250, 5)
    assert (found.window_documents, found.window_refused, found.question) == (50, 1, None)
    assert gates(bench) == []


def test_a_sudden_share_is_an_open_question_that_closes_gates_over_restarts(bench: Bench) -> None:
    filled(bench)
    bench.legacy.put(documents(100, 41, hours=3))
    bench.feed()
    assert refusals(bench).question is not None
    for _ in range(2):  # another feeder finds it as it was
        (gate,) = gates(bench)
        assert "41 of 100 documents (41.0 %), 2.0 % before" in gate
        (listed,) = list_mismatches(bench.control, "pilot", only_open=True)
        assert (listed.classification, json.loads(listed.source_value or "")) == ("refused", "41 of 100 refused")
        assert listed.cause == refusals(bench).question
        bench.feed()
    bench.legacy.put(documents(2_000, 0, hours=30))  # good documents do not make the others readable
    bench.feed()
    assert len(gates(bench)) == 1


def test_a_document_that_is_delivered_twice_is_not_two_refusals(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(bench)
    ids = bench.legacy.put(documents(30, 15, hours=3))
    bench.feed()
    before = refusals(bench)
    assert before.refused == 19
    for document in ids:
        bench.legacy.change(document, bench.legacy.rows[document])
    bench.feed()
    assert refusals(bench).refused == before.refused
    # What is delivered again, because the target could not be written after it was counted, is not either.
    bench.legacy.put(documents(30, 10, hours=6))
    opened = bench.open_store
    broken = [True]

    def fails_once(name: str):  # type: ignore[no-untyped-def]
        store = opened(name)
        write = store.write

        def writing(batch: StoreBatch) -> None:
            if broken[0] and batch.refusals:
                broken[0] = False
                raise StoreUnavailable("the disk is full", todo="free some")
            write(batch)

        monkeypatch.setattr(store, "write", writing)
        return store

    feeder = bench.feeder()
    feeder.open_store = fails_once
    with pytest.raises(StoreUnavailable):
        feeder.run(once=True)
    bench.feed()
    assert refusals(bench).refused == before.refused + 10
    assert refusals(bench).documents == 200 + 30 + 30 + 30  # written once each; the changed ones were read again
    assert gates(bench) != []


def test_an_application_that_appends_to_a_document_does_not_make_it_many(bench: Bench) -> None:
    filled(bench)
    ids = bench.legacy.put(documents(50, 25, hours=3))
    for _ in range(20):
        for document in ids:
            bench.legacy.change(document, bench.legacy.rows[document])
    bench.feed()
    assert refusals(bench).window_documents == 50
    assert len(gates(bench)) == 1


def test_it_is_gone_when_the_documents_can_be_read_or_are_deleted(bench: Bench) -> None:
    filled(bench)
    ids = bench.legacy.put(documents(100, 41, hours=3))
    bench.feed()
    assert gates(bench) != []
    for document in ids[-41:-20]:
        vehicle, at_us, _, lon, speed = bench.legacy.rows[document]
        bench.legacy.change(document, (vehicle, at_us, 52.0, lon, speed))
    bench.legacy.remove(ids[-20:-10])
    bench.feed()
    assert refusals(bench).refused == 4 + 10
    assert gates(bench) == []
    assert [each.state for each in list_mismatches(bench.control, "pilot")] == ["resolved"]


def test_it_is_accepted_until_a_date_and_a_larger_share_asks_again(bench: Bench) -> None:
    filled(bench)
    bench.legacy.put(documents(100, 41, hours=3))
    bench.feed()
    question = refusals(bench).question
    assert question is not None
    accept_mismatch(bench.control, question, "ann", "the maker knows", now_us() + DAY_US)
    assert gates(bench) == []
    assert (refusals(bench).question, refusals(bench).accepted) == (None, question)
    bench.feed()
    with bench.control.writing() as connection:  # an hour later
        connection.execute(sa.update(reads).values(window_us=0, window_documents=300, window_refused=45))
    bench.legacy.put(documents(500, 205, hours=6))
    bench.feed()
    assert gates(bench) == []  # the same share of what came since
    bench.legacy.put(documents(900, 800, hours=12))
    bench.feed()
    assert len(gates(bench)) == 1
    accept_mismatch(bench.control, question, "ann", "the maker knows", now_us() + DAY_US)
    with bench.control.writing() as connection:
        connection.exec_driver_sql("UPDATE strangler_mismatches SET expires_us = 1")
    assert len(gates(bench)) == 1  # it ran out


def test_what_is_refused_by_custom_is_no_question_and_a_wrong_mapping_is(bench: Bench) -> None:
    filled(bench, refused=80)
    assert gates(bench) == []
    bench.legacy.put(documents(100, 40, hours=3))
    bench.feed()
    assert gates(bench) == []
    assert (refusals(bench).share_before, refusals(bench).window_share) == (0.4, 0.4)


def test_a_first_fill_of_which_most_is_refused_is_a_question(bench: Bench) -> None:
    filled(bench, refused=120)
    (gate,) = gates(bench)
    assert "120 of 200 documents (60.0 %), nothing read before" in gate


def test_a_target_filled_again_is_held_against_what_was_refused_before(bench: Bench) -> None:
    filled(bench)
    bench.legacy.forget()
    ids = sorted(bench.legacy.rows)[:50]
    for document in ids:
        vehicle, at_us, _, lon, speed = bench.legacy.rows[document]
        bench.legacy.change(document, (vehicle, at_us, float("nan"), lon, speed))
    bench.legacy.forget()
    bench.feed()
    found = refusals(bench)
    assert (found.documents, found.refused) == (200, 54)
    (gate,) = gates(bench)
    assert "50 of 200 documents (25.0 %), 2.0 % before" in gate


def test_only_the_slice_of_the_vehicle_is_questioned_and_documents_without_one_count_for_every_slice(
    bench: Bench,
) -> None:
    legacy = bench.legacy
    assert isinstance(legacy, Unreadable)
    legacy.held_policies = [policy_of("V1", product="car"), policy_of("V2", product="van")]
    bench.route("car", product="car")
    bench.route("van", product="van")
    for vehicle in ("V1", "V2"):
        legacy.put(documents(100, 1, vehicle=vehicle))
    bench.feed()
    assert [refusals(bench, name).documents for name in ("car", "van")] == [100, 100]
    legacy.put(documents(100, 30, hours=3, vehicle="V2"))
    bench.feed()
    assert (gates(bench, "car"), len(gates(bench, "van"))) == ([], 1)
    legacy.without_vehicle = tuple(map(str, range(25)))
    bench.feed()
    assert [refusals(bench, name).refused for name in ("car", "van")] == [26, 56]
    assert len(gates(bench, "car")) == 1


def test_vehicles_that_come_to_a_slice_bring_no_question(bench: Bench) -> None:
    legacy = bench.legacy
    legacy.held_policies = [policy_of("V1", product="car")]
    bench.route(product="car")
    legacy.put(documents(200, 2))
    legacy.put(documents(200, 90, vehicle="V2"))
    bench.feed()
    assert refusals(bench).refused == 2
    legacy.set_policies([policy_of("V1", product="car"), policy_of("V2", product="car")])
    bench.feed()
    assert refusals(bench).refused == 92
    assert gates(bench) == []


def test_a_target_filled_before_refusals_were_counted_begins_with_what_it_holds(bench: Bench) -> None:
    filled(bench, refused=60)
    with bench.control.writing() as connection:
        for name in ("strangler_reads", "strangler_refused_documents"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
    bench.feed()
    found = refusals(bench)
    assert (found.documents, found.refused, found.share) == (None, 60, None)
    assert gates(bench) == []
    bench.legacy.put(documents(100, 41, hours=3))
    bench.feed()
    assert len(gates(bench)) == 1
