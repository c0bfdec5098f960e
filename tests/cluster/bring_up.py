"""The whole development bundle on a real cluster, from this checkout: images, a repository of its own, two commands.

    python -m tests.cluster.bring_up      leaves it running and says where

    KUBECONFIG                    a cluster with Argo CD
    JOURNEYMESH_E2E_REGISTRY      a registry that docker pushes to and the cluster pulls from, as HOST[:PORT]
    JOURNEYMESH_E2E_REPOSITORY    a git repository that this machine pushes to and Argo CD reads, by one address
    JOURNEYMESH_E2E_GATEWAY       where the gateway's node port answers (https://127.0.0.1:30443)
    JOURNEYMESH_E2E_TREE          the tree of a bundle that runs already, which tests then take as it is

Nothing of it is written into the checkout: the tree is initialised in a clone. Third parties' images are taken from
docker as they are there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NEEDED: Final = ("JOURNEYMESH_E2E_REGISTRY", "JOURNEYMESH_E2E_REPOSITORY")
PROGRAMS: Final = ("docker", "kubectl", "kustomize", "git", "gpg", "sops", "age-keygen")
OURS: Final = {
    "journeymesh": ("--target", "journeymesh", "."),
    "journeymesh-e2e": ("--target", "e2e", "."),
    "journeymesh-keycloak": ("deploy/keycloak",),
    "journeymesh-postgres": ("deploy/postgres",),
}
TRAEFIK: Final = "traefik:v3.6.12"


def missing() -> str:
    """What keeps the bundle from being brought up here; empty: nothing."""
    unset = [name for name in (*NEEDED, "KUBECONFIG") if not os.environ.get(name)]
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    told = [f"{', '.join(unset)} unset"] if unset else []
    return "; ".join(told + ([f"{', '.join(absent)} not installed"] if absent else []))


def run(*argv: str, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """What a command printed; its own words where it fails."""
    done = subprocess.run(
        argv, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(argv)[:200]} ended with {done.returncode}: {done.stderr[-4000:]}"
    return done.stdout


def journeymesh(*argv: str, folder: Path = ROOT) -> str:
    """What a command of the product printed."""
    return run(sys.executable, "-m", "journeymesh", *argv, folder=folder)


@dataclass
class Bundle:
    """A bundle that runs. ``tree``: the clone whose commits Argo CD follows."""

    registry: str
    repository: str
    gateway: str
    tree: Path
    images: dict[str, str] = field(default_factory=dict)
    bootstrap_s: float = 0.0
    said: str = ""

    @classmethod
    def described(cls, folder: Path) -> Bundle:
        """As the environment says, with its clone in ``folder``."""
        gateway = os.environ.get("JOURNEYMESH_E2E_GATEWAY", "https://127.0.0.1:30443")
        return cls(os.environ[NEEDED[0]], os.environ[NEEDED[1]], gateway, folder / "tree")

    def build(self) -> None:
        """Build every image and push it; what it is called by digest goes into ``images``."""
        for name, arguments in OURS.items():
            self.push(name, build(name, *arguments))
        self.push("traefik", TRAEFIK)
        sops = {"SOPS": shutil.which("sops") or "", "BUILD_FLAGS": "--network host", "DOCKER_BUILDKIT": "0"}
        run("deploy/argocd-sops/build", "argocd-sops:e2e", environment=sops)
        self.push("argocd-sops", "argocd-sops:e2e")

    def push(self, name: str, tag: str) -> None:
        """Push what docker has under this tag."""
        self.images[name] = pushed(tag, f"{self.registry}/{name}")

    def prepare(self, environment: str = "dev") -> None:
        """A clone that knows its addresses, its images and its secrets, pushed to where Argo CD reads."""
        shutil.rmtree(self.tree, ignore_errors=True)
        run("git", "clone", "--quiet", str(ROOT), str(self.tree))
        run("git", "checkout", "--quiet", "-B", "main", folder=self.tree)  # a checkout may be on no branch
        for key, value in (("user.name", "Journeymesh e2e"), ("user.email", "e2e@journeymesh.invalid")):
            run("git", "config", key, value, folder=self.tree)
        journeymesh("delivery", "init", "--repo", self.repository, "--registry", self.registry, folder=self.tree)
        names = {"postgres": "journeymesh-postgres", "keycloak": "journeymesh-keycloak"}
        wanted = ("journeymesh", "journeymesh-e2e", "postgres", "keycloak", "traefik")
        pins = [f"{name}={self.images[names.get(name, name)]}" for name in wanted]
        journeymesh("delivery", "pin", "--env", environment, *pins, folder=self.tree)
        journeymesh("delivery", "secrets", "plugin", self.images["argocd-sops"], folder=self.tree)
        keys = self.tree.parent / "keys"
        made = journeymesh("delivery", "secrets", "keys", "new", str(keys), folder=self.tree)
        recipient = next(word for word in made.split() if word.startswith("age1"))
        secrets = ("delivery", "secrets", "new", "--env", environment, "--recipient", recipient)
        journeymesh(*secrets, folder=self.tree)
        files = [str(path) for path in keys.glob("*.agekey")]
        journeymesh("delivery", "secrets", "keys", "install", *files, folder=self.tree)
        run("git", "add", "--all", folder=self.tree)
        run("git", "commit", "--quiet", "--message", "Begin an environment", folder=self.tree)
        run("git", "push", "--quiet", "--force", self.repository, "HEAD:refs/heads/main", folder=self.tree)
        run("git", "remote", "set-url", "origin", self.repository, folder=self.tree)

    def bootstrap(self, environment: str = "dev") -> None:
        """The cluster becomes what the tree says."""
        began = time.monotonic()
        self.said = journeymesh("delivery", "bootstrap", "--env", environment, "--wait-s", "900", folder=self.tree)
        self.bootstrap_s = time.monotonic() - began


def build(tag: str, *arguments: str) -> str:
    """Build an image of this checkout with docker. Returns its tag."""
    classic = {"DOCKER_BUILDKIT": "0"}
    run("docker", "build", "--quiet", "--network", "host", "--tag", f"{tag}:e2e", *arguments, environment=classic)
    return f"{tag}:e2e"


def pushed(tag: str, repository: str) -> str:
    """Push what docker has under this tag to a repository. Returns it by digest."""
    run("docker", "tag", tag, f"{repository}:e2e")
    run("docker", "push", "--quiet", f"{repository}:e2e")
    digests = run("docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', tag).split()
    return next(digest for digest in digests if digest.startswith(f"{repository}@"))


def brought_up(folder: Path) -> Bundle:
    """The bundle, running: that of JOURNEYMESH_E2E_TREE, or one that is brought up."""
    bundle = Bundle.described(folder)
    if tree := os.environ.get("JOURNEYMESH_E2E_TREE"):
        bundle.tree = Path(tree)
        return bundle
    bundle.build()
    bundle.prepare()
    bundle.bootstrap()
    return bundle


if __name__ == "__main__":
    if told := missing():
        raise SystemExit(f"the bundle cannot be brought up: {told}")
    running = brought_up(Path(mkdtemp(prefix="journeymesh-e2e-")))  # private keys stay out of every checkout
    print(running.said)
    print(f"gateway {running.gateway}, tree {running.tree}, {running.bootstrap_s:.0f} s")
