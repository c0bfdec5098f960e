"""Pairs of age keys, made by age's own program."""

from __future__ import annotations

import os
from pathlib import Path

from journeymesh.delivery.programs import called
from journeymesh.errors import UsageError


def make_age_key(folder: Path, name: str = "keys") -> tuple[Path, str]:
    """A file with a new private key that only its owner can read, and the public key.

    Raises:
        UsageError: the folder is in a git repository, or has such a file. ProgramMissing: age-keygen is not installed.
    """
    path = folder.resolve() / f"{name}.agekey"
    for place in path.parents:
        if (place / ".git").exists():
            raise UsageError(f"{folder} is in the git repository {place}", todo="name a folder outside of it")
    if path.exists():
        raise UsageError(f"{path} already exists", todo="give another --name; a lost key cannot be made again")
    text = called(["age-keygen"])
    recipient = next(
        (line.rpartition(":")[2].strip() for line in text.splitlines() if line.startswith("# public key:")), ""
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", todo="name another folder") from error
    return path, recipient
