"""A copy of the delivery tree that is sabotaged by a line at a time, and what ``delivery check`` finds of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.findings import Finding
from journeymesh.delivery.checks.subject import Memory, Subject
from journeymesh.delivery.tree import Tree


@dataclass(frozen=True, slots=True)
class Sabotage:
    """In the first line of ``path`` that holds ``line``, that text becomes ``instead``; None: the line goes."""

    what: str
    path: str
    line: str
    instead: str | None
    rule: str


class SabotagedTree:
    """A copy of the repository's tree, in which one sabotage at a time is made and taken back."""

    def __init__(self, repository: Path, folder: Path) -> None:
        for name in ("customization", "release"):
            shutil.copytree(repository / name, folder / name, symlinks=True)
        self._folder = folder.resolve()
        self._memory = Memory()
        self.before = frozenset(self.findings())
        """What the check finds in the tree as it is: nothing, where all is well."""

    def findings(self) -> list[Finding]:
        """What the check finds now."""
        return findings(Subject(Tree.at(self._folder), memory=self._memory))

    def found(self, sabotage: Sabotage) -> list[Finding]:
        """What the check finds of a sabotage, and did not find before."""
        with self._made(sabotage):
            return [each for each in self.findings() if each not in self.before]

    @contextmanager
    def _made(self, sabotage: Sabotage) -> Iterator[None]:
        path = self._folder / sabotage.path
        whole = path.read_text("utf-8")
        lines = whole.splitlines(keepends=True)
        at = next((index for index, line in enumerate(lines) if sabotage.line in line), None)
        assert at is not None, (
            f"{sabotage.path} has no line with {sabotage.line!r}: the sabotage has to be written anew"
        )
        made = "" if sabotage.instead is None else lines[at].replace(sabotage.line, sabotage.instead, 1)
        path.write_text("".join([*lines[:at], made, *lines[at + 1 :]]), "utf-8")
        try:
            yield
        finally:
            path.write_text(whole, "utf-8")


def caught(sabotages: Sequence[Sabotage], repository: Path, folder: Path) -> dict[str, bool]:
    """Every sabotage by what it does, and whether the right rule caught it: what `make bench-delivery` counts."""
    tree = SabotagedTree(repository, folder)
    return {each.what: any(found.rule == each.rule for found in tree.found(each)) for each in sabotages}
