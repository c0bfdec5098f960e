"""A release on a real cluster: signed images, a controller that runs as a pod, evidence, promotion, signed commits.

In the order of the story, after that of ``test_delivery``: the last tests leave a tree that takes signed commits only.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks.delivery.stage import until

from journeymesh.delivery.tree import Tree
from tests.cluster.bring_up import Bundle, build, journeymesh, pushed, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OURS = ("journeymesh", "journeymesh-e2e")


def application(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("kubectl", "-n", "argocd", "get", "applications.argoproj.io", name, "-o", "json")
    )
    return found


def push(bundle: Bundle, subject: str, *options: str) -> str:
    """Commit whatever changed in the tree and push it. Returns the commit."""
    run("git", "add", "--all", folder=bundle.tree)
    run("git", *options, "commit", "--quiet", "--message", subject, folder=bundle.tree)
    run("git", "push", "--quiet", "origin", "HEAD:refs/heads/main", folder=bundle.tree)
    return run("git", "rev-parse", "HEAD", folder=bundle.tree).strip()


def pull(bundle: Bundle) -> None:
    run("git", "pull", "--quiet", "--rebase", "origin", "main", folder=bundle.tree)


@pytest.fixture(scope="module")
def gnupg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where two have their OpenPGP keys: a person and the controller."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    os.environ["GNUPGHOME"] = str(home)
    for owner in ("ada", "guard"):
        run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", owner, "ed25519", "sign", "never")
        (home / f"{owner}.asc").write_text(run("gpg", "--armor", "--export", owner), "utf-8")
    yield home
    del os.environ["GNUPGHOME"]


@pytest.fixture(scope="module")
def keys(bundle: Bundle, gnupg: Path) -> Path:
    """A key that signs images and evidence, trusted by the tree; one that signs the controller's commits."""
    folder = bundle.tree.parent / "release-keys"
    journeymesh("delivery", "keys", "new", str(folder), folder=bundle.tree)
    (folder / "guard").write_text(run("gpg", "--batch", "--armor", "--export-secret-keys", "guard"), "utf-8")
    trusted = bundle.tree / "release" / "keys" / "ci.pub"
    trusted.parent.mkdir(parents=True, exist_ok=True)
    trusted.write_text((folder / "release.pub").read_text("utf-8"), "utf-8")
    pull(bundle)
    push(bundle, "Trust the key of CI")
    return folder


def promote(bundle: Bundle) -> subprocess.CompletedProcess[str]:
    argv = [".venv/bin/journeymesh", "delivery", "promote", "journeyapi", "--from", "dev", "--to", "test", "--push"]
    argv[0] = str(Path(__file__).parents[2] / argv[0])
    return subprocess.run(argv, cwd=bundle.tree, capture_output=True, text=True, check=False)


def test_what_nobody_attested_and_nothing_tested_is_not_promoted(bundle: Bundle, keys: Path) -> None:
    before = run("git", "rev-parse", "HEAD", folder=bundle.tree)
    refused = promote(bundle)
    assert refused.returncode == 7
    assert "no e2e evidence" in refused.stderr
    assert run("git", "rev-parse", "HEAD", folder=bundle.tree) == before


def test_the_controller_runs_as_a_pod_and_records_what_passed(bundle: Bundle, keys: Path) -> None:
    registry = bundle.registry
    argocd = run("kubectl", "-n", "argocd", "get", "deploy", "argocd-repo-server", "-o",
                 "jsonpath={.spec.template.spec.containers[0].image}").strip()  # fmt: skip
    images = {
        "journeymesh-guard": pushed(
            build("journeymesh-guard", "--target", "guard", "."), f"{registry}/journeymesh-guard"
        ),
        "argocd": pushed(argocd, f"{registry}/argocd"),
    }
    run("kubectl", "-n", "argocd", "create", "secret", "generic", "guard-dev",
        f"--from-file=signing-key={keys / 'guard'}", f"--from-file=evidence-key={keys / 'release.key'}")  # fmt: skip
    platform = Tree.at(bundle.tree).platform
    wanted = yaml.safe_load((platform / "kustomization.yaml").read_text("utf-8"))
    wanted["resources"].append("guard/dev")
    (platform / "kustomization.yaml").write_text(yaml.safe_dump(wanted, sort_keys=False), "utf-8")
    guard = platform / "guard" / "dev" / "kustomization.yaml"
    pins = yaml.safe_load(guard.read_text("utf-8"))
    for each in pins["images"]:
        each["newName"], _, each["digest"] = images[each["name"]].partition("@")
    guard.write_text(yaml.safe_dump(pins, sort_keys=False), "utf-8")
    commit = push(bundle, "Guard dev by a pod")

    def recorded() -> list[Path]:
        pull(bundle)
        return list((bundle.tree / "release" / "dev" / "passed" / "journeyapi").glob("*.json"))

    until("evidence of journeyapi", lambda: len(recorded()) >= len(OURS), 180, 2)
    told = run("git", "log", "--format=%an: %s", f"{commit}..HEAD", folder=bundle.tree)
    print(told)
    assert "Journeymesh guard: Record that journeyapi passed in dev" in told
    run("git", "verify-commit", "HEAD", folder=bundle.tree)


