"""Rules over a small tree: what each finds, and that it finds nothing where nothing is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.checks.checking import chosen_rules, findings, rules
from journeymesh.delivery.checks.findings import UnknownRule
from journeymesh.delivery.checks.subject import Subject
from tests.support.delivery_sabotages import SABOTAGES
from tests.support.one_service import (
    NAME,
    WAVE,
    Objects,
    application,
    found,
    found_after,
    needs_kustomize,
    objects,
    write,
    written,
)

SHOWN_HERE = {
    "autoscaler-target",
    "certificate-ends-soon",
    "certificate-holds",
    "gate-same-image",
    "gate-same-settings",
    "image-released",
    "labels",
    "network-policy-open",
    "objects-once",
    "platform-namespaces",
    "project-there",
    "replicas-one-owner",
    "secret-encrypted",
    "secret-known",
    "secret-place",
    "selector-matches",
    "selectors-apart",
    "server-accepts",
    "wave-of-stable",
}
"""Rules that no sabotage of one line breaks alone, shown by tests of their own here and in ``test_platform_rules``."""


def container(held: Objects, name: str = "stable") -> dict[str, Any]:
    return held[name]["spec"]["template"]["spec"]["containers"][0]


@needs_kustomize
def test_a_service_behind_its_gate_has_no_faults(tmp_path: Path):
    assert found(written(tmp_path)) == []


def test_every_rule_is_caught_by_a_sabotage_or_shown_by_a_test():
    assert {sabotage.rule for sabotage in SABOTAGES} | SHOWN_HERE == set(rules())


def test_every_rule_says_what_must_hold_and_what_to_do():
    for each in rules().values():
        assert each.meaning.endswith("."), each.id
        assert each.fix, each.id
        assert not each.fix.endswith("."), each.id


def test_an_unknown_rule_is_refused_with_those_that_are_alike():
    with pytest.raises(UnknownRule, match="image-pinned"):
        chosen_rules(["image-digest"])


@needs_kustomize
def test_findings_come_in_the_same_order_each_time(tmp_path: Path):
    held = objects()
    for name in ("stable", "candidate", "gate"):
        container(held, name)["securityContext"] = {}
    tree = written(tmp_path, held)
    first = found(tree)
    assert first == found(tree)
    assert first == sorted(first)
    assert len(first) > 6


@needs_kustomize
def test_a_candidate_with_another_image_is_no_test_of_the_stable_one(tmp_path: Path):
    def change(held: Objects) -> None:
        container(held)["image"] = "e2e"

    [fault] = found_after(tmp_path, change, "gate-same-image")
    assert "no candidate was tested with" in fault.what


@needs_kustomize
def test_a_candidate_with_other_settings_is_no_test_of_the_stable_one(tmp_path: Path):
    def change(held: Objects) -> None:
        container(held)["env"] = [{"name": "MODE", "value": "users"}]

    [fault] = found_after(tmp_path, change, "gate-same-settings")
    assert fault.what.endswith("differs from the candidate in env")


@needs_kustomize
def test_a_released_tree_has_no_placeholders(tmp_path: Path):
    images = [
        {"name": name, "newName": f"registry.example/{name}", "digest": f"sha256:{'0' * 64}"}
        for name in ("greeter", "e2e")
    ]
    faults = found(written(tmp_path, overlay={"images": images}), "image-released")
    assert {fault.what.split()[0] for fault in faults} == {"registry.example/greeter", "registry.example/e2e"}


@needs_kustomize
def test_a_scaled_deployment_says_no_replicas(tmp_path: Path):
    def change(held: Objects) -> None:
        held["scaler"] = scaler("greeter")

    [fault] = found_after(tmp_path, change, "replicas-one-owner", "autoscaler-target")
    assert fault.rule == "replicas-one-owner"


@needs_kustomize
def test_a_scaler_scales_what_is_there(tmp_path: Path):
    def change(held: Objects) -> None:
        held["scaler"] = scaler("greeting")

    [fault] = found_after(tmp_path, change, "replicas-one-owner", "autoscaler-target")
    assert fault.what == "HorizontalPodAutoscaler greeter scales Deployment greeting, which does not exist"


def scaler(target: str) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "greeter", "annotations": {WAVE: "2"}},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}, "maxReplicas": 3},
    }


@needs_kustomize
@pytest.mark.parametrize(
    ("budget", "blocks"),
    [
        ({"minAvailable": 1}, True),
        ({"minAvailable": "100%"}, True),
        ({"maxUnavailable": "0%"}, True),
        ({"minAvailable": "50%"}, False),
        ({"maxUnavailable": 1}, False),
    ],
)
def test_a_budget_that_keeps_every_pod_blocks_drains(tmp_path: Path, budget: dict[str, Any], blocks: bool):
    def change(held: Objects) -> None:
        held["budget"]["spec"] = {"selector": held["budget"]["spec"]["selector"], **budget}

    assert bool(found_after(tmp_path, change, "disruption-allowed")) is blocks


@needs_kustomize
def test_a_candidate_that_shares_a_selector_is_told(tmp_path: Path):
    def change(held: Objects) -> None:
        held["stable"]["spec"]["selector"]["matchLabels"] = {NAME: "greeter"}

    [fault] = found_after(tmp_path, change, "selectors-apart")
    assert fault.what == "Deployment greeter also selects the pods of Deployment greeter-candidate"


@needs_kustomize
def test_a_deployment_selects_its_own_pods(tmp_path: Path):
    def change(held: Objects) -> None:
        held["stable"]["spec"]["selector"]["matchLabels"][NAME] = "greeting"

    assert [fault.rule for fault in found_after(tmp_path, change, "selector-matches")] == ["selector-matches"]


@needs_kustomize
def test_a_stable_service_does_not_come_before_the_gate(tmp_path: Path):
    def change(held: Objects) -> None:
        held["stable-service"]["metadata"]["annotations"][WAVE] = "0"

    [fault] = found_after(tmp_path, change, "wave-of-stable")
    assert fault.what == "Service greeter is in wave 0, the gate in wave 1"


@needs_kustomize
def test_what_a_candidate_needs_comes_no_later_than_it(tmp_path: Path):
    def change(held: Objects) -> None:
        for name in ("account", "network"):
            held[name]["metadata"]["annotations"][WAVE] = "2"

    assert sorted(fault.what for fault in found_after(tmp_path, change, "gate-order")) == [
        "NetworkPolicy greeter is in wave 2, after the candidate that needs it",
        "ServiceAccount greeter is in wave 2, after the candidate that needs it",
    ]


@needs_kustomize
def test_a_second_policy_for_the_same_pods_may_come_later(tmp_path: Path):
    def change(held: Objects) -> None:
        more = {**held["network"], "metadata": {"name": "metrics", "annotations": {WAVE: "2"}}}
        held["network-metrics"] = more

    assert found_after(tmp_path, change, "gate-order") == []


@needs_kustomize
def test_a_workload_without_labels_is_told(tmp_path: Path):
    def change(held: Objects) -> None:
        del held["stable"]["metadata"]["labels"]

    assert len(found_after(tmp_path, change, "labels")) == 2


@needs_kustomize
def test_two_services_do_not_own_the_same_object(tmp_path: Path):
    tree = written(tmp_path)
    shutil.copytree(tree.service("greeter"), tree.service("another"))
    whats = {fault.what for fault in found(tree, "objects-once")}
    assert "Deployment greeter is also rendered by another-app-dev" in whats


@needs_kustomize
def test_a_policy_that_lets_everybody_in_is_told(tmp_path: Path):
    def change(held: Objects) -> None:
        del held["network"]["spec"]["ingress"][0]["from"]

    assert [fault.what for fault in found_after(tmp_path, change, "network-policy-open")] == [
        "NetworkPolicy greeter allows ingress from everywhere"
    ]


@needs_kustomize
@pytest.mark.parametrize(("name", "direction"), [("network", "ingress"), ("network-e2e", "egress")])
def test_a_test_that_is_kept_from_its_candidate_is_told(tmp_path: Path, name: str, direction: str):
    def change(held: Objects) -> None:
        held[name]["spec"][direction][0]["ports"] = [{"port": 9090}]

    [fault] = found_after(tmp_path, change, "network-policy-reaches")
    assert f"no NetworkPolicy allows its {direction}" in fault.what
    assert fault.what.startswith("Job greeter-e2e-candidate connects to Service greeter-candidate at port 8080")


@needs_kustomize
def test_an_egress_rule_may_name_the_port_by_its_name_or_by_a_namespace(tmp_path: Path):
    def change(held: Objects) -> None:
        spec = held["network-e2e"]["spec"]
        spec["egress"] = [
            {
                "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "dev"}}}],
                "ports": [{"port": "http"}],
            }
        ]

    assert found_after(tmp_path, change, "network-policy-reaches") == []


# --- secrets --------------------------------------------------------------------------------------------------------


def secret(**values: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "greeting", "namespace": "dev"}, **values}


SEALED = {"mac": "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]", "age": [{"recipient": "age1x", "enc": "y"}]}


def secrets_of(tmp_path: Path, content: dict[str, Any], place: str = "customization/secrets/dev") -> list[str]:
    tree = written(tmp_path)
    write(tmp_path / place / "greeting.enc.yaml", content)
    return [f"{fault.rule}: {fault.what}" for fault in found(tree, "secret-encrypted", "secret-place", "secret-plain")]


def test_a_secret_that_sops_sealed_is_well(tmp_path: Path):
    content = secret(stringData={"token": "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]"}, sops=SEALED)
    assert secrets_of(tmp_path, content) == []


def test_one_plain_value_in_an_encrypted_file_is_told_without_the_value(tmp_path: Path):
    content = secret(data={"token": "Y29ycmVjdA=="}, sops=SEALED)
    assert secrets_of(tmp_path, content) == ["secret-encrypted: data.token is plain"]


def test_a_file_that_only_looks_encrypted_is_told(tmp_path: Path):
    told = secrets_of(tmp_path, secret(stringData={"token": "ENC[AES256_GCM,data:x"}, sops={}))
    assert told == [
        "secret-encrypted: greeting.enc.yaml has no mac of SOPS",
        "secret-encrypted: greeting.enc.yaml is encrypted for no recipient",
    ]


def test_an_encrypted_secret_stands_with_its_environment(tmp_path: Path):
    content = secret(sops=SEALED)
    assert secrets_of(tmp_path, content, "customization/secrets/prod") == [
        "secret-place: greeting.enc.yaml is for dev, its folder for prod"
    ]
    assert "secret-place" in secrets_of(tmp_path, content, "customization/services/greeter/base")[0]


@needs_kustomize
def test_a_pod_needs_no_secret_that_its_environment_lacks(tmp_path: Path):
    def change(held: Objects) -> None:
        reference = {"secretKeyRef": {"name": "greetings", "key": "token"}}
        container(held)["env"] = [{"name": "TOKEN", "valueFrom": reference}]

    assert found_after(tmp_path, change, "secret-known") == []  # the tree holds no Secrets: they come from elsewhere
    write(tmp_path / "customization/secrets/dev/greeting.enc.yaml", secret(sops=SEALED))
    [fault] = found_after(tmp_path, change, "secret-known")
    assert fault.what == "Deployment greeter needs Secret greetings, which dev does not have"


@needs_kustomize
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("API_KEY", "correct-horse-battery", True),
        ("STORE", "postgresql://me:correct-horse@postgres/db", True),
        ("CERTIFICATE", "-----BEGIN RSA PRIVATE KEY-----\nMIIE", True),
        ("STORE", "postgresql://me:$(PASSWORD)@postgres/db", False),
        ("PASSWORD_FILE", "/run/secrets/password", False),
        ("KEY", "region", False),
        ("TOKEN", "/var/run/token", False),
    ],
)
def test_what_looks_like_a_secret_is_none_in_a_variable(tmp_path: Path, name: str, value: str, told: bool):
    def change(held: Objects) -> None:
        container(held)["env"] = [{"name": name, "value": value}]

    faults = found_after(tmp_path, change, "secret-in-settings")
    assert bool(faults) is told
    assert all(value not in fault.what for fault in faults)


# --- projects and Applications ---------------------------------------------------------------------------------------


def test_a_tree_with_bootstrap_has_its_projects(tmp_path: Path):
    tree = written(tmp_path)
    tree.bootstrap.mkdir()
    whats = [fault.what for fault in found(tree, "project-there")]
    assert whats == [
        "there is no appbundle-project-dev",
        "there is no platform-project",
        "there is no workloads-project-dev",
    ]


def test_a_service_is_there_where_it_has_an_application_and_nowhere_else(tmp_path: Path):
    tree = written(tmp_path)
    assert findings(Subject(tree), ["service-application"]) == []  # it runs in dev only
    tree.application("greeter", "dev").unlink()
    [fault] = findings(Subject(tree), ["service-application"])
    assert fault.what == "greeter has an overlay and no Application in dev"
    write(tree.application("greeter", "dev"), application())
    write(tree.application("greeter", "test"), application() | {"metadata": {"name": "greeter-app-test"}})
    [fault] = findings(Subject(tree), ["service-application"])
    assert fault.what == "greeter has an Application and no overlay in test"


def test_a_second_application_in_a_file_is_told(tmp_path: Path):
    tree = written(tmp_path)
    path = tree.application("greeter", "dev")
    path.write_text(f"{path.read_text('utf-8')}---\n{path.read_text('utf-8')}", "utf-8")
    assert [fault.what for fault in found(tree, "child-name")] == [
        "greeter-app-dev.yaml holds more than one Application"
    ]


def test_what_argo_cd_would_not_render_is_no_child(tmp_path: Path):
    tree = written(tmp_path)
    (tree.applications("dev") / "kustomization.yaml").write_text("kind: Kustomization\n", "utf-8")
    assert [fault.what for fault in found(tree, "children-plain")] == ["kustomization.yaml is not an Application"]


SHAPED = ("children-plain", "child-name", "child-source", "wave-order", "app-syncs", "one-repository", "keys-once")


def test_a_manifest_of_any_shape_is_told_and_breaks_no_rule(tmp_path: Path):
    tree = written(tmp_path)
    for content in (
        "[hello]\n",
        "spec: [1]\nkind: Application\nmetadata: hello\n",
        "kind: Application\nspec: {source: 1}\n",
    ):
        (tree.applications("dev") / "odd-app-dev.yaml").write_text(content, "utf-8")
        assert found(tree, *SHAPED, "file-is-yaml")


def test_the_application_of_one_service_is_its_own(tmp_path: Path):
    tree = written(tmp_path)
    content = application()
    content["spec"]["source"]["path"] = "customization/services/another/overlays/dev"
    write(tree.application("greeter", "dev"), content)
    [fault] = found(tree, "child-source")
    assert fault.what.startswith("greeter-app-dev reads customization/services/another/overlays/dev")
