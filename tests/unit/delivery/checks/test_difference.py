"""What a change of the tree changes in what is rendered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from journeymesh.delivery.checks.difference import UnknownRevision, differences
from journeymesh.delivery.tree import Tree
from tests.support.one_service import needs_kustomize, objects, written

pytestmark = [needs_kustomize, pytest.mark.skipif(shutil.which("git") is None, reason="git is not on PATH")]


def git(root: Path, *argv: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *who, *argv), cwd=root, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    held = written(tmp_path)
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=first")
    return held


def test_a_tree_that_did_not_change_differs_in_nothing(tree: Tree):
    assert list(differences(tree, "HEAD", ("dev",))) == []


def test_a_change_of_base_shows_in_each_application_that_renders_it(tree: Tree):
    held = objects()
    held["stable"]["spec"]["replicas"] = 3
    written(tree.root, held)
    [difference] = differences(tree, "HEAD", ("dev",))
    assert difference.application == "greeter-app-dev"
    assert (difference.added, difference.removed) == (1, 1)
    assert "-  replicas: 1\n+  replicas: 3\n" in difference.text
    assert difference.text.startswith("--- greeter-app-dev in HEAD\n+++ greeter-app-dev here\n")


def test_the_same_change_gives_the_same_bytes(tree: Tree):
    held = objects()
    held["stable"]["spec"]["replicas"] = 3
    written(tree.root, held)
    first = [each.text for each in differences(tree, "HEAD", ("dev",))]
    assert first == [each.text for each in differences(tree, "HEAD", ("dev",))]


def test_what_is_reformatted_only_differs_in_nothing(tree: Tree):
    path = tree.service("greeter") / "base" / "stable.yaml"
    path.write_text("# a comment\n" + path.read_text("utf-8"), "utf-8")
    assert list(differences(tree, "HEAD", ("dev",))) == []


def test_a_child_that_is_taken_away_shows_in_its_parent(tree: Tree):
    tree.application("greeter", "dev").unlink()
    [difference] = differences(tree, "HEAD", ("dev",))
    assert (difference.application, difference.added) == ("root-appbundle-app-dev", 0)


def test_what_does_not_render_says_so_in_the_difference(tree: Tree):
    (tree.service("greeter") / "base" / "stable.yaml").unlink()
    [difference] = differences(tree, "HEAD", ("dev",))
    assert "+does not render: " in difference.text
    assert str(tree.root) not in difference.text


def test_a_revision_before_the_tree_renders_nothing(tmp_path: Path):
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "commit", "--allow-empty", "--message=empty")
    tree = written(tmp_path)
    names = [each.application for each in differences(tree, "HEAD", ("dev",))]
    assert names == ["greeter-app-dev", "root-appbundle-app-dev"]


@pytest.mark.parametrize("revision", ["nowhere", "--output=x"])
def test_a_revision_that_git_does_not_know_is_told(tree: Tree, revision: str):
    with pytest.raises(UnknownRevision, match="git knows no revision"):
        list(differences(tree, revision, ("dev",)))
    assert not (tree.root / "x").exists()