def test_a_release_that_fails_is_taken_back_by_the_pod(bundle: Bundle, keys: Path) -> None:
    """One that Kustomize cannot render: only a controller that renders alike can tell it from Argo CD's own faults."""
    pull(bundle)
    overlay = Tree.at(bundle.tree).overlay("journeyapi", "dev") / "kustomization.yaml"
    good = overlay.read_text("utf-8")
    overlay.write_text(good + "patches:\n  - path: absent.yaml\n", "utf-8")
    bad = push(bundle, "Release journeyapi without a file")
    began = time.monotonic()

    def reverted() -> bool:
        pull(bundle)
        return overlay.read_text("utf-8") == good

    until("the revert", reverted, 120, 1)
    print(f"revert_after_push_s {time.monotonic() - began:.0f}")
    message = run("git", "log", "-1", "--format=%an%n%B", folder=bundle.tree)
    assert message.startswith("Journeymesh guard\nRevert")
    assert bad in message


def test_what_passed_and_is_attested_is_promoted(bundle: Bundle, keys: Path) -> None:
    pull(bundle)
    for name in OURS:
        print(
            journeymesh(
                "delivery", "attest", bundle.images[name], "--key", str(keys / "release.key"), folder=bundle.tree
            )
        )
    promoted = promote(bundle)
    assert promoted.returncode == 0, promoted.stderr
    print(promoted.stdout)
    below, above = (Tree.at(bundle.tree).overlay("journeyapi", env) / "kustomization.yaml" for env in ("dev", "test"))
    digests = [
        {each["name"]: each["digest"] for each in yaml.safe_load(path.read_text())["images"]} for path in (below, above)
    ]
    assert digests[0] == digests[1]

    def ledger() -> str:
        return run("kubectl", "-n", "test", "get", "configmap", "approved-digests", "-o", "jsonpath={.data}")

    until("the ledger of test", lambda: all(each in ledger() for each in digests[0].values()), 120, 2)


@pytest.fixture(scope="module")
def signer(bundle: Bundle, gnupg: Path) -> str:
    """Somebody with an OpenPGP key, whom the tree and the cluster know. The controller is known as well."""
    pull(bundle)
    public = [str(gnupg / f"{owner}.asc") for owner in ("ada", "guard")]
    key = journeymesh("delivery", "signers", *public, folder=bundle.tree).split()[1]
    push(bundle, "Take signed commits only", *signed(key))
    bundle.bootstrap()
    return key


def signed(key: str) -> tuple[str, ...]:
    return ("-c", "gpg.format=openpgp", "-c", f"user.signingKey={key}", "-c", "commit.gpgSign=true")


def noted(bundle: Bundle, words: str) -> None:
    """A change of what journeyapi's Application watches."""
    overlay = Tree.at(bundle.tree).overlay("journeyapi", "dev") / "kustomization.yaml"
    overlay.write_text(f"{overlay.read_text('utf-8')}# {words}\n", "utf-8")


def test_a_commit_that_no_named_key_signed_is_not_synced(bundle: Bundle, signer: str) -> None:
    def complaint() -> str:
        conditions = application("journeyapi-app-dev")["status"].get("conditions") or []
        return next((each["message"] for each in conditions if "signature" in each["message"].lower()), "")

    noted(bundle, "unsigned")
    unsigned = push(bundle, "Change something, unsigned", "-c", "commit.gpgSign=false")
    print(until("a complaint about the signature", complaint, 180, 2))
    status = application("journeyapi-app-dev")["status"]
    assert status["operationState"]["syncResult"]["revision"] != unsigned
    assert status["health"]["status"] == "Healthy"

    noted(bundle, "signed")
    commit = push(bundle, "Change something, signed", *signed(signer))

    def is_synced() -> bool:
        sync = application("journeyapi-app-dev")["status"]["sync"]
        return bool(sync["revision"] == commit and sync["status"] == "Synced") and not complaint()

    until("the signed commit synced", is_synced, 180, 2)

    def missed() -> list[str]:
        """Argo CD keeps the verdict on the unsigned commit for those that the signed one does not concern."""
        told = json.loads(run("kubectl", "-n", "argocd", "get", "applications.argoproj.io", "-o", "json"))["items"]
        return [each["metadata"]["name"] for each in told if "signature" in str(each["status"].get("conditions"))]

    began = time.monotonic()
    until("no signature missed any more, by the controller's doing", lambda: not missed(), 180, 2)
    print(f"signatures_verified_anew_s {time.monotonic() - began:.0f}")
