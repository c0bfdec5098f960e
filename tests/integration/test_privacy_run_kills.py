"""A privacy run that is killed at any call of a function, and run again, leaves what an uninterrupted one does."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.proving import times
from tests.support.records import BEGIN, DAY, fixes, journey, journeys, policy, refusal

from journeymesh.journeys.policies import Policy
from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.privacy_records import PrivacyRecords
from journeymesh.keys.providers.local_file import LocalFileProvider
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import KeyStoreDatabase
from journeymesh.keys.tombstone_tables import TombstoneDatabase
from journeymesh.keys.tombstones import Tombstones
from journeymesh.ledger.audit import Audit, RecordQuery
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.privacy.former_customers import CustomerState, FormerCustomer, PolicyName
from journeymesh.privacy.treatment import STEPS, PrivacyRun, step_left
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.sql import SqlStore
from journeymesh.strangler.control import Control, shadow_coverage
from journeymesh.strangler.forgetting import ControlForgetting
from journeymesh.wiring.access import AuditedTreatments

KILLS = times(64, 8)
FORK = mp.get_context("fork")
ENDED = BEGIN + 20 * DAY
GONE = [policy(f"GONE-{n}", vehicle=f"car-{n}", valid_from=BEGIN, valid_to=ENDED) for n in range(4)]
STAYS = [policy(f"STAYS-{n}", vehicle=f"van-{n}", valid_from=BEGIN, valid_to=None) for n in range(2)]


def fill(folder: Path) -> None:
    """Everything that a run works on, in files of this folder."""
    with closing(SqlStore.connect(f"sqlite:///{folder}/store.db")) as store:
        store.migrate()
        store.write(StoreBatch(policies=[*GONE, *STAYS]))
        for each in (*GONE, *STAYS):
            at = BEGIN + 2 * DAY
            store.write(
                StoreBatch(
                    journeys=journeys(journey(str(each.vehicle), at, policy=each.number, policy_from=BEGIN)),
                    fixes=fixes(str(each.vehicle), at, at + timedelta(minutes=5)),
                    refusals=[refusal(1, vehicle=each.vehicle, fixed_at=BEGIN + DAY)],
                )
            )
    with closing(Control(f"sqlite:///{folder}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            for each in (*GONE, *STAYS):
                row = {"slice": "all", "policy": each.number, "compared": 1, "last_us": 1}
                connection.execute(sa.insert(shadow_coverage).values(**row))
    for database in (AuditDatabase(f"sqlite:///{folder}/audit.db"),):
        database.migrate()
        database.close()
    with Opened(folder) as opened:
        opened.keys.migrate()
        opened.tombstones.migrate()
        opened.keys.ensure([(each.term, None) for each in (*GONE, *STAYS)])


class Opened:
    """What a run works on, opened."""

    def __init__(self, folder: Path) -> None:
        self._open = ExitStack()
        provider = LocalFileProvider(folder / "provider.keys")
        self.keys = SqlKeyStore(KeyStoreDatabase(f"sqlite:///{folder}/keys.db"), provider)
        self.tombstones = Tombstones(TombstoneDatabase(f"sqlite:///{folder}/tombstones.db"), CommonKey(bytes(32), 1))
        self.store = SqlStore.connect(f"sqlite:///{folder}/store.db")
        self.control = Control(f"sqlite:///{folder}/control.db")
        self.database = AuditDatabase(f"sqlite:///{folder}/audit.db")
        for each in (self.keys, self.tombstones, self.store, self.control, self.database):
            self._open.callback(each.close)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def due(self) -> list[FormerCustomer]:
        left: list[Policy] = self.tombstones.without_treated(self.store.policies())
        return [
            FormerCustomer(PolicyName(each.tenant, each.number), (each,), ENDED, CustomerState.due)
            for each in left
            if each.valid_to is not None and each.valid_to < datetime.now(UTC)
        ]

    def run(self, on_step: Callable[[str], None]) -> None:
        audit = Audit(self.database)
        with closing(audit.writer()) as writer:
            PrivacyRun(
                stores=[self.store], keys=self.keys, records=PrivacyRecords(self.keys), tombstones=self.tombstones,
                forgetting=[ControlForgetting(self.control, self.store.policies)],
                recorder=AuditedTreatments(audit, writer), on_step=on_step,
            ).treat(self.due)  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What a run leaves, without what is random."""
        records = Audit(self.database).query(RecordQuery(kind="privacy.treated"))
        with self.control.reading() as connection:
            covered = sorted(connection.execute(sa.select(shadow_coverage.c.policy)).scalars())
        return {
            "store": self.store.digest(),
            "tombstones": self.tombstones.count(),
            "control": covered,
            "audited": (len(records), len({each.body["term"] for each in records})),
            "runs": len(self.keys.treatments()),
            "left": step_left(PrivacyRecords(self.keys)),
            "secrets": sorted(term.number for term in self.keys.keys_of([each.term for each in (*GONE, *STAYS)])),
            "former index key": self.keys.former_index_key(),
        }


def run_once(folder: Path, killed_at: int | None, counted: Any) -> None:
    """In a process of its own: a run that ends with this call of a function, or counts them up to each step."""
    calls = 0

    def on_step(step: str) -> None:
        counted[STEPS.index(step)] = calls

    def on_call(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        if event == "call":
            calls += 1
            if calls == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    with Opened(folder) as opened:
        sys.setprofile(on_call)
        opened.run(on_step)
        sys.setprofile(None)


def in_process(folder: Path, killed_at: int | None = None) -> tuple[int | None, list[int]]:
    """(exit code, calls of functions up to the end of each step)."""
    counted = FORK.Array("q", len(STEPS))
    child = FORK.Process(target=run_once, args=(folder, killed_at, counted))
    child.start()
    child.join(300)
    return child.exitcode, list(counted)


def state_of(folder: Path) -> dict[str, Any]:
    with Opened(folder) as opened:
        return opened.state()


@pytest.mark.timeout(times(3600, 600))
def test_killed_at_any_call_it_goes_on_and_leaves_what_an_uninterrupted_run_does(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    fill(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    exit_code, calls = in_process(tmp_path / "whole")
    assert exit_code == 0
    expected = state_of(tmp_path / "whole")
    assert expected["control"] == expected["secrets"] == [each.number for each in STAYS]
    assert (expected["tombstones"], expected["audited"], expected["runs"], expected["left"]) == (4, (4, 4), 1, None)
    chosen, steps = random.Random(20261201), set()
    for number in range(KILLS):
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(tmp_path / "before", folder)
        # Within each step in turn: most calls are made by a few of them.
        step = number % len(STEPS)
        at = chosen.randrange(calls[step - 1] + 1 if step else 1, calls[step] + 1)
        assert in_process(folder, at)[0] == -signal.SIGKILL, at
        with Opened(folder) as opened:
            steps.add(step_left(PrivacyRecords(opened.keys)))
        if number % 2:  # and again while it goes on
            in_process(folder, chosen.randrange(1, calls[-1]))
        assert in_process(folder)[0] == 0, at
        assert state_of(folder) == expected, at
        shutil.rmtree(folder)
    assert len(steps) > 4  # kills met different steps of the run
