from pathlib import Path

import pytest

from journeymesh.delivery.addresses import Addresses, AddressInvalid, addresses, write_addresses
from tests.support.small_tree import APPLICATION, small_tree

OURS = Addresses("https://git.insurer.example/platform.git", "registry.insurer.example:5000/journeys")


def test_both_addresses_are_written_and_nothing_else_changes(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    assert addresses(tree) == Addresses("https://git.invalid/journeymesh.git", "registry.invalid")
    assert len(write_addresses(tree, OURS)) == 2
    assert addresses(tree) == OURS
    told = tree.application("greeter", "dev").read_text("utf-8")
    assert told == APPLICATION.replace("https://git.invalid/journeymesh.git", OURS.repository)


def test_written_again_nothing_changes(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    write_addresses(tree, OURS)
    assert write_addresses(tree, OURS) == []


def test_a_charts_repository_is_not_ours_to_write(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    chart = tree.application("chart", "dev")
    chart.write_text(
        "kind: Application\nspec:\n  source: {chart: testkube, repoURL: https://charts.example}\n", "utf-8"
    )
    write_addresses(tree, OURS)
    assert "https://charts.example" in chart.read_text("utf-8")


def test_a_tree_that_names_two_repositories_is_refused(tmp_path: Path) -> None:
    tree = small_tree(tmp_path)
    other = tree.application("other", "dev")
    other.write_text("kind: Application\nspec:\n  source: {repoURL: https://git.example/else.git}\n", "utf-8")
    with pytest.raises(AddressInvalid, match="more than one"):
        addresses(tree)


@pytest.mark.parametrize(
    ("repository", "registry"),
    [("not an address", "registry.example"), ("https://git.example/a.git", "https://registry.example")],
)
def test_what_is_no_address_is_refused(repository: str, registry: str) -> None:
    with pytest.raises(AddressInvalid):
        Addresses(repository, registry)
