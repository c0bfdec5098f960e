"""A clone of the repository that Argo CD reads, for those who add commits to it. It is never anybody's own checkout.

The clone is a cache: whatever was under way in it when a process ended is thrown away by the next ``freshen``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from journeymesh.delivery.programs import ProgramFailed, ProgramMissing, called
from journeymesh.errors import JourneymeshError, UsageError

_OPENPGP: Final = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"
QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "LC_ALL": "C"}


class RepositoryUnreadable(UsageError):
    """The repository cannot be cloned or fetched."""


class PushRefused(JourneymeshError):
    """The repository took no commit: somebody was faster, or a rule of the host refuses it."""

    exit_code = 8


class SigningUnset(UsageError):
    """Commits are to be signed and no key is named."""


@dataclass(frozen=True, slots=True)
class Signing:
    """Who commits and with which key.

    ``key``: a file (an SSH key, or a private OpenPGP key) or what names one to GnuPG; empty: unsigned. ``home``: where
    GnuPG has it, empty: where it looks by itself.
    """

    name: str = "Journeymesh guard"
    email: str = "guard@journeymesh.invalid"
    key: str = ""
    home: str = ""

    def options(self) -> list[str]:
        """As options of git itself."""
        who = ["-c", f"user.name={self.name}", "-c", f"user.email={self.email}"]
        if not self.key:
            return [*who, "-c", "commit.gpgSign=false"]
        form = "ssh" if Path(self.key).is_file() else "openpgp"
        return [*who, "-c", "commit.gpgSign=true", "-c", f"gpg.format={form}", "-c", f"user.signingKey={self.key}"]

    def imported(self, home: Path) -> Signing:
        """The same, with a file's OpenPGP key in a GnuPG home of its own: git takes no such file.

        Raises:
            ProgramFailed: it is no key. ProgramMissing: there is no gpg.
        """
        path = Path(self.key)
        if not path.is_file() or _OPENPGP not in path.read_bytes():
            return self
        home.mkdir(mode=0o700)
        gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
        called([*gpg, "--import", str(path)])
        listed = called([*gpg, "--with-colons", "--list-secret-keys"]).splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
        return replace(self, key=fingerprint, home=str(home))


@dataclass(slots=True)
class Checkout:
    """A checkout at ``folder``, read and never changed."""

    folder: Path
    _known: set[str] = field(default_factory=set, init=False, repr=False)

    def git(self, *arguments: str, given: str | None = None) -> str:
        """What git says, without the line's end.

        Raises:
            ProgramFailed: git ended with a fault.
        """
        argv = ["git", *self._options(), *arguments]
        environment = os.environ | QUIET | self._environment()
        return called(argv, folder=self.folder, given=given, environment=environment).rstrip("\n")

    def _environment(self) -> dict[str, str]:
        return {}

    def _options(self) -> list[str]:
        return []

    def asked(self, *arguments: str) -> bool:
        """Whether git answers a question with yes.

        Raises:
            ProgramFailed: it answered neither yes nor no.
        """
        argv = ["git", *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, env=os.environ | QUIET, capture_output=True, text=True, check=False
        )
        if done.returncode > 1:
            raise ProgramFailed(f"git {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.returncode == 0

    def head(self) -> str:
        """The commit that it stands at."""
        return self.git("rev-parse", "HEAD")

    def has(self, revision: str) -> bool:
        """Whether this commit is known here."""
        if revision in self._known:
            return True
        try:
            found = bool(revision) and self.asked("cat-file", "-e", f"{revision}^{{commit}}")
        except ProgramFailed:
            return False
        self._known |= {revision} if found else set()
        return found

    def same(self, one: str, other: str, paths: Sequence[str]) -> bool:
        """Whether two commits have the same content below these paths."""
        return self.asked("diff", "--quiet", "--no-ext-diff", one, other, "--", *paths)

    def text(self, revision: str, path: str) -> str | None:
        """A file's text in a commit; None: it has no such file."""
        try:
            return self.git("show", f"{revision}:{path}")
        except ProgramFailed:
            return None


