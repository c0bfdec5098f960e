"""Accidents that the state machine over operators found, each as its shortest sequence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.integration.test_kill_run import fresh_postgresql_url, fresh_url
from tests.integration.test_legacy_stopped import Move
from tests.integration.test_operator_states import sqlite_made, sqlite_templates
from tests.integration.test_replaced_targets import Accidents, _answers, _soon
from tests.support.operators import Operators

from journeymesh.databases import database
from journeymesh.errors import SourceUnreadable, StoreUnavailable
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import SCHEMA, Control
from journeymesh.strangler.routes import RoutesUnreadable
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.targets import StoreLost

__all__ = ["fresh_postgresql_url", "fresh_url", "sqlite_templates"]


@contextlib.contextmanager
def _held_for_writing(file: Path) -> Iterator[None]:
    """Another process's transaction that writes to this SQLite file and does not end."""
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"isolation_level": None})
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
    engine.dispose()


def test_a_store_that_is_another_one_does_not_answer_while_the_control_database_is_held(
    fresh_url: Callable[[], str], tmp_path: Path
) -> None:
    url = fresh_url()
    move = Move(url, tmp_path)
    with move.door() as door:
        right = _answers(door)
        with _held_for_writing(tmp_path / "control.db"):
            Accidents(url, tmp_path).make_anew()
            assert _soon(lambda: door.answering_name(door.policy_book.terms("P0")[0]) == "legacy")
            assert _answers(door) == right
        assert _soon(lambda: not move.status()["car"].complete)


def test_a_target_that_is_not_there_is_not_ready_for_the_next_phase(tmp_path: Path) -> None:
    move = Move(f"sqlite:///{tmp_path}/store.db", tmp_path)
    shadow = (Phase.SHADOW, Phase.SHADOW)
    with move.installation(*shadow) as installation:
        installation.applying("ann").apply("because")
        installation.feeder().run(once=True)
    assert move.status()["van"].closed_gates == ()
    Accidents(move.store_url, tmp_path)._delete_files()
    found = move.status()["van"]
    assert found.closed_gates == (f"the target cannot be read: {found.closed_gates[0].partition(': ')[2]}",)
    assert "there is no such file" in found.closed_gates[0]
    with move.installation(Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW) as installation:
        (outcome,) = installation.applying("ann").apply("because")
    assert outcome.closed == found.closed_gates
    assert move.status()["van"].phase == "shadow"


@pytest.fixture
def operators(sqlite_templates: Path) -> Iterator[Operators]:
    """The machine, for one sequence that is written down."""

    class Made(Operators):
        made = staticmethod(sqlite_made(sqlite_templates))

    found = Made()
    yield found
    found.teardown()


def _all_is_right(operators: Operators) -> None:
    operators.every_answer_is_right_or_an_error_that_has_a_cause()
    operators.nothing_is_green_and_wrong()


def _completeness(operators: Operators, name: str) -> bool:
    with operators.move.command() as installation:
        installation.check_targets()
    route = operators.move.recorded().get(name)
    assert route is not None
    return route.complete


def test_a_copy_from_amid_a_fill_is_an_older_copy(operators: Operators) -> None:
    """A fill's chunks are writes as well as what changes."""
    operators.begin([0, 0, 0])
    operators.ask_for_a_phase("car", Phase.SHADOW)
    operators.let_the_feeder_run(3, False)
    operators.copy_a_store("one", 0)
    assert not _completeness(operators, "car")
    operators.let_the_feeder_run(20, False)
    assert _completeness(operators, "car")
    operators.restore_a_store("one", 0)
    assert not _completeness(operators, "car")
    _all_is_right(operators)


def test_a_feeder_does_not_write_over_an_older_copy_as_if_it_were_its_store(operators: Operators) -> None:
    """Its next write would carry the count that the copy lacks, and nobody could tell it from the store any more."""
    operators.begin([0, 3, 0])
    operators.let_the_feeder_run(4, True)
    operators.copy_a_store("one", 0)
    operators.write("V0", 4, 2)
    operators.let_the_feeder_run(2, False)
    operators.restore_a_store("one", 0)
    operators.write("V1", 5, 2)
    operators.let_the_feeder_run(1, False)
    assert not _completeness(operators, "car")
    _all_is_right(operators)
    operators.let_the_feeder_run(20, True)
    assert _completeness(operators, "car")
    _all_is_right(operators)


def test_a_store_of_a_retired_slice_is_not_filled_anew_for_another(operators: Operators) -> None:
    """It would get a mark of its own, and be taken for the store that holds the retired slice."""
    operators.begin([0, 3, 2])
    operators.copy_a_store("one", 0)
    operators.ask_for_a_phase("car", Phase.RETIRED)
    assert operators.move.wanted["car"].phase is Phase.RETIRED
    operators.copy_a_store("one", 0)
    operators.make_a_store_anew("one")
    assert not operators.move.feed()
    assert isinstance(operators.move.refused, StoreLost)
    assert "(car)" in str(operators.move.refused)
    replica = operators.move.replica
    assert replica is not None
    replica.look()
    with pytest.raises(RoutesUnreadable, match="not the store that was fed"):
        replica.door.journeys(JourneyQuery(policy="P0"))
    _all_is_right(operators)
    operators.restore_a_store("one", 0)
    assert operators.move.feed()
    replica.look()
    assert len(replica.door.journeys(JourneyQuery(policy="P0"))) == 1
    _all_is_right(operators)


def test_a_policy_is_not_answered_without_the_terms_that_legacy_alone_answers(operators: Operators) -> None:
    """P3 is a slice's in ``target`` for one term and legacy's for the next."""
    operators.begin([0, 3, 0])
    operators.write("V3", 5, 2)
    operators.stop_legacy()
    operators.restart_the_door()
    replica = operators.move.replica
    assert replica is not None
    assert len(replica.door.journeys(JourneyQuery(policy="P0"))) == 1
    with pytest.raises(SourceUnreadable):
        replica.door.journeys(JourneyQuery(policy="P3"))
    with pytest.raises(SourceUnreadable):
        replica.door.policies("P3")


def test_a_control_database_that_is_held_is_an_error_and_no_wait_without_end(
    fresh_postgresql_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(fresh_postgresql_url())
    control.migrate()
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    with control.reading() as holding:
        holding.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA.writers_lock})")
        with pytest.raises(StoreUnavailable, match="another writer holds it"), control.writing():
            raise AssertionError("it was not held")
    with control.writing():
        pass
    control.close()
