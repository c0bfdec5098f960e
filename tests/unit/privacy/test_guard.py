"""A store that tombstones guard, as it is after an older backup was restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.keys.tombstone_tables import TombstoneDatabase
from journeymesh.keys.tombstones import Tombstone, Tombstones
from journeymesh.stores.erasing import Erasure, interval_of
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Run, StoreBatch, Superseded
from journeymesh.stores.protected_store import ProtectedStore
from journeymesh.stores.refusing_store import RefusingStore, erase_treated
from journeymesh.stores.row_store import RowStore
from journeymesh.wiring.keys import unguarded
from tests.support.records import BEGIN, DAY, fixes, journey, journeys, policy, refusal

ENDED = BEGIN + 20 * DAY
NEXT = BEGIN + 40 * DAY


def term(number: str, since: object, until: object) -> Policy:
    return policy(number, vehicle="car-1", valid_from=since, valid_to=until)


@pytest.fixture
def tombstones(tmp_path: Path) -> Iterator[Tombstones]:
    made = Tombstones(TombstoneDatabase(f"sqlite:///{tmp_path}/tombstones.db"), CommonKey(bytes(32), 1))
    made.migrate()
    made.add("t-1", [Tombstone(term("GONE-1", BEGIN, ENDED))])
    yield made
    made.close()


def restored() -> MemoryStore:
    """A backup in which the treated term has no end yet, and that was written to by others since."""
    store = MemoryStore()
    store.migrate()
    store.write(StoreBatch(policies=[term("GONE-1", BEGIN, None), term("STAYS-1", NEXT, None)]))
    store.write(
        StoreBatch(
            journeys=journeys(
                journey("car-1", BEGIN + 2 * DAY, policy="GONE-1", policy_from=BEGIN),
                journey("car-1", NEXT + 2 * DAY, policy="STAYS-1", policy_from=NEXT),
            ),
            fixes=fixes("car-1", NEXT + 2 * DAY, NEXT + 2 * DAY + timedelta(minutes=5)),
            refusals=[
                refusal(number, vehicle=vehicle, fixed_at=at)
                for number, (vehicle, at) in enumerate(
                    [("car-1", BEGIN + DAY), ("car-1", None), ("car-1", NEXT + 2 * DAY), ("car-2", None)]
                )
            ],
        )
    )
    return store


def test_a_term_that_has_no_end_in_a_backup_takes_nothing_of_its_successor(tombstones: Tombstones) -> None:
    store = RefusingStore(restored(), tombstones, lambda: None)
    assert [each.number for each in store.policies()] == ["STAYS-1"]
    assert store.journeys(JourneyQuery())["policy"].to_pylist() == ["STAYS-1"]
    assert len(store.fixes("car-1", NEXT, NEXT + 9 * DAY)) > 0


def test_what_was_refused_without_an_instant_goes_with_the_vehicle(tombstones: Tombstones) -> None:
    store = RefusingStore(restored(), tombstones, lambda: None)
    left = {(each.vehicle, each.fixed_at) for _, each in store.refusals(RefusalQuery())}
    assert left == {("car-1", NEXT + 2 * DAY), ("car-2", None)}


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("whose", ["the term's", "nobody's", "the successor's"])
def test_former_contents_under_ids_that_others_took_the_place_of_go(
    tombstones: Tombstones, whose: str, sealed: bool
) -> None:
    """The journey that took the place starts later, and under its own id it was the term's: no fix is kept."""
    inner: RowStore = MemoryStore()
    inner = ProtectedStore(inner, MemoryKeyStore()) if sealed else inner
    inner.migrate()
    terms = [term("GONE-1", BEGIN, None), term("STAYS-1", NEXT, None)]
    owner = {
        "the term's": {"policy": "GONE-1", "policy_from": BEGIN},
        "nobody's": {"policy": None, "tenant": None, "policy_from": None},
        "the successor's": {"policy": "STAYS-1", "policy_from": NEXT},
    }[whose]
    at = NEXT + 2 * DAY if whose == "the successor's" else BEGIN + 2 * DAY
    old, new = journey("car-1", at, **owner), journey("car-1", at + timedelta(minutes=1), **owner)
    inner.write(StoreBatch(policies=terms, journeys=journeys(old)))
    inner.write(StoreBatch(journeys=journeys(new), superseded=[Superseded(old["journey_id"], new["journey_id"])]))
    assert len(inner.history(old["journey_id"])) == 1
    store = RefusingStore(inner, tombstones, lambda: None)
    assert len(store.history(old["journey_id"])) == (1 if whose == "the successor's" else 0)
    assert [each.number for each in store.policies()] == ["STAYS-1"]


def test_a_vehicle_of_which_former_contents_alone_are_left_is_known_by_its_term(tombstones: Tombstones) -> None:
    inner = MemoryStore()
    inner.migrate()
    old = journey("car-1", BEGIN + 2 * DAY, policy=None, tenant=None, policy_from=None)
    inner.write(StoreBatch(policies=[term("GONE-1", BEGIN, None)], journeys=journeys(old)))
    inner.write(StoreBatch(superseded=[Superseded(old["journey_id"], None)]))
    assert inner.vehicles_after(None, 10) == []
    assert len(inner.history(old["journey_id"])) == 1
    assert RefusingStore(inner, tombstones, lambda: None).history(old["journey_id"]) == []


