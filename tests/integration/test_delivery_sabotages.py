"""One-line sabotages of the repository's own delivery tree: ``delivery check`` catches each, by the right rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.delivery_sabotages import SABOTAGES
from tests.support.one_service import needs_kustomize
from tests.support.sabotaged_tree import Sabotage, SabotagedTree

REPOSITORY = Path(__file__).parents[2]
pytestmark = needs_kustomize


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SabotagedTree:
    return SabotagedTree(REPOSITORY, tmp_path_factory.mktemp("sabotaged") / "tree")


def test_the_tree_as_it_is_has_no_faults(tree: SabotagedTree):
    assert [f"{each.path}:{each.line}: {each.rule}: {each.what}" for each in sorted(tree.before)] == []


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.what)
def test_a_sabotage_is_caught_by_the_right_rule(tree: SabotagedTree, sabotage: Sabotage):
    found = tree.found(sabotage)
    assert sabotage.rule in {each.rule for each in found}, [f"{each.rule}: {each.what}" for each in found]
    assert all(each.path and each.line > 0 and each.fix for each in found)


def test_there_are_enough_sabotages_and_no_two_are_the_same():
    assert len(SABOTAGES) >= 45
    assert len({(each.path, each.line, each.instead) for each in SABOTAGES}) == len(SABOTAGES)
