from __future__ import annotations

from pathlib import Path

import pytest

from journeymesh.delivery.release.approved import ApprovedDigests, LedgerInvalid
from journeymesh.delivery.tree import Tree
from tests.support.released_trees import ONE, THREE, TWO


def ledger(folder: Path, text: str | None = None) -> ApprovedDigests:
    found = ApprovedDigests(Tree(folder.resolve()), "dev")
    if text is not None:
        found.path.parent.mkdir(parents=True)
        found.path.write_text(text)
    return found


def test_lines_are_sorted_and_comments_stay(tmp_path: Path) -> None:
    held = ledger(tmp_path, f"# ours\n\n{TWO}  worker\n# withdrawn: {THREE}\n")
    assert held.approve(ONE, "journeymesh")
    assert held.path.read_text() == f"# ours\n\n# withdrawn: {THREE}\n{ONE}  journeymesh\n{TWO}  worker\n"


def test_a_digest_is_entered_once(tmp_path: Path) -> None:
    held = ledger(tmp_path)
    assert held.approve(ONE, "journeymesh")
    before = held.path.read_bytes()
    assert not held.approve(ONE, "journeymesh")
    assert held.path.read_bytes() == before


def test_a_comment_approves_nothing(tmp_path: Path) -> None:
    assert ledger(tmp_path, f"#{ONE}  journeymesh\n").digests() == frozenset()


@pytest.mark.parametrize("line", [f" {ONE}  indented", ONE, f"{ONE[:-1]}  short", "journeymesh:latest", f"{ONE}\tx"])
def test_a_line_that_the_cluster_would_not_read_is_an_error_with_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(LedgerInvalid, match=r"release/dev/approved-digests:2"):
        ledger(tmp_path, f"# head\n{line}\n").entries()


def test_an_environment_begins_with_an_empty_ledger_that_kustomize_can_render(tmp_path: Path) -> None:
    held = ledger(tmp_path)
    assert held.write_kustomization()
    assert not held.write_kustomization()
    assert held.digests() == frozenset()
    assert "disableNameSuffixHash: true" in (held.path.parent / "kustomization.yaml").read_text()
