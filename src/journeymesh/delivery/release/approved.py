"""Which digests may run in an environment: ``release/<env>/approved-digests``.

One ``sha256:…  image-name`` a line, sorted; comments and empty lines before the first entry are its head. Kustomize
makes a ConfigMap of it, and the cluster admits nothing else (customization/platform/admission).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from journeymesh.delivery.documents import text_of
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError

FILE: Final = "approved-digests"
"""The file's name, and the ConfigMap's."""
_LINE: Final = re.compile(r"(sha256:[0-9a-f]{64}) +(\S+) *")
_HEAD: Final = """\
# Digests that may start in {environment}, one a line: `sha256:…  image-name`. Written by `journeymesh delivery`.
"""
_KUSTOMIZATION: Final = """\
# Which images may start in {environment}: read by the admission policy approved-digests.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {environment}
generatorOptions:
  disableNameSuffixHash: true
configMapGenerator:
  - name: {file}
    files:
      - {file}
"""


class LedgerInvalid(UsageError):
    """A line of an approved-digests file cannot be read."""


@dataclass(frozen=True, slots=True)
class ApprovedDigests:
    """The ledger of one environment."""

    tree: Tree
    environment: str

    @property
    def path(self) -> Path:
        return self.tree.release(self.environment) / FILE

    def entries(self) -> frozenset[tuple[str, str]]:
        """Digest and image name of every line.

        Raises:
            LedgerInvalid: naming the line.
        """
        text = text_of(self.path) if self.path.exists() else ""
        return entries_of(text, self.tree.relative(self.path) if self.path.exists() else FILE)

    def digests(self) -> frozenset[str]:
        """What may run, by digest alone: the same bytes under another name are the same image."""
        return frozenset(digest for digest, _ in self.entries())

    def approve(self, digest: str, name: str) -> bool:
        """Enter the digest under this image's name. False: it stood there already."""
        entries = self.entries()
        if (digest, name) in entries:
            return False
        head = _head(text_of(self.path)) if self.path.exists() else _HEAD.format(environment=self.environment)
        lines = [f"{digest}  {image}\n" for digest, image in sorted(entries | {(digest, name)})]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(head + "".join(lines), "utf-8")
        return True

    def write_kustomization(self) -> bool:
        """Make the folder's kustomization.yaml and an empty ledger where they are missing. True: something was."""
        missing = False
        whole = self.path.parent / "kustomization.yaml"
        for path, text in (
            (whole, _KUSTOMIZATION.format(file=FILE, environment=self.environment)),
            (self.path, _HEAD.format(environment=self.environment)),
        ):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
                missing = True
        return missing


def entries_of(text: str, where: str) -> frozenset[tuple[str, str]]:
    """Digest and image name of every line that is no comment.

    Raises:
        LedgerInvalid: naming ``where`` and the line. A line that starts with a blank would not be found by the cluster.
    """
    found = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise LedgerInvalid(
                f"{where}:{number}: {line!r}", todo="write sha256:… and the image's name, from column 1"
            )
        found.add((match[1], match[2]))
    return frozenset(found)


def _head(text: str) -> str:
    """The comments: all of them, for entries are sorted and a comment has no place between them."""
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith("#") or not line.strip())
