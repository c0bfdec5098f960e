"""Cutover and roll back under load, against the server of ``JOURNEYMESH_TEST_MONGODB``; and killed at every step."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.plans import plan_of
from tests.unit.strangler.test_gates import GOOD

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.apply import Applying
from journeymesh.strangler.control import Control
from journeymesh.strangler.plan import SlicePlan
from journeymesh.strangler.routes import Route, mark_completeness, read_routes
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.strangler.status import history_of

POLICIES = [Policy(number="P1", valid_from=datetime(2024, 1, 1, tzinfo=UTC), device="V1")]


@pytest.mark.usefixtures("mongodb_url")
def test_no_request_fails_and_no_answer_changes_while_slices_move() -> None:
    from benchmarks.strangler_cutover import cycles

    found = cycles(6, requests_per_s=100, vehicles=3, days=1)
    assert (found["failed"], found["changed"]) == (0, 0), found["first_failure"]
    assert found["by_side"]["legacy"] > 20
    assert found["by_side"]["embedded"] > 20


def _applying(control: Control, phase: Phase) -> Applying:
    def nothing(*_: object) -> None: ...

    plan = plan_of(SlicePlan(name="pilot", policies=Selector(), target="embedded", phase=phase))
    return Applying(
        control=control, plan=plan, policies=lambda: POLICIES, gate_inputs=lambda route: GOOD, prepare=nothing,
        retire=nothing, who="ann",
    )  # fmt: skip


def _killed_at(statement: int, url: str, phase: Phase) -> bool:
    """Apply in a process that is killed before its n-th statement, or before the commit behind it; whether it was."""
    child = os.fork()
    if not child:
        left = [statement]

        def count(*_: object) -> None:
            left[0] -= 1
            if left[0] <= 0:
                os._exit(9)

        control = Control(url)
        sa.event.listen(control.engine(), "before_cursor_execute", count)
        sa.event.listen(control.engine(), "commit", count)
        _applying(control, phase).apply("because")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize(
    ("before", "after"),
    [(Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW), (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.SHADOW)],
)
def test_a_crash_at_any_statement_of_a_move_is_completed_by_the_next_apply(
    tmp_path: Path, before: Phase, after: Phase
) -> None:
    killed = 0
    for statement in range(1, 60):
        url = f"sqlite:///{tmp_path}/{statement}.db"
        control = Control(url)
        control.migrate()
        _applying(control, Phase.SHADOW).apply("begin")
        mark_completeness(control.writing(), ["pilot"], True, None)
        if before is not Phase.SHADOW:
            _applying(control, before).apply("on")
        control.close()
        if not _killed_at(statement, url, after):
            break
        killed += 1
        [route] = read_routes(control).routes
        assert route.phase in (before, after)
        assert moves_told(control) == (route.phase is after) + (before is not Phase.SHADOW) + 1
        _applying(control, after).apply("again")
        assert _phase(control).phase is after
        control.close()
    assert killed >= 12


def moves_told(control: Control) -> int:
    return sum(entry.outcome == "moved" for entry in history_of(control))


def _phase(control: Control) -> Route:
    return read_routes(control).routes[0]
