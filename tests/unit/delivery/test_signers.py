"""Whose commits Argo CD syncs: keys of a real GnuPG, in the tree of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from journeymesh.delivery.programs import first_installed
from journeymesh.delivery.rendering import rendered_objects
from journeymesh.delivery.signers import KeyUnusable, Signer, signature_keys, write_signers
from journeymesh.delivery.tree import Tree

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")


def gpg(home: Path, *arguments: str) -> str:
    argv = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", "", *arguments]
    return subprocess.run(argv, check=True, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}).stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "gpg"
    folder.mkdir(mode=0o700)
    return folder


def exported(home: Path, owner: str, *how: str) -> Path:
    gpg(home, "--quick-gen-key", owner, *(how or ("ed25519", "sign", "never")))
    path = home.parent / f"{owner}.asc"
    path.write_text(gpg(home, "--armor", "--export", owner), "utf-8")
    return path


def copied(tmp_path: Path) -> Tree:
    shutil.copytree(ROOT / "customization" / "bootstrap", tmp_path / "tree" / "customization" / "bootstrap")
    return Tree.at(tmp_path / "tree")


def test_every_project_asks_for_a_signature_by_one_of_the_keys(tmp_path: Path, home: Path) -> None:
    if first_installed(("kustomize", "kubectl")) is None:
        pytest.skip("kustomize is not installed")
    tree = copied(tmp_path)
    named = [Signer.read(exported(home, owner)) for owner in ("ada", "guard")]
    assert write_signers(tree, named)
    assert write_signers(tree, list(reversed(named))) == []
    wanted = sorted(each for signer in named for each in signer.ids)
    assert list(signature_keys(tree)) == wanted
    objects = rendered_objects(tree.bootstrap)
    projects = [each for each in objects if each["kind"] == "AppProject"]
    assert len(projects) == 7
    for project in projects:
        assert project["spec"]["signatureKeys"] == [{"keyID": each} for each in wanted]
    (keys,) = (each["data"] for each in objects if each["metadata"]["name"] == "argocd-gpg-keys-cm")
    for signer in named:
        assert keys[signer.ids[0]].strip() == signer.armored.strip()


def test_a_subkey_that_signs_counts_and_one_that_encrypts_does_not(home: Path) -> None:
    path = exported(home, "ada", "ed25519", "cert", "never")
    fingerprint = next(
        line.split(":")[9] for line in gpg(home, "--with-colons", "--list-keys").splitlines() if line.startswith("fpr")
    )
    gpg(home, "--quick-add-key", fingerprint, "ed25519", "sign", "never")
    gpg(home, "--quick-add-key", fingerprint, "cv25519", "encr", "never")
    path.write_text(gpg(home, "--armor", "--export", "ada"), "utf-8")
    signer = Signer.read(path)
    rows = [line.split(":") for line in gpg(home, "--with-colons", "--list-keys").splitlines()]
    assert signer.ids == tuple(row[4] for row in rows if row[0] == "sub" and "s" in row[11])
    assert len(signer.ids) == 1


def test_nobody_takes_the_keys_out_again(tmp_path: Path, home: Path) -> None:
    tree = copied(tmp_path)
    files = [path for path in tree.bootstrap.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    write_signers(tree, [Signer.read(exported(home, "ada"))])
    assert any(path.read_bytes() != before[path] for path in files)
    write_signers(tree, [])
    assert {path: path.read_bytes() for path in files} == before
    assert signature_keys(tree) == ()


def test_the_keys_are_yaml_whatever_their_owner_is_called(tmp_path: Path, home: Path) -> None:
    tree = copied(tmp_path)
    signer = Signer.read(exported(home, "Ada: # {the} first"))
    write_signers(tree, [signer])
    text = (tree.bootstrap / "argocd" / "argocd-gpg-keys-cm.yaml").read_text("utf-8")
    assert list(yaml.safe_load(text)["data"]) == [signer.ids[0]]


def test_what_is_no_public_key_that_signs_is_refused(tmp_path: Path, home: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no key", "utf-8")
    private = tmp_path / "private.asc"
    exported(home, "ada")
    private.write_text(gpg(home, "--armor", "--export-secret-keys", "ada"), "utf-8")
    both = exported(home, "eve")
    both.write_text(gpg(home, "--armor", "--export"), "utf-8")
    for path in (text, private, both, tmp_path / "absent"):
        with pytest.raises(KeyUnusable):
            Signer.read(path)
