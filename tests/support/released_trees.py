"""Small trees in git for the tests of releases."""

from __future__ import annotations

import subprocess
from pathlib import Path

from journeymesh.delivery.images import PinnedImage, pinned
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.release.evidence import PinnedAt, record_passed
from journeymesh.delivery.release.keys import SigningKey, TrustedKey, make_key_pair
from journeymesh.delivery.tree import Tree

PLACEHOLDER = f"sha256:{'0' * 64}"
ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "abc")

OVERLAY = """\
# {environment}
kind: Kustomization
resources: [../../base]
images:
  - name: journeymesh
    newName: {registry}/journeymesh
    digest: {app}
  - name: journeymesh-e2e
    newName: {registry}/journeymesh-e2e  # the suite
    digest: {suite}
"""


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


class Checkout:
    """A repository with service journeyapi in dev, test and prod; dev pins ONE and TWO, the others the placeholder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.root.mkdir()
        git(self.root, "init", "--quiet", "--initial-branch", "main")
        for name, value in {"user.name": "Ada", "user.email": "ada@example.org", "commit.gpgsign": "false"}.items():
            git(self.root, "config", name, value)
        for environment in ("dev", "test", "prod"):
            app, suite = (ONE, TWO) if environment == "dev" else (PLACEHOLDER, PLACEHOLDER)
            text = OVERLAY.format(environment=environment, registry=f"{environment}.example", app=app, suite=suite)
            self.write(f"customization/services/journeyapi/overlays/{environment}/kustomization.yaml", text)
        self.tree = Tree.at(self.root)
        private, public = make_key_pair(folder / "keys")
        self.key_file = private
        self.key = SigningKey.read(private)
        self.trusted = (TrustedKey("ci.pub", self.key.key.public_key()),)
        self.write("release/keys/ci.pub", public.read_text())
        for digest, name in ((ONE, "journeymesh"), (TWO, "journeymesh-e2e")):
            ApprovedDigests(self.tree, "dev").approve(digest, name)
        self.commit("Begin")

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def commit(self, message: str = "Change") -> str:
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", message)
        return self.head()

    def head(self) -> str:
        return git(self.root, "rev-parse", "HEAD")

    def pass_in(self, environment: str) -> None:
        """Evidence for what the overlay pins, committed."""
        record_passed(
            self.tree, environment, "journeyapi", PinnedAt(self.head(), self.pins(environment)), self.key, ["e2e"]
        )
        self.commit("Record")

    def pins(self, environment: str) -> dict[str, PinnedImage]:
        return pinned(self.tree.overlay("journeyapi", environment))


def every_image_verifies(image: PinnedImage, trusted: tuple[TrustedKey, ...]) -> str:
    return trusted[0].name
