"""The commands of a release, from a key to production, with a real registry and git."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.docker_registry import PYTHON_AND_DEBIAN, DockerRegistry
from tests.support.released_trees import OVERLAY, PLACEHOLDER, git

from journeymesh.cli.main import outcome
from journeymesh.delivery.images import PinnedImage


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRegistry]:
    with closing(DockerRegistry(tmp_path_factory.mktemp("registry"))) as running:
        yield running


@dataclass
class Team:
    """A repository with a remote, a key it trusts and two images that are not signed yet."""

    root: Path
    key: Path
    app: PinnedImage
    suite: PinnedImage
    capsys: pytest.CaptureFixture[str]

    def does(self, *arguments: str, key: bool = False) -> str:
        """Run the command; what it printed."""
        told, code = self.tries(*arguments, key=key)
        assert code == 0, told
        return told

    def tries(self, *arguments: str, key: bool = False) -> tuple[str, int]:
        place = ["--tree", str(self.root)] if arguments[0] not in ("sign", "keys") else []
        code = outcome(["delivery", *arguments, *(["--key", str(self.key)] if key else []), *place])
        out, err = self.capsys.readouterr()
        return out + err, code

    def pins(self, environment: str) -> str:
        return (self.root / f"customization/services/journeyapi/overlays/{environment}/kustomization.yaml").read_text()


@pytest.fixture
def team(
    registry: DockerRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Team:
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    for name, value in {"user.name": "Ada", "user.email": "ada@example.org"}.items():
        git(root, "config", name, value)
    for environment in ("dev", "test", "prod"):
        place = root / f"customization/services/journeyapi/overlays/{environment}/kustomization.yaml"
        place.parent.mkdir(parents=True)
        place.write_text(
            OVERLAY.format(environment=environment, registry=registry.host, app=PLACEHOLDER, suite=PLACEHOLDER)
        )
    (root / "Dockerfile").write_text("FROM python:3.11 AS build\nFROM build\nFROM scratch\n")
    assert outcome(["delivery", "keys", "new", str(tmp_path / "keys")]) == 0
    trusted = root / "release/keys/ci.pub"
    trusted.parent.mkdir(parents=True)
    trusted.write_bytes((tmp_path / "keys/release.pub").read_bytes())
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Begin")
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")
    git(root, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    own = {"test": request.node.name.encode()}
    app = registry.push("journeymesh", PYTHON_AND_DEBIAN, own)
    suite = registry.push("journeymesh-e2e", PYTHON_AND_DEBIAN, own)
    return Team(root, tmp_path / "keys/release.key", app, suite, capsys)


def test_a_release_goes_from_a_signature_to_production(team: Team) -> None:
    for image in (team.app, team.suite):
        team.does(
            "attest",
            str(image),
            "--builder",
            "https://ci.example",
            "--base",
            f"python:3.11@{'sha256:'}{'1' * 64}",
            key=True,
        )
        assert "signed by ci.pub; 2 components; built by https://ci.example of git+" in team.does("verify", str(image))
    team.does("release", "journeyapi", "--image", str(team.app), "--image", str(team.suite), "--push")
    for lower, upper in (("dev", "test"), ("test", "prod")):
        assert "passed at" in team.does("passed", "journeyapi", "--env", lower, "--push", key=True)
        team.does("promote", "journeyapi", "--from", lower, "--to", upper, "--push")
    assert team.app.digest in team.pins("prod")
    assert team.suite.digest in team.pins("prod")
    assert git(team.root, "rev-parse", "HEAD") == git(team.root, "rev-parse", "origin/main")
    assert git(team.root, "log", "--reverse", "--format=%s").splitlines() == [
        "Begin",
        "Approve journeyapi for dev",
        "Release journeyapi into dev",
        "Record that journeyapi passed in dev",
        "Approve journeyapi for test",
        "Promote journeyapi to test",
        "Record that journeyapi passed in test",
        "Approve journeyapi for prod",
        "Promote journeyapi to prod",
    ]
    assert git(team.root, "status", "--porcelain") == ""
    assert git(team.root, "worktree", "list").count("\n") == 0


def test_an_image_that_is_not_signed_is_not_released(team: Team) -> None:
    told, code = team.tries("release", "journeyapi", "--image", str(team.app))
    assert code == 7
    assert "has no signature" in told
    assert PLACEHOLDER in team.pins("dev")


def test_an_unverified_release_goes_no_further_than_dev(team: Team) -> None:
    team.does("release", "journeyapi", "--image", str(team.app), "--image", str(team.suite), "--unverified")
    team.does("passed", "journeyapi", "--env", "dev", key=True)
    told, code = team.tries("promote", "journeyapi", "--from", "dev", "--to", "test")
    assert code == 7
    assert "journeymesh: " in told
    assert "does not verify" in told


def test_evidence_by_a_key_that_is_not_trusted_is_not_even_recorded(team: Team, tmp_path: Path) -> None:
    team.does("release", "journeyapi", "--image", str(team.app), "--image", str(team.suite), "--unverified")
    team.does("keys", "new", str(tmp_path / "other"))
    team.key = tmp_path / "other/release.key"
    told, code = team.tries("passed", "journeyapi", "--env", "dev", key=True)
    assert code == 2
    assert "release/keys does not trust this key" in told


def test_a_promotion_as_a_patch_leaves_the_branch_alone(team: Team, tmp_path: Path) -> None:
    for image in (team.app, team.suite):
        team.does("attest", str(image), key=True)
    team.does("release", "journeyapi", "--image", str(team.app), "--image", str(team.suite))
    team.does("passed", "journeyapi", "--env", "dev", key=True)
    head = git(team.root, "rev-parse", "HEAD")
    team.does("promote", "journeyapi", "--from", "dev", "--to", "test", "--patch", str(tmp_path / "it.patch"))
    assert git(team.root, "rev-parse", "HEAD") == head
    git(team.root, "am", "--quiet", str(tmp_path / "it.patch"))
    assert team.app.digest in team.pins("test")


def test_commits_of_a_release_are_signed_where_git_is_told_to(team: Team, tmp_path: Path) -> None:
    """By an SSH key, which needs no agent; Argo CD itself checks OpenPGP signatures."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "ssh")], check=True, capture_output=True
    )
    (tmp_path / "allowed").write_text(f"ada@example.org {(tmp_path / 'ssh.pub').read_text()}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingkey": str(tmp_path / "ssh"),
        "commit.gpgsign": "true",
        "gpg.ssh.allowedSignersFile": str(tmp_path / "allowed"),
    }.items():
        git(team.root, "config", name, value)
    team.does("release", "journeyapi", "--image", str(team.app), "--unverified")
    assert git(team.root, "log", "-2", "--format=%G?").split() == ["G", "G"]


def test_an_sbom_of_another_tool_is_taken_if_it_is_one(team: Team, tmp_path: Path) -> None:
    other = tmp_path / "bom.json"
    components = [{"type": "library", "name": "left-pad", "version": "1"}]
    other.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "components": components}))
    assert "1 components" in team.does("attest", str(team.app), "--sbom", str(other), key=True)
    assert "1 components" in team.does("verify", str(team.app))
    other.write_text("{}")
    assert team.tries("attest", str(team.app), "--sbom", str(other), key=True)[1] == 2


def test_a_key_is_asked_for_where_it_is_missing(team: Team) -> None:
    told, code = team.tries("sign", str(team.app))
    assert code == 2
    assert "JOURNEYMESH_SIGNING_KEY" in told
