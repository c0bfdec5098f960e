"""Changes made beside the working tree, in a worktree of their own: kept as commits or given as a patch.

Nobody's checkout is in the way or half-changed: the commits exist whole before the branch moves to them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError


class NotOnABranch(UsageError):
    """There is no branch that could be pushed."""


def git(folder: Path, *arguments: str) -> str:
    """What git answers there.

    Raises:
        ProgramFailed: with git's own words.
    """
    return called(["git", *arguments], folder=folder).strip()


def revision_of(tree: Tree, name: str = "HEAD") -> str:
    """The commit of this name, in full.

    Raises:
        UsageError: there is none.
    """
    try:
        return git(tree.root, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    except ProgramFailed as error:
        raise UsageError(f"{tree.root} has no commit {name}", todo="name one that is there; fetch it first") from error


def require_clean(tree: Tree, paths: Sequence[Path]) -> None:
    """Refuse what is changed and not committed, or not in git at all.

    Raises:
        ReleaseRefused: naming the files.
    """
    named = [tree.relative(path) for path in paths]
    status = git(tree.root, "status", "--porcelain", "--untracked-files=all", "--", *named)
    if status:
        files = ", ".join(sorted(line[2:].strip() for line in status.splitlines()))
        raise ReleaseRefused(f"not committed: {files}", todo="commit or discard that first")


def who(tree: Tree) -> str:
    """``Name <address>`` of whoever commits here."""
    return git(tree.root, "var", "GIT_COMMITTER_IDENT").rpartition(">")[0] + ">"


@dataclass
class Changes:
    """A worktree at one commit, in which changes are made and committed one after another."""

    tree: Tree
    """The tree to change: the worktree's, not the user's."""
    home: Tree
    begun: str
    sign: str | None = None
    """Sign with this key; None: as git is configured; ``""``: with git's default key."""
    commits: list[str] = field(default_factory=list)

    def commit(self, message: str) -> str | None:
        """Keep what was changed since. None: nothing was."""
        folder = self.tree.root
        git(folder, "add", "--all")
        if not git(folder, "status", "--porcelain"):
            return None
        signing = [] if self.sign is None else [f"--gpg-sign={self.sign}" if self.sign else "--gpg-sign"]
        git(folder, "commit", "--quiet", *signing, "--message", message)
        self.commits.append(git(folder, "rev-parse", "HEAD"))
        return self.commits[-1]

    def patch(self) -> str:
        """The commits as ``git am`` takes them."""
        return called(["git", "format-patch", "--stdout", f"{self.begun}..HEAD"], folder=self.tree.root)

    def keep(self) -> None:
        """Move the branch that is checked out to the last commit.

        Raises:
            ReleaseRefused: it moved meanwhile, or files in the working tree are in the way.
        """
        if not self.commits:
            return
        try:
            git(self.home.root, "merge", "--quiet", "--ff-only", self.commits[-1])
        except ProgramFailed as error:
            raise ReleaseRefused(f"the branch cannot be moved: {error.what}", todo="fix this and try again") from error

    def push(self, commit: str) -> None:
        """Bring this commit, and those before it, to the branch's remote.

        Raises:
            NotOnABranch: there is none. ReleaseRefused: the remote refuses, as it does when it moved on.
        """
        remote, branch = _remote(self.home)
        try:
            git(self.home.root, "push", "--quiet", remote, f"{commit}:refs/heads/{branch}")
        except ProgramFailed as error:
            raise ReleaseRefused(
                f"{remote} rejected the push: {error.what}", todo="pull, then try again; nothing was changed here"
            ) from error


@contextmanager
def changes(tree: Tree, sign: str | None = None, at: str = "HEAD") -> Iterator[Changes]:
    """A worktree to make changes in; gone at the end, its commits are not."""
    begun = revision_of(tree, at)
    with tempfile.TemporaryDirectory(prefix="journeymesh-release-") as folder:
        place = Path(folder).resolve() / "tree"
        git(tree.root, "worktree", "add", "--quiet", "--detach", str(place), begun)
        try:
            yield Changes(Tree(place), tree, begun, sign)
        finally:
            git(tree.root, "worktree", "remove", "--force", str(place))


def _remote(tree: Tree) -> tuple[str, str]:
    """The remote and the branch there that the branch checked out follows, else ``origin`` and its own name."""
    try:
        branch = git(tree.root, "symbolic-ref", "--short", "HEAD")
    except ProgramFailed as error:
        raise NotOnABranch(f"{tree.root} is not on a branch", todo="check one out to push") from error
    try:
        return git(tree.root, "config", f"branch.{branch}.remote"), git(
            tree.root, "config", f"branch.{branch}.merge"
        ).removeprefix("refs/heads/")
    except ProgramFailed:
        return "origin", branch
