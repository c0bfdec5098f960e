"""The decider agrees with the oracle, and the comparison would find any guard that was missing."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeymesh.wire.identity import Reason
from tests.differential.cases import KINDS
from tests.differential.comparison import compare, expected, expected_in
from tests.differential.driven import Driven
from tests.differential.mutants import Mutant, mutants
from tests.differential.real_rooms import driven_by_real_rooms, with_routed_tokens
from tests.differential.world import PROVIDERS, made

SEEDS = (11, 12, 13, 14)
REQUESTS = 26_000
"""For each seed; 104,000 in all."""
MUTANT_REQUESTS, MUTANT_QUESTIONS = 4_500, 1_000
LEAST_CAUGHT = 50


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """Faults are what is tried; their log is not of interest."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_is_what_the_documentation_says(seed: int) -> None:
    cases = expected(seed, REQUESTS, REQUESTS // 10)
    found = compare(Driven(cases.world), cases)
    assert found.differences == []
    assert found.disagreements == 0
    assert found.requests == REQUESTS
    assert found.allows >= 0.2 * REQUESTS
    assert len(found.tokens) >= 300
    assert found.providers == set(PROVIDERS)
    assert set(found.reasons) == {reason.value for reason in Reason}


def test_decisions_are_the_same_where_no_verdict_is_remembered() -> None:
    cases = expected(21, 4_000, 1_000)
    found = compare(Driven(cases.world, kept=0), cases)
    assert (found.disagreements, found.requests) == (0, 4_000)


def test_decisions_are_the_same_where_few_verdicts_are_remembered() -> None:
    cases = expected(22, 4_000, 1_000)
    found = compare(Driven(cases.world, kept=3), cases)
    assert (found.disagreements, found.requests) == (0, 4_000)


def test_decisions_are_the_same_over_the_real_providers_and_the_real_book_of_approvals(tmp_path: Path) -> None:
    cases = expected_in(with_routed_tokens(made(41)), 41, 10_000)
    with driven_by_real_rooms(cases.world, tmp_path) as driven:
        found = compare(driven, cases)
    assert found.differences == []
    assert found.disagreements == 0
    assert found.allows >= 2_000
    assert set(found.reasons) == {reason.value for reason in Reason}


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_decider_without_one_guard_is_found_out(mutant: Mutant) -> None:
    cases = expected(31, MUTANT_REQUESTS, MUTANT_QUESTIONS)
    found = compare(mutant.driven(cases.world), cases, enough=LEAST_CAUGHT)
    print(f"{mutant.name}: {found.disagreements} of {found.requests + found.cedar_questions}")
    assert found.disagreements >= LEAST_CAUGHT


def test_the_same_cases_find_nothing_where_every_guard_is_there() -> None:
    cases = expected(31, MUTANT_REQUESTS, MUTANT_QUESTIONS)
    found = compare(Driven(cases.world), cases)
    assert found.disagreements == 0


def test_every_kind_of_request_is_among_the_cases() -> None:
    kinds = {case.kind for case, _ in expected(31, MUTANT_REQUESTS, MUTANT_QUESTIONS).decisions}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("name", ["oracle.py", "world.py", "cases.py"])
def test_the_oracle_shares_no_code_with_the_product(name: str) -> None:
    tree = ast.parse((Path(__file__).parent / name).read_text("utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names]
    assert [module for module in modules if module.startswith("journeymesh")] == []