@dataclass(slots=True, kw_only=True)
class Clone(Checkout):
    """A clone of ``url``, at the newest commit of ``branch``. It is never anybody's own checkout."""

    url: str
    branch: str
    signing: Signing = field(default_factory=Signing)

    def _options(self) -> list[str]:
        return self.signing.options()

    def _environment(self) -> dict[str, str]:
        return {"GNUPGHOME": self.signing.home} if self.signing.home else {}

    def newest(self) -> str:
        """The branch's commit at the repository, asked there.

        Raises:
            RepositoryUnreadable: it does not answer, or has no such branch.
        """
        try:
            found = self.git("ls-remote", "origin", f"refs/heads/{self.branch}").split()
        except ProgramFailed as error:
            raise RepositoryUnreadable(f"{self.url}: {error.what}", todo="check the address and credentials") from error
        if not found:
            raise RepositoryUnreadable(f"{self.url} has no branch {self.branch}", todo="name another by --branch")
        return found[0]

    def freshen(self) -> str:
        """Fetch, throw away whatever is under way, stand at the branch's newest commit. Returns it.

        Raises:
            RepositoryUnreadable: it cannot be fetched.
        """
        (self.folder / ".git" / "index.lock").unlink(missing_ok=True)
        try:
            self.git("fetch", "--quiet", "--prune", "origin", f"+refs/heads/{self.branch}:refs/remotes/origin/fetched")
        except ProgramFailed as error:
            raise RepositoryUnreadable(f"{self.url}: {error.what}", todo="check the address and credentials") from error
        self.git("checkout", "--quiet", "--force", "--detach", "origin/fetched")
        self.git("reset", "--quiet", "--hard")
        self.git("clean", "-ffdxq")
        return self.head()

    def push(self) -> str:
        """Push what the clone stands at to the branch. Returns that commit.

        Raises:
            PushRefused: nothing was pushed; derive everything again from what is there now.
        """
        try:
            self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{self.branch}")
        except ProgramFailed as error:
            raise PushRefused(
                f"{self.url} rejected the commit: {error.what}",
                todo="if no one else pushed meanwhile, check rights and branch rules",
            ) from error
        return self.head()


def checkout_at(folder: Path) -> Checkout | None:
    """The checkout that a folder is in; None where it is in none."""
    try:
        return Checkout(Path(called(["git", "-C", str(folder), "rev-parse", "--show-toplevel"]).strip()))
    except (ProgramFailed, ProgramMissing):
        return None


@contextmanager
def cloned(repository: str, branch: str = "", signing: Signing | None = None) -> Iterator[Clone]:
    """A clone for as long as the block takes. A folder with an ``origin`` stands for that address.

    Raises:
        RepositoryUnreadable: it cannot be cloned.
    """
    url = address_of(repository)
    with TemporaryDirectory(prefix="journeymesh-clone-") as temporary:
        signs = (signing or Signing()).imported(Path(temporary) / "gnupg")
        clone = Clone(Path(temporary) / "clone", url=url, branch=branch, signing=signs)
        try:
            called(
                [
                    "git",
                    "clone",
                    "--quiet",
                    "--no-tags",
                    *(["--branch", branch] if branch else []),
                    url,
                    str(clone.folder),
                ],
                environment=os.environ | QUIET,
                timeout_s=600,
            )
        except ProgramFailed as error:
            raise RepositoryUnreadable(f"{url}: {error.what}", todo="check the address and credentials") from error
        clone.branch = branch or clone.git("rev-parse", "--abbrev-ref", "HEAD")
        try:
            yield clone
        finally:
            shutil.rmtree(clone.folder, ignore_errors=True)


def address_of(repository: str) -> str:
    """Where to clone from: the address itself, or that of a checkout's ``origin``."""
    folder = Path(repository)
    if not folder.is_dir():
        return repository
    try:
        return called(["git", "-C", str(folder), "remote", "get-url", "origin"]).strip()
    except ProgramFailed:
        return str(folder.resolve())
