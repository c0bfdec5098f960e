"""The script of Argo CD's sidecar, run as the program that it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from journeymesh.delivery.needed_secrets import NEEDED
from journeymesh.delivery.secrets import EnvironmentSecrets, decoded
from tests.support.encrypted_tree import age_key, dev_secrets, needs_sops

DEPLOY = Path(__file__).parents[3] / "deploy" / "argocd-sops"
pytestmark = needs_sops


def _printed(folder: Path, key_file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(DEPLOY / "sops-manifests")],
        cwd=folder,
        env={**os.environ, "SOPS_AGE_KEY_FILE": str(key_file)},
        capture_output=True,
        text=True,
        check=False,
    )


def _refused(folder: Path, key_file: Path) -> str:
    done = _printed(folder, key_file)
    assert done.returncode != 0
    assert done.stdout == ""
    return done.stderr


def test_every_secret_of_the_folder_is_printed_whole(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    done = _printed(held.folder, key.file)
    assert (done.returncode, done.stderr) == (0, "")
    manifests = {each["metadata"]["name"]: each for each in yaml.safe_load_all(done.stdout)}
    assert set(manifests) == {needed.name for needed in NEEDED}
    for name, manifest in manifests.items():
        assert decoded(manifest) == held.values(name)
        assert set(manifest) == {"apiVersion", "kind", "metadata", "type", "data"}


def test_one_file_that_cannot_be_read_keeps_all_from_being_printed(tmp_path: Path) -> None:
    key, other = age_key(tmp_path), age_key(tmp_path, "other")
    held = dev_secrets(tmp_path, key)
    foreign = dev_secrets(tmp_path / "foreign", other)
    shutil.copy(foreign.file("postgres-passwords"), held.file("postgres-passwords"))
    assert "postgres-passwords.enc.yaml cannot be decrypted" in _refused(held.folder, key.file)


def test_a_tampered_file_is_named(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    path = held.file("keycloak-clients")
    path.write_text(path.read_text().replace("namespace: dev", "namespace: prod"))
    told = _refused(held.folder, key.file)
    assert "keycloak-clients.enc.yaml cannot be decrypted" in told
    assert "MAC mismatch" in told


def test_an_empty_folder_is_a_fault_for_argo_cd_would_prune_everything(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no *.enc.yaml" in _refused(empty, key.file)


def test_a_plain_manifest_and_a_link_are_refused(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    plain = held.folder / "orders.yaml"
    plain.write_text("kind: Secret\n")
    assert "orders.yaml stands there unencrypted" in _refused(held.folder, key.file)
    plain.unlink()
    (held.folder / "link.enc.yaml").symlink_to(key.file)
    told = _refused(held.folder, key.file)
    assert "link.enc.yaml is a symbolic link" in told
    assert "AGE-SECRET-KEY" not in told


def test_no_value_is_told_where_something_fails(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    values = [value for name in held.names() for value in held.values(name).values()]
    path = EnvironmentSecrets(held.tree, "dev").file("postgres-passwords")  # the last but one that is read
    path.write_text(path.read_text().replace("type: Opaque", "type: other"))
    told = _refused(held.folder, key.file)
    assert not [value for value in values if value.strip() in told]


def test_the_plugin_s_command_is_in_its_image_under_the_name_that_applications_use() -> None:
    plugin = yaml.safe_load((DEPLOY / "plugin.yaml").read_text())
    (command,) = plugin["spec"]["generate"]["command"]
    assert (DEPLOY / command).is_file()
    assert os.access(DEPLOY / command, os.X_OK)
    applications = sorted((DEPLOY.parents[1] / "customization" / "apps-children").glob("*/secrets-app-*.yaml"))
    assert len(applications) == 3
    for path in applications:
        source = yaml.safe_load(path.read_text())["spec"]["source"]
        assert source["plugin"]["name"] == plugin["metadata"]["name"]
        assert (DEPLOY.parents[1] / source["path"]).is_dir()
