"""Whatever operators do to stores, plans, processes and the control database: all answers are those of a fresh run
over the same legacy, or the slice is recorded as incomplete and legacy answers; nothing is green and wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.support.operated_stores import PostgresqlStores, SqliteStores, Stores
from tests.support.operators import STEPS, Operators, make_templates
from tests.support.proving import times

from journeymesh.strangler.control import SCHEMA


@pytest.fixture(scope="module")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("templates")
    held = SqliteStores(folder, folder)
    make_templates(held)
    return folder


def _run(made: Callable[[Path], tuple[Stores, Stores]], kind: str, steps: int) -> None:
    """So many steps, each followed by the invariants."""
    machine = type("Made", (Operators,), {"made": staticmethod(made)})
    Operators.steps, chance = 0, 17
    while Operators.steps < steps:
        run_state_machine_as_test(
            seed(chance)(machine),
            settings=settings(
                max_examples=max((steps - Operators.steps) // STEPS, 1),
                stateful_step_count=STEPS,
                database=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
        chance += 1
    print(f"operators on {kind}: {Operators.steps} steps, seeds 17 to {chance - 1}")


def sqlite_made(templates: Path) -> Callable[[Path], tuple[Stores, Stores]]:
    """What makes fresh files from the templates in this folder."""

    def made(folder: Path) -> tuple[Stores, Stores]:
        held = SqliteStores(folder, templates)
        return held, held

    return made


def test_operators_on_sqlite(sqlite_templates: Path) -> None:
    _run(sqlite_made(sqlite_templates), "sqlite", times(2_000, 60))


def test_operators_on_postgresql(postgresql_url: str) -> None:
    templates = PostgresqlStores(postgresql_url, SCHEMA.writers_lock)
    try:
        for name in ("store_template", "control_template"):
            templates.make(name)
        make_templates(templates)

        def made(folder: Path) -> tuple[Stores, Stores]:
            held = PostgresqlStores(postgresql_url, SCHEMA.writers_lock)
            held.templates = templates.prefix
            return held, held

        _run(made, "postgresql", times(2_000, 40))
    finally:
        templates.close()