def test_what_a_dry_run_reads_is_left_as_it_is(tombstones: Tombstones) -> None:
    inner = restored()
    before = inner.digest()
    assert len(inner.journeys(JourneyQuery())) == 2
    store = RefusingStore(inner, tombstones, lambda: None)
    below = unguarded(store)
    assert [each.number for each in tombstones.without_treated(below.policies())] == ["STAYS-1"]
    assert inner.digest() == before
    store.policies()
    assert inner.digest() != before


CONTRADICTS = Reason.POLICY_CONTRADICTS.code
UNUSABLE = Reason.POLICY_UNUSABLE.code


@pytest.mark.parametrize(
    ("reason", "content", "taken"),
    [
        (CONTRADICTS, '{"number":"GONE-1","tenant":"acme"}', False),
        (UNUSABLE, '{"policy":{"no":"GONE-1"},"of":["x","acme"],"from":null}', False),
        (UNUSABLE, '{"policy":"GONE-1"}', False),  # its tenant is the mapping's, as that of the batch's policies
        (UNUSABLE, "GONE-1;acme;2024-13-01", False),
        (UNUSABLE, '{"number":"GONE-10","tenant":"acme"}', True),
        (UNUSABLE, '{"number":"STAYS-1","tenant":"acme"}', True),
        (UNUSABLE, None, True),
        ("vehicle_missing", '{"number":"GONE-1","tenant":"acme"}', True),
    ],
)
def test_a_refused_policy_of_an_erased_customer_is_not_taken(
    tombstones: Tombstones, reason: str, content: str | None, taken: bool
) -> None:
    tombstones.add("t-2", [Tombstone(replace(term("GONE-1", BEGIN, ENDED), tenant="acme"))])
    inner = MemoryStore()
    inner.migrate()
    store = RefusingStore(inner, tombstones, lambda: None)
    stays = replace(term("STAYS-1", NEXT, None), tenant="acme")
    refused = refusal(1, reason=reason, content=content)
    store.write(StoreBatch(refusals=[refused], policies=[stays]))
    assert [each for _, each in inner.refusals(RefusalQuery())] == ([refused] if taken else [])
    assert tombstones.refused() == ({} if taken else {"refusals": 1})


def test_the_number_of_a_treated_policy_is_another_one_for_another_tenant(tombstones: Tombstones) -> None:
    gone = replace(term("GONE-2", BEGIN, ENDED), tenant="acme")
    tombstones.add("t-2", [Tombstone(gone)])
    inputs = [["GONE-2", "other"], ["GONE-2"], ["acme", "GONE-2"], [*map(str, range(500)), "acme", "GONE-2"], []]
    assert tombstones.naming_treated(inputs) == [False, False, True, False, False]
    assert tombstones.naming_treated(inputs, ["acme"]) == [True, True, True, True, False]


class _ErasedMeanwhile(MemoryStore):
    """A run over this store begins and ends between what a guard lets pass and what it writes."""

    def __init__(self, run: Callable[[MemoryStore], object]) -> None:
        super().__init__()
        self.run_between = run

    def write(self, batch: StoreBatch) -> None:
        run, self.run_between = self.run_between, lambda _: None
        run(self)
        super().write(batch)


def test_what_was_let_pass_before_a_run_and_written_after_it_does_not_stay(tombstones: Tombstones) -> None:
    late = term("LATE-1", NEXT, NEXT + 20 * DAY)

    def run(store: MemoryStore) -> None:
        tombstones.add("t-2", [Tombstone(late)])
        erase_treated(store, tombstones)

    inner = _ErasedMeanwhile(run)
    inner.migrate()
    at = NEXT + 2 * DAY
    written = StoreBatch(
        policies=[late, term("STAYS-1", NEXT + 20 * DAY, None)],
        journeys=journeys(journey("car-1", at, policy="LATE-1", policy_from=NEXT)),
        fixes=fixes("car-1", at, at + timedelta(minutes=5)),
    )
    RefusingStore(inner, tombstones, lambda: None).write(written)
    assert [each.number for each in inner.policies()] == ["STAYS-1"]
    assert len(inner.journeys(JourneyQuery())) == 0
    assert len(inner.fixes("car-1", NEXT, NEXT + 9 * DAY)) == 0


@pytest.mark.parametrize(
    ("run_id", "resume", "stays"),
    [
        ("sync:store-a", "1427", True),
        ("sync:store-a", "42", True),
        ("import-1", '{"$oid":"65a1427fe0"}', True),
        ("backfill:x", "1427", True),
        ("backfill:x", "42a", True),
        ("backfill:x", "42", False),
        ("import-1", '[{"tracks": "{\\"_id\\":\\"42\\"}"}]', False),
        ("import-1", "2024-05-01_42_1", False),
        ("import-1", "bus (1)", False),
        ("import-1", "bus 1", True),
    ],
)
def test_a_place_to_resume_at_goes_where_it_names_the_vehicle(run_id: str, resume: str, stays: bool) -> None:
    store = MemoryStore()
    store.migrate()
    gone = policy("GONE-1", vehicle="42", valid_from=BEGIN, valid_to=ENDED)
    run = Run(run_id, "made", "1", BEGIN, None, {}, resume)
    store.write(StoreBatch(policies=[gone], run=run))
    for vehicle in ("42", "bus (1)"):
        store.erase(Erasure(gone, (vehicle,), interval_of(gone)))
    [left] = store.runs()
    assert left.resume == (resume if stays else None)
