"""What a revision and the tree as it is render, and how that differs: what merging it would change in a cluster."""

from __future__ import annotations

import difflib
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from journeymesh.delivery.checks.subject import AT_ONCE, Subject
from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.rendering import rendered
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import NotFound


class UnknownRevision(NotFound):
    """Git knows no such revision."""


@dataclass(frozen=True, slots=True)
class RenderedDifference:
    """How one application's rendering differs, as a unified diff."""

    application: str
    text: str

    @property
    def added(self) -> int:
        return sum(line.startswith("+") for line in self.text.splitlines()[2:])

    @property
    def removed(self) -> int:
        return sum(line.startswith("-") for line in self.text.splitlines()[2:])


def differences(tree: Tree, revision: str, environments: Iterable[str] = ENVIRONMENTS) -> Iterator[RenderedDifference]:
    """Each application that renders other than in ``revision``, by name; the same bytes each time.

    Raises:
        UnknownRevision: git does not know it.
    """
    chosen = tuple(environments)
    with tempfile.TemporaryDirectory(prefix="journeymesh-") as place:
        before = _texts(_checked_out(tree, revision, Path(place)), chosen)
    after = _texts(tree, chosen)
    for name in sorted(before.keys() | after.keys()):
        lines = difflib.unified_diff(
            before.get(name, "").splitlines(keepends=True),
            after.get(name, "").splitlines(keepends=True),
            f"{name} in {revision}",
            f"{name} here",
        )
        text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
        if text:
            yield RenderedDifference(name, text)


def _checked_out(tree: Tree, revision: str, place: Path) -> Tree:
    try:
        commit = called(
            ["git", "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}"], folder=tree.root
        )
        held = called(["git", "ls-tree", "--name-only", commit.strip()], folder=tree.root).split("\n")
    except ProgramFailed as error:
        raise UnknownRevision(
            f"git knows no revision {revision} in {tree.root}", todo="name a commit, branch or tag"
        ) from error
    folder = place / "tree"
    (folder / "customization").mkdir(parents=True)
    wanted = [name for name in ("customization", "release") if name in held]
    if wanted:
        archive = place / "tree.tar"
        called(["git", "archive", "--format=tar", f"--output={archive}", commit.strip(), *wanted], folder=tree.root)
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    return Tree(folder.resolve())


def _texts(tree: Tree, environments: tuple[str, ...]) -> dict[str, str]:
    subject = Subject(tree, environments)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        made = threads.map(lambda unit: (unit.application, _text(unit.folder, tree)), subject.units)
        found = dict(made)
    for environment in environments:
        files = sorted(path for path in subject.files if path.is_relative_to(tree.applications(environment)))
        if files:
            found[f"root-appbundle-app-{environment}"] = "".join(
                f"---\n{path.read_text('utf-8', 'replace').removeprefix('---').lstrip()}" for path in files
            )
    return found


def _text(folder: Path, tree: Tree) -> str:
    try:
        return rendered(folder)
    except ProgramFailed as error:
        return f"does not render: {error.what}\n".replace(str(tree.root), ".")
