"""Rules over what belongs to the cluster: admission policies and the fences of namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.subject import Subject
from tests.support.one_service import needs_kustomize, write, written


def platform(tmp_path: Path, *held: dict[str, Any]) -> Subject:
    folder = tmp_path / "customization/platform"
    for index, content in enumerate(held):
        write(folder / f"{index}.yaml", content)
    write(
        folder / "kustomization.yaml", {"kind": "Kustomization", "resources": [f"{i}.yaml" for i in range(len(held))]}
    )
    return Subject(written(tmp_path), ("dev",))


ADMISSION = "admissionregistration.k8s.io/v1"


def admission(failure: str = "Fail") -> dict[str, Any]:
    pods = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"]}
    return {
        "apiVersion": ADMISSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "approved-digests"},
        "spec": {
            "failurePolicy": failure,
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [pods]},
            "validations": [{"expression": "object.spec.containers.size() > 0"}],
        },
    }


def binding(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": ADMISSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "approved-digests-dev"},
        "spec": {
            "policyName": "approved-digests",
            "validationActions": ["Deny"],
            "paramRef": {"name": "approved-digests", "namespace": "dev", "parameterNotFoundAction": "Deny"},
            **spec,
        },
    }


@needs_kustomize
def test_an_admission_policy_fails_closed_and_denies_without_its_parameter(tmp_path: Path):
    rules_ = ("admission-fails-closed", "admission-bound")
    assert findings(platform(tmp_path, admission(), binding()), rules_) == []
    missing = {"name": "approved-digests", "parameterNotFoundAction": "Allow"}
    faults = findings(platform(tmp_path, admission("Ignore"), binding(paramRef=missing)), rules_)
    assert [fault.rule for fault in faults] == ["admission-fails-closed", "admission-bound"]
    assert [
        fault.rule for fault in findings(platform(tmp_path, admission(), binding(validationActions=["Audit"])), rules_)
    ] == ["admission-bound"]
    assert [fault.what for fault in findings(platform(tmp_path, admission()), rules_)] == [
        "ValidatingAdmissionPolicy approved-digests has no binding"
    ]


@needs_kustomize
def test_the_admission_of_images_covers_every_kind_that_makes_pods(tmp_path: Path):
    whats = [fault.what for fault in findings(platform(tmp_path, admission(), binding()), ["admission-images"])]
    assert any("does not cover cronjobs, daemonsets" in what for what in whats)
    assert any("dev has no ConfigMap approved-digests" in what for what in whats)


@needs_kustomize
def test_what_the_platform_puts_into_a_namespace_has_that_namespace(tmp_path: Path):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "share", "namespace": "nowhere"}}
    [fault] = findings(platform(tmp_path, quota), ["platform-namespaces"])
    assert fault.what == "ResourceQuota share is in namespace nowhere"
