from __future__ import annotations

import base64
from pathlib import Path

import yaml

from journeymesh.delivery.secret_checks import secret_findings, secret_references
from journeymesh.delivery.secrets import EnvironmentSecrets
from tests.support.encrypted_tree import age_key, dev_secrets, needs_sops, tree_in


def _rules(held: EnvironmentSecrets, *, opened: bool = True) -> list[tuple[str, str]]:
    return [(finding.rule, Path(finding.place).name) for finding in secret_findings(held, opened=opened)]


def _service(held: EnvironmentSecrets, manifest: str) -> None:
    base = held.tree.service("orders") / "base"
    base.mkdir(parents=True, exist_ok=True)
    (base / "deployment.yaml").write_text(manifest)


@needs_sops
def test_what_was_just_made_is_in_order_with_and_without_the_key(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    assert _rules(held) == []
    assert _rules(EnvironmentSecrets(held.tree, "dev"), opened=False) == []


def test_each_secret_that_is_needed_and_not_there_is_named_once(tmp_path: Path) -> None:
    held = EnvironmentSecrets(tree_in(tmp_path), "dev")
    assert _rules(held) == [
        ("secret-missing", f"{name}.enc.yaml")
        for name in ("postgres-passwords", "journeymesh-keys", "keycloak-admin", "keycloak-clients", "gateway-tls")
    ]


@needs_sops
def test_a_value_in_plain_is_found_without_a_key(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    content = yaml.safe_load(held.file("keycloak-admin").read_text())
    content["data"]["client-secret"] = base64.b64encode(b"hunter2").decode()
    held.file("keycloak-admin").write_text(yaml.safe_dump(content))
    (finding,) = secret_findings(held, opened=False)
    assert finding.rule == "secret-plain"
    assert "data.client-secret in plain" in finding.what
    assert "rotate its values" in finding.todo


@needs_sops
def test_a_plain_manifest_among_them_is_found(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    (held.folder / "orders.yaml").write_text("kind: Secret\nstringData: {password: hunter2}\n")
    assert _rules(held) == [("secret-plain-file", "orders.yaml")]


@needs_sops
def test_a_wrong_key_and_a_tampered_file_are_told_apart(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    assert {rule for rule, _ in _rules(EnvironmentSecrets(held.tree, "dev", age_key(tmp_path, "other").file))} == {
        "secret-undecryptable"
    }
    path = held.file("keycloak-admin")
    path.write_text(path.read_text().replace("type: Opaque", "type: kubernetes.io/tls"))
    assert _rules(held) == [("secret-tampered", "keycloak-admin.enc.yaml")]


@needs_sops
def test_readers_that_sops_yaml_does_not_name_are_found(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    held.entrust([age_key(tmp_path, "other").recipient])
    assert {rule for rule, _ in _rules(held, opened=False)} == {"secret-recipients"}


@needs_sops
def test_a_weak_value_is_found_and_not_shown(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    held.put("postgres-passwords", "postgres", "hunter2")
    (finding,) = secret_findings(held)
    assert (finding.rule, finding.what) == ("secret-value", "postgres has 7 characters, 16 are needed")
    assert "hunter2" not in str(finding)


@needs_sops
def test_a_key_that_a_service_reads_and_the_secret_lacks_is_named_with_its_reader(tmp_path: Path) -> None:
    held = dev_secrets(tmp_path, age_key(tmp_path))
    held.put("orders-database", "user", "orders")
    _service(held, "env: [{valueFrom: {secretKeyRef: {name: orders-database, key: password}}}]\n")
    (finding,) = secret_findings(held)
    assert finding.rule == "secret-key-missing"
    assert finding.what == "it has no key password, which customization/services/orders/base/deployment.yaml reads"


@needs_sops
def test_a_secret_of_another_environment_is_not_taken_for_this_one_s(tmp_path: Path) -> None:
    key = age_key(tmp_path)
    held = dev_secrets(tmp_path, key)
    prod = EnvironmentSecrets(held.tree, "prod", key.file)
    prod.make_missing([key.recipient])
    prod.file("keycloak-admin").write_bytes(held.file("keycloak-admin").read_bytes())
    assert _rules(prod) == [("secret-name", "keycloak-admin.enc.yaml")]


def test_variables_volumes_and_certificates_are_references_and_optional_ones_are_not(tmp_path: Path) -> None:
    held = EnvironmentSecrets(tree_in(tmp_path), "dev")
    _service(
        held,
        """
kind: Deployment
env:
  - valueFrom: {secretKeyRef: {name: one, key: a}}
  - valueFrom: {secretKeyRef: {name: left-out, key: a, optional: true}}
envFrom: [{secretRef: {name: two}}]
volumes:
  - secret: {secretName: three, items: [{key: b, path: b}]}
  - secret: {secretName: four}
  - projected: {sources: [{secret: {name: five, items: [{key: c, path: c}]}}]}
---
kind: Gateway
listeners: [{tls: {certificateRefs: [{name: six}]}}]
""",
    )
    assert {(each.name, each.key) for each in secret_references(held.tree, "dev")} == {
        ("one", "a"),
        ("two", ""),
        ("three", "b"),
        ("four", ""),
        ("five", "c"),
        ("six", "tls.crt"),
    }
