"""What an API server answers to a dry run, told by file and line: here a program that answers as kubectl does."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from pathlib import Path

import pytest

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.findings import Finding
from journeymesh.delivery.checks.subject import Subject
from journeymesh.delivery.programs import ProgramFailed
from tests.support.one_service import needs_kustomize, write, written

pytestmark = needs_kustomize
KUBECTL = """\
#!{python}
import json, os, shutil, sys
if sys.argv[1] == "kustomize":
    os.execv({real!r}, [{real!r}, *sys.argv[1:]])
if sys.argv[1] == "get":
    sys.exit({readable}) if {readable} else print({namespaces!r})
else:
    answers, code = json.loads({answers!r}), 0
    for item in json.load(sys.stdin)["items"]:
        key = item["kind"] + " " + item["metadata"]["name"]
        if key in answers:
            print(answers[key], file=sys.stderr)
            code = code or int(not answers[key].startswith("Warning"))
    sys.exit(code)
"""


def answered(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, str],
    *,
    namespaces: str = "namespace/dev",
    readable: int = 0,
) -> list[Finding]:
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir(exist_ok=True)
    text = KUBECTL.format(
        python=sys.executable,
        real=shutil.which("kubectl") or "",
        namespaces=namespaces,
        readable=readable,
        answers=json.dumps(answers),
    )
    program.write_text(text, "utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    subject = Subject(written(tmp_path / "tree"), ("dev",), asks_server=True)
    return findings(subject, ["server-accepts"])


def test_a_server_that_takes_all_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert answered(tmp_path, monkeypatch, {}) == []


def test_a_refusal_is_told_by_the_line_of_the_field_that_the_server_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = (
        'The Service "greeter" is invalid: spec.ports[0].targetPort: Invalid value: "http": '
        "must contain at least one letter"
    )
    [fault] = answered(tmp_path, monkeypatch, {"Service greeter": told})
    assert fault.path == "customization/services/greeter/base/stable-service.yaml"
    line = (tmp_path / "tree" / fault.path).read_text("utf-8").splitlines()[fault.line - 1]
    assert line.strip() == "targetPort: http"
    assert "Invalid value" in fault.what


def test_an_admission_s_refusal_is_told_without_kubectl_s_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = 'Error from server (Forbidden): error when creating "STDIN": deployments.apps "greeter" is forbidden: by us'
    [fault] = answered(tmp_path, monkeypatch, {"Deployment greeter": told})
    assert fault.what == 'Deployment greeter: deployments.apps "greeter" is forbidden: by us'


def test_a_refusal_does_not_repeat_a_whole_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = (
        'The Deployment "greeter" is invalid: spec.template: Invalid value: {"Spec":{"Volumes":[]}}: field is immutable'
    )
    [fault] = answered(tmp_path, monkeypatch, {"Deployment greeter": told})
    assert fault.what.endswith("is invalid: spec.template: Invalid value: field is immutable")


def test_pods_that_pod_security_would_refuse_are_told_though_their_owner_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = 'Warning: would violate PodSecurity "restricted:latest": host namespaces (hostNetwork=true)'
    [fault] = answered(tmp_path, monkeypatch, {"Deployment greeter": told})
    assert "would violate PodSecurity" in fault.what


def test_a_hook_is_asked_about_by_another_name_for_argo_cd_deletes_the_former_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    answers = {"Job greeter-e2e-candidate": "The Job is invalid: spec.template: field is immutable"}
    assert answered(tmp_path, monkeypatch, answers) == []


def test_the_list_of_approved_digests_is_not_asked_about_for_only_argo_cd_may_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "tree/customization/platform"
    metadata = {"name": "approved-digests", "namespace": "dev"}
    write(folder / "ledger.yaml", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    write(folder / "kustomization.yaml", {"kind": "Kustomization", "resources": ["ledger.yaml"]})
    assert answered(tmp_path, monkeypatch, {"ConfigMap approved-digests": "forbidden"}) == []


def test_a_kind_that_the_cluster_does_not_know_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told = 'error: resource mapping not found for name: "x" from "STDIN": no matches for kind "Deployment"'
    answers = {"Deployment greeter": told, "Deployment greeter-candidate": told}
    [fault] = answered(tmp_path, monkeypatch, answers)
    assert fault.what == "the cluster knows no Deployment"


def test_a_namespace_that_is_not_there_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers = {"Deployment greeter": "never asked"}
    [fault] = answered(tmp_path, monkeypatch, answers, namespaces="namespace/default namespace/argocd")
    assert fault.what == "the cluster has no namespace dev: nothing in it was checked"


def test_no_server_at_all_is_no_finding_but_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ProgramFailed, match="no API server answers"):
        answered(tmp_path, monkeypatch, {}, readable=1)
