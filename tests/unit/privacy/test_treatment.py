"""The run over a store in memory: holds that come while it is under way, what the journal and the keys keep, kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.errors import StoreUnavailable
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.port import KeysUnavailable
from journeymesh.keys.privacy_records import PrivacyRecords
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import KeyStoreDatabase
from journeymesh.keys.tables import privacy_records as records_table
from journeymesh.keys.tombstone_tables import TombstoneDatabase
from journeymesh.keys.tombstones import Tombstones
from journeymesh.privacy.former_customers import CustomerState, FormerCustomer, LegalHold, PolicyName
from journeymesh.privacy.treatment import (
    DECISION,
    HOLD,
    STEPS,
    AlreadyTreated,
    Forgetting,
    PrivacyRun,
    Treated,
    hold,
    holds_in,
    step_left,
)
from journeymesh.stores.erasing import Erased
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.refusing_store import RefusingStore
from journeymesh.strangler.accepted import content_of, fixes_in
from journeymesh.strangler.control import Control, accepted_writes
from journeymesh.strangler.forgetting import ControlForgetting
from tests.support.records import DAY, fixes, journey, journeys

BEGAN, ENDED = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
CASE = LegalHold(who="ann", why="case 7")


def term(number: str) -> Policy:
    return Policy(number=number, tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle=f"car of {number}")


TERMS = (term("GONE-1"), term("GONE-2"))


class Killed(BaseException):
    """The process ends here."""


class Recorder:
    def __init__(self) -> None:
        self.recorded: list[tuple[str, str]] = []

    def treated(self, treatment_id: str, pseudonym: str) -> None:
        if (treatment_id, pseudonym) not in self.recorded:
            self.recorded.append((treatment_id, pseudonym))


class Ward:
    """Stores, keys and tombstones; runs over them, which may be killed behind a step."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.store.migrate()
        self.store.write(StoreBatch(policies=list(TERMS)))
        self.database = KeyStoreDatabase(f"sqlite:///{folder}/keys.db")
        self.keys = SqlKeyStore(self.database, LocalFileProvider(folder / "provider.keys"))
        self.keys.migrate()
        self.tombstones = Tombstones(TombstoneDatabase(f"sqlite:///{folder}/tombstones.db"), CommonKey(bytes(32), 1))
        self.tombstones.migrate()
        self.records, self.recorder = PrivacyRecords(self.keys), Recorder()
        self.forgetting: list[Forgetting] = []

    def run(self, killed_at: str | None = None, beside: Callable[[], object] = lambda: None) -> Treated:
        """``beside`` is what another process does after each step."""

        def on_step(step: str) -> None:
            beside()
            if step == killed_at:
                raise Killed

        run = PrivacyRun(
            stores=[self.store], keys=self.keys, records=self.records, tombstones=self.tombstones,
            forgetting=self.forgetting, recorder=self.recorder, on_step=on_step,
        )  # fmt: skip
        return run.treat(self.due)

    def due(self) -> list[FormerCustomer]:
        return [
            FormerCustomer(PolicyName(each.tenant, each.number), (each,), ENDED, CustomerState.due)
            for each in self.store.policies()
        ]

    def left(self) -> list[str]:
        return [each.number for each in self.store.policies()]

    def close(self) -> None:
        self.keys.close()
        self.tombstones.close()


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    made = Ward(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("step", STEPS)
def test_killed_behind_any_step_it_goes_on_and_records_each_term_once(ward: Ward, step: str) -> None:
    with pytest.raises(Killed):
        ward.run(killed_at=step)
    assert step_left(ward.records) == step
    ward.run()
    assert step_left(ward.records) is None
    assert ward.left() == []
    assert len(ward.recorder.recorded) == 2
    assert len({treatment for treatment, _ in ward.recorder.recorded}) == 1
    assert len(ward.keys.treatments()) == 1
    assert ward.tombstones.count() == 2


@pytest.mark.parametrize("fails", ["create", "wrap", "destroy"])
def test_a_provider_that_fails_within_the_rotation_is_asked_again(
    ward: Ward, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward.records.put(HOLD, ("acme", "STAYS-1"), {"who": "ann", "why": "case 7", "until": None})
    stays = term("STAYS-1").term
    ward.keys.ensure([(stays, None)])

    def fault(*_: object) -> None:
        raise KeysUnavailable("down")

    with monkeypatch.context() as down:
        down.setattr(LocalFileProvider, fails, fault)
        with pytest.raises(KeysUnavailable):
            ward.run()
    assert step_left(ward.records) == "shredded"
    assert ward.run().treatment is not None
    assert len(ward.keys.treatments()) == 1
    assert ward.keys.former_index_key() is None
    assert list(ward.keys.keys_of([stays, *(each.term for each in TERMS)])) == [stays]
    assert [each.name for each in ward.records.all(HOLD)] == [("acme", "STAYS-1")]


class Forgets:
    """Says that it forgot three rows."""

    def forget(self, policies: Sequence[Policy]) -> int:
        return 3 if policies else 0


@pytest.mark.parametrize("killed_at", [None, *STEPS[1:]])
def test_what_went_is_counted_whoever_guards_the_store_beside_and_across_kills(
    ward: Ward, killed_at: str | None
) -> None:
    ward.forgetting = [Forgets()]
    whose = [(str(each.vehicle), each.number) for each in TERMS]
    rows = [journey(car, BEGAN + DAY, policy=number, tenant="acme", policy_from=BEGAN) for car, number in whose]
    kept = Fixes.concat([fixes(car, BEGAN + DAY, BEGAN + 2 * DAY) for car, _ in whose])
    ward.store.write(StoreBatch(journeys=journeys(*rows), fixes=kept))
    ward.keys.ensure([(each.term, None) for each in TERMS])
    guard = RefusingStore(ward.store, ward.tombstones, lambda: None)
    if killed_at is not None:
        with pytest.raises(Killed):
            ward.run(killed_at, guard.policies)
        guard.policies()
    done = ward.run(None, guard.policies)
    assert done.erased == Erased(journeys=2, fixes=4, policies=2)
    assert (done.terms, done.forgotten, done.secrets) == (2, 3, 2)


@pytest.mark.parametrize("drives_on_s", [-3600, 0, 1200, 5400])
def test_accepted_fixes_of_a_last_drive_that_crosses_the_end_are_forgotten(
    ward: Ward, tmp_path: Path, drives_on_s: int
) -> None:
    car, last = "car of GONE-1", ENDED + timedelta(seconds=drives_on_s)
    at = {"ended_at": last, "policy": "GONE-1", "tenant": "acme", "policy_from": BEGAN}
    ward.store.write(StoreBatch(journeys=journeys(journey(car, ENDED - 2 * timedelta(hours=1), **at))))
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        content = content_of(fixes(car, ENDED - timedelta(hours=2), last, ENDED + DAY, ENDED + 2 * DAY))
        row = {"key": "k", "content": content}
        with control.writing() as connection:
            connection.execute(sa.insert(accepted_writes).values(**_filled(accepted_writes, row)))
        ward.forgetting = [ControlForgetting(control, ward.store.policies)]
        ward.run()
        with control.reading() as connection:
            (left,) = connection.execute(sa.select(accepted_writes.c.content)).scalars()
        assert fixes_in(left).fixed_at_us.tolist() == [to_us(ENDED + DAY), to_us(ENDED + 2 * DAY)]


def test_what_comes_before_the_tombstones_stand_is_erased_and_counted(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = ward.tombstones.add

    def late(*given: object) -> None:
        ward.store.write(StoreBatch(policies=[TERMS[0]], fixes=fixes("car of GONE-1", BEGAN + DAY)))
        add(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(ward.tombstones, "add", late)
    assert ward.run().erased == Erased(fixes=1, policies=3)
    assert ward.left() == []
    assert ward.store.vehicles_after(None, 10) == []


def test_a_hold_behind_planning_is_kept(ward: Ward) -> None:
    with pytest.raises(Killed):
        ward.run(killed_at="planned")
    hold(ward.records, PolicyName("acme", "GONE-1"), CASE)
    ward.run()
    assert ward.left() == ["GONE-1"]
    assert not ward.tombstones.refuses_policy(TERMS[0])


def test_a_run_all_of_whose_policies_are_held_by_now_does_nothing(ward: Ward) -> None:
    with pytest.raises(Killed):
        ward.run(killed_at="planned")
    for each in TERMS:
        hold(ward.records, PolicyName("acme", each.number), CASE)
    assert ward.run().treatment is None
    assert step_left(ward.records) is None
    assert ward.tombstones.is_empty()


@pytest.mark.parametrize("step", ["confirmed", "refused", "erased"])
def test_no_hold_is_promised_of_what_is_being_treated(ward: Ward, step: str) -> None:
    with pytest.raises(Killed):
        ward.run(killed_at=step)
    with pytest.raises(AlreadyTreated):
        hold(ward.records, PolicyName("acme", "GONE-1"), CASE)
    hold(ward.records, PolicyName("acme", "STAYS-1"), CASE)
    assert list(holds_in(ward.records.all(HOLD))) == [("acme", "STAYS-1")]


def test_nothing_under_a_key_that_lives_on_names_who_was_treated(ward: Ward) -> None:
    decided = {"same_person": False, "who": "ann", "why": "sold"}
    for pair in (("GONE-1", "STAYS-1"), ("STAYS-1", "GONE-2"), ("STAYS-1", "STAYS-2")):
        ward.records.put(DECISION, ("acme", *pair), decided)
    with pytest.raises(Killed):
        ward.run(killed_at="shredded")
    with ward.database.reading() as connection:
        sealed = connection.execute(sa.select(records_table.c.sealed)).scalars().all()
    key = ward.keys.index_key()
    opened = b"".join(
        key.unseal(each, kind="privacy record", stored_id=kind) for each, kind in zip(sealed, _kinds(ward), strict=True)
    )
    assert b"GONE" not in opened
    assert b"STAYS-1" in opened
    ward.run()
    assert [each.name for each in ward.records.all(DECISION)] == [("acme", "STAYS-1", "STAYS-2")]


def test_what_the_audit_calls_a_term_stands_in_no_row(ward: Ward) -> None:
    keys = ward.keys.ensure([(each.term, None) for each in TERMS])
    handles = {each.handle(month) for each in keys.values() for month in (None, *range(600, 625))}
    ward.run()
    assert {pseudonym for _, pseudonym in ward.recorder.recorded} == {each.audit_pseudonym() for each in keys.values()}
    assert not handles & {pseudonym for _, pseudonym in ward.recorder.recorded}


def test_two_runs_are_not_under_way_at_once(ward: Ward) -> None:
    other = PrivacyRecords(SqlKeyStore(KeyStoreDatabase(ward.database.url), ward.keys._provider))
    with other.only_run(), pytest.raises(StoreUnavailable, match="another privacy run is under way"):
        ward.run()
    assert ward.left() == ["GONE-1", "GONE-2"]
    ward.run()
    assert ward.left() == []


@pytest.mark.parametrize("made", [KeyStoreDatabase, TombstoneDatabase])
def test_a_database_that_is_not_there_is_named_with_the_command_that_makes_it(
    made: type[SqlDatabase], tmp_path: Path
) -> None:
    database = made(f"sqlite:///{tmp_path}/none.db")  # type: ignore[call-arg]
    with pytest.raises(StoreUnavailable, match="there is no such file") as raised, database.reading():
        pass
    assert "journeymesh privacy migrate" in str(raised.value.todo)
    assert not (tmp_path / "none.db").exists()


def test_a_later_policy_of_vehicle_and_number_is_taken(ward: Ward) -> None:
    ward.run()
    later = Policy(number="GONE-1", tenant="acme", valid_from=ENDED, vehicle="car of GONE-1")
    others = Policy(number="GONE-1", tenant="other", valid_from=BEGAN, valid_to=ENDED, vehicle="van")
    again = Policy(number="GONE-1", tenant="acme", valid_from=ENDED - timedelta(days=1), vehicle="car of GONE-1")
    assert ward.tombstones.without_treated([later, others, again]) == [later, others]


def _filled(table: sa.Table, row: dict[str, object]) -> dict[str, object]:
    """The row, with zeros where the table wants more."""
    wanted = [each for each in table.columns if not each.nullable and each.name not in row and each.default is None]
    return {each.name: each.type.python_type() for each in wanted} | row


def _kinds(ward: Ward) -> list[str]:
    with ward.database.reading() as connection:
        return list(connection.execute(sa.select(records_table.c.kind)).scalars())
