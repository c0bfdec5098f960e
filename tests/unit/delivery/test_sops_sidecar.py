from __future__ import annotations

import base64
import os
import shutil
from pathlib import Path

import pytest
import yaml

from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PinnedImage
from journeymesh.delivery.sops_sidecar import give_keys, is_wanted, pin_sidecar, sidecar
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError

ROOT = Path(__file__).parents[3]
DIGEST = "sha256:" + "a" * 64


def _tree(folder: Path) -> Tree:
    """A tree with the sidecar as it comes."""
    tree = Tree(folder / "tree")
    shutil.copytree(sidecar(Tree(ROOT)), sidecar(tree))
    (made,) = yaml.safe_load((sidecar(tree) / "kustomization.yaml").read_text())["images"]
    pin_sidecar(tree, PinnedImage(made["newName"], PLACEHOLDER_DIGEST))
    return tree


def _kubectl_that_keeps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for a cluster: what kubectl was given, in a file."""
    program = folder / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" > {folder}/argv\ncat > {folder}/given\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return folder / "given"


def test_a_sidecar_without_an_image_is_not_wanted(tmp_path: Path) -> None:
    assert not is_wanted(Tree(tmp_path))
    assert not is_wanted(_tree(tmp_path))


def test_a_sidecar_with_an_image_is_wanted(tmp_path: Path) -> None:
    tree = _tree(tmp_path)
    path = pin_sidecar(tree, PinnedImage.parse(f"registry.example/argocd-sops@{DIGEST}"))
    assert is_wanted(tree)
    assert DIGEST in path.read_text()


def test_the_sidecar_has_no_more_rights_than_it_needs() -> None:
    (deployment,) = yaml.safe_load_all((sidecar(Tree(ROOT)) / "repo-server.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    context = container["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"], context["readOnlyRootFilesystem"]) == (999, True, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert container["args"] == ["--loglevel", "info"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert mounts["/tmp"] == "sops-tmp"  # the repo-server's own is never shared


def test_every_key_reaches_the_cluster_and_none_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _kubectl_that_keeps(tmp_path, monkeypatch)
    for name, key in (("dev", "AGE-SECRET-KEY-1DEV"), ("prod", "AGE-SECRET-KEY-1PROD")):
        (tmp_path / name).write_text(f"# created: today\n# public key: age1{name}\n{key}\n")
    assert give_keys([tmp_path / "dev", tmp_path / "prod", tmp_path / "dev"]) == 2
    secret = yaml.safe_load(given.read_text())
    held = base64.b64decode(secret["data"]["keys.txt"]).decode()
    assert held == "AGE-SECRET-KEY-1DEV\nAGE-SECRET-KEY-1PROD\n"
    assert "AGE-SECRET" not in (tmp_path / "argv").read_text()
    (deployment,) = yaml.safe_load_all((sidecar(Tree(ROOT)) / "repo-server.yaml").read_text())
    (volume,) = [each for each in deployment["spec"]["template"]["spec"]["volumes"] if "secret" in each]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]


def test_a_file_without_a_private_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "public").write_text("age1public\n")
    with pytest.raises(UsageError, match="holds no private age key"):
        give_keys([tmp_path / "public"])
