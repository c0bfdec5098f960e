"""A tree with encrypted Secrets, made by the real sops and age-keygen."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from journeymesh.delivery.age_keys import make_age_key
from journeymesh.delivery.secrets import EnvironmentSecrets
from journeymesh.delivery.tree import Tree

needs_sops = pytest.mark.skipif(
    shutil.which("sops") is None or shutil.which("age-keygen") is None,
    reason="sops or age-keygen is not on PATH (go install github.com/getsops/sops/v3/cmd/sops@v3.13.3)",
)


@dataclass(frozen=True, slots=True)
class AgeKey:
    file: Path
    recipient: str


def age_key(folder: Path, name: str = "keys") -> AgeKey:
    return AgeKey(*make_age_key(folder / "keys", name))


def tree_in(folder: Path) -> Tree:
    (folder / "tree" / "customization").mkdir(parents=True)
    return Tree(folder / "tree")


def dev_secrets(folder: Path, key: AgeKey) -> EnvironmentSecrets:
    """All that dev needs, encrypted to this key."""
    held = EnvironmentSecrets(tree_in(folder), "dev", key.file)
    held.make_missing([key.recipient])
    return held
