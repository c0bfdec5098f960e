"""Whose commits Argo CD syncs: OpenPGP keys in the tree, which every AppProject then asks for.

Argo CD looks at the newest commit alone, and knows OpenPGP keys only. The public keys go into its own ConfigMap, their
ids into the projects, by one Kustomize component that all of them share.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import yaml

from journeymesh.delivery.documents import ManifestUnreadable, documents
from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError
from journeymesh.yaml_files import load_yaml

_COMPONENT: Final = """\
# Whose signature a commit needs before Argo CD syncs it. Nobody's while the list is empty.
# Written by `journeymesh delivery signers` (docs/how-to/release-securely.md, signed commits).
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
  - target: {group: argoproj.io, kind: AppProject}
    patch: |-
      - {op: add, path: /spec/signatureKeys, value: [@]}
"""
_KEYS: Final = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-gpg-keys-cm
  labels:
    app.kubernetes.io/name: argocd-gpg-keys-cm
    app.kubernetes.io/part-of: argocd
data:@
"""


class _Patch(msgspec.Struct):
    patch: str


class _Component(msgspec.Struct):
    patches: list[_Patch]


class _KeyId(msgspec.Struct):
    keyID: str


class _Change(msgspec.Struct):
    value: list[_KeyId]


class KeyUnusable(UsageError):
    """A file holds no public OpenPGP key that signs."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A public key. ``ids``: sixteen hexadecimal digits each, of the key and of its subkeys that sign."""

    owner: str
    ids: tuple[str, ...]
    armored: str

    @classmethod
    def read(cls, path: Path) -> Signer:
        """The key of a file, armored or not.

        Raises:
            KeyUnusable: it holds none, more than one, a private one, or one that is expired or cannot sign.
            ProgramMissing: gpg is not installed.
        """
        todo = "export one by: gpg --armor --export KEYID"
        if not path.is_file():
            raise KeyUnusable(f"{path}: no such file", todo=todo)
        with TemporaryDirectory(prefix="journeymesh-gpg-") as home:
            gpg = ["gpg", "--homedir", home, "--batch", "--no-autostart", "--quiet"]
            try:
                listed = called([*gpg, "--with-colons", "--show-keys", str(path)])
                rows = [line.split(":") for line in listed.splitlines()]
                kinds = [row[0] for row in rows]
                if "sec" in kinds or kinds.count("pub") != 1:
                    raise KeyUnusable(f"{path} is not one public OpenPGP key", todo=todo)
                ids = tuple(
                    row[4] for row in rows if row[0] in ("pub", "sub") and "s" in row[11] and row[1] not in "er"
                )
                if not ids:
                    raise KeyUnusable(f"{path}: its key cannot sign, is expired or revoked", todo=todo)
                called([*gpg, "--import", str(path)])
                armored = called([*gpg, "--armor", "--export-options", "export-minimal", "--export", rows[0][4]])
            except ProgramFailed as error:
                raise KeyUnusable(f"{path} is not one public OpenPGP key: {error.what}", todo=todo) from error
        owner = next((row[9] for row in rows if row[0] == "uid"), "")
        return cls(owner, ids, armored)


def signature_keys(tree: Tree) -> tuple[str, ...]:
    """The ids of the keys that the tree's projects ask for; none: they ask for no signature."""
    path = _component_file(tree)
    if not path.is_file():
        return ()
    document = next(documents(path), None)
    try:
        (patch,) = msgspec.convert(document and document.content, _Component).patches
        (change,) = msgspec.convert(load_yaml(patch.patch), list[_Change])
    except (msgspec.ValidationError, ValueError, yaml.YAMLError) as error:
        what = f"{path} does not name the keys of signers as `delivery signers` writes them: {error}"
        raise ManifestUnreadable(what, todo="write it again: journeymesh delivery signers FILE…") from error
    return tuple(each.keyID for each in change.value)


def write_signers(tree: Tree, signers: Sequence[Signer]) -> list[Path]:
    """Let every project ask for a signature by one of these; none: for no signature. Returns the files that changed."""
    ids = sorted({each for signer in signers for each in signer.ids})
    listed = ", ".join(f"{{keyID: {json.dumps(each)}}}" for each in ids)
    keys = "".join(
        f"\n  # {signer.owner}\n  {json.dumps(signer.ids[0])}: |\n" + _indented(signer.armored)
        for signer in sorted(signers, key=lambda each: each.ids)
    )
    wanted = {
        _component_file(tree): _COMPONENT.replace("@", listed),
        tree.bootstrap / "argocd" / "argocd-gpg-keys-cm.yaml": _KEYS.replace("@", keys or " {}").rstrip("\n") + "\n",
    }
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in changed:
        path.write_text(wanted[path], "utf-8")
    return changed


def _component_file(tree: Tree) -> Path:
    return tree.bootstrap / "signers" / "kustomization.yaml"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.strip().splitlines())
