"""Testkube runs what the gates' Jobs run, by an agent that its chart installs for each environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeymesh.cli.main import outcome
from journeymesh.delivery.addresses import Addresses, addresses, write_addresses
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.rendering import rendered_objects
from journeymesh.delivery.tree import ENVIRONMENTS, Tree

ROOT = Path(__file__).parents[3]
CUSTOMIZATION = ROOT / "customization"
WORKFLOWS = sorted((CUSTOMIZATION / "testkube/base").glob("*-e2e*.yaml"))
needs_kustomize = pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="neither kustomize nor kubectl is on PATH"
)


def _one(path: Path) -> Any:
    (content,) = yaml.safe_load_all(path.read_text("utf-8"))
    return content


def _job_of(name: str) -> Any:
    """The Job of this name, wherever a service keeps it."""
    found = [
        document
        for path in (CUSTOMIZATION / "services").glob("*/base/e2e*.yaml")
        for document in yaml.safe_load_all(path.read_text("utf-8"))
        if document["metadata"]["name"] == name
    ]
    assert len(found) == 1, name
    return found[0]


def _values(environment: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["name"]: each.get("value") or each["valueFrom"] for each in environment}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_the_same_steps_as_the_job_of_its_name(path: Path) -> None:
    workflow = _one(path)
    pod = _job_of(workflow["metadata"]["name"])["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    held, (step,) = workflow["spec"]["container"], workflow["spec"]["steps"]
    assert held["image"] == container["image"]
    assert step["run"]["args"] == container["args"]
    assert _values(held["env"]) == _values(container["env"])
    assert held["resources"] == container["resources"]
    assert workflow["spec"]["pod"]["labels"]["journeymesh.io/role"] == pod["metadata"]["labels"]["journeymesh.io/role"]
    certificates = [each for each in pod["spec"]["volumes"] if "secret" in each]
    assert workflow["spec"]["pod"].get("volumes", []) == certificates


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_starts_the_program_that_the_image_starts(path: Path) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    stage = dockerfile.split(" AS e2e\n")[1].split("\nFROM ")[0]
    entrypoint = yaml.safe_load(re.search(r"ENTRYPOINT (.*)", stage)[1])  # type: ignore[index]
    workdir = re.search(r"WORKDIR (\S+)", stage)[1]  # type: ignore[index]
    workflow = _one(path)["spec"]
    assert workflow["steps"][0]["run"]["command"] == entrypoint
    assert workflow["container"]["workingDir"] == workdir


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_s_containers_and_pods_are_restricted(path: Path) -> None:
    spec = _one(path)["spec"]
    context = spec["container"]["securityContext"]
    assert (context["runAsNonRoot"], context["allowPrivilegeEscalation"]) == (True, False)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert spec["pod"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["job"]["annotations"] == {
        "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
        "argocd.argoproj.io/sync-options": "Prune=false",
    }


@needs_kustomize
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_s_workflows_and_triggers_are_about_that_environment(environment: str) -> None:
    objects = rendered_objects(CUSTOMIZATION / "testkube" / environment)
    inside = [each for each in objects if each["metadata"]["namespace"] == environment]
    assert {each["kind"] for each in inside} == {"ServiceAccount", "Role", "RoleBinding"}
    beside = {each["metadata"]["namespace"] for each in objects if each not in inside}
    assert beside == {f"testkube-{environment}"}
    workflows = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "TestWorkflow"}
    assert set(workflows) == {path.stem for path in WORKFLOWS}
    for spec in workflows.values():
        assert spec["job"]["namespace"] == environment
        assert re.search(r"/journeymesh-e2e@sha256:[0-9a-f]{64}$", spec["container"]["image"])
    triggers = [each["spec"] for each in objects if each["kind"] == "TestTrigger"]
    watched = {spec["selector"]["matchLabels"]["testkube.io/resource-name"] for spec in triggers}
    assert watched == {"journeyapi", "identityapi", "console", "gatewayapi"}
    for spec in triggers:
        assert spec["selector"]["matchLabels"]["testkube.io/resource-namespace"] == environment
        assert spec["testSelector"]["name"] in workflows
        assert spec["execution"] == "testworkflow"


@needs_kustomize
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_gate_is_a_hook_in_the_wave_of_the_job_whose_place_it_takes(environment: str) -> None:
    gates = sorted((CUSTOMIZATION / "testkube" / environment / "gates").iterdir())
    assert [gate.name for gate in gates] == ["console", "identityapi", "journeyapi"]
    for gate in gates:
        (execution,) = rendered_objects(gate)
        job = _job_of(execution["metadata"]["name"])
        assert execution["metadata"]["annotations"] == job["metadata"]["annotations"]
        assert execution["metadata"]["namespace"] == f"testkube-{environment}"
        assert execution["spec"]["testWorkflow"]["name"] in {path.stem for path in WORKFLOWS}
        named = execution["spec"]["executionRequest"]["testWorkflowExecutionName"]
        assert named == execution["metadata"]["name"]


@needs_kustomize
@pytest.mark.parametrize("service", ["journeyapi", "identityapi", "console"])
def test_the_component_takes_a_service_s_own_gate_out_and_nothing_else(service: str, tmp_path: Path) -> None:
    for folder in ("services", "components"):
        shutil.copytree(CUSTOMIZATION / folder, tmp_path / folder)
    overlay = tmp_path / "services" / service / "overlays/dev"
    before = {(each["kind"], each["metadata"]["name"]) for each in rendered_objects(overlay)}
    path = overlay / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    content.setdefault("components", []).append("../../../../components/testkube-gate")
    path.write_text(yaml.safe_dump(content))
    after = {(each["kind"], each["metadata"]["name"]) for each in rendered_objects(overlay)}
    assert before - after == {("Job", f"{service}-e2e-candidate")}
    assert after < before


@needs_kustomize
def test_what_testkube_gets_is_valid_by_its_kinds_schemas() -> None:
    schemas = pytest.importorskip("journeymesh.delivery.checks.schemas", reason="the room of checks is not there")
    for environment in ENVIRONMENTS:
        folder = CUSTOMIZATION / "testkube" / environment
        for place in (folder, *sorted((folder / "gates").iterdir())):
            for content in rendered_objects(place):
                assert [breach.what for breach in schemas.breaches(content)] == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_testkube_comes_only_where_an_administrator_wants_it(environment: str) -> None:
    assert not list((CUSTOMIZATION / "apps-children").rglob("*testkube*"))
    application = _one(CUSTOMIZATION / "optional" / f"testkube-app-{environment}.yaml")
    chart, tests = application["spec"]["sources"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["targetRevision"])
    assert (ROOT / tests["path"] / "kustomization.yaml").is_file()
    assert "ServerSideApply=true" in application["spec"]["syncPolicy"]["syncOptions"]
    assert application["spec"]["syncPolicy"]["automated"]["prune"] is False
    project = _one(CUSTOMIZATION / "optional/testkube-project.yaml")
    assert project["metadata"]["name"] == application["spec"]["project"]
    assert {chart["repoURL"], tests["repoURL"]} == set(project["spec"]["sourceRepos"])


def _values_of(environment: str) -> Any:
    application = _one(CUSTOMIZATION / "optional" / f"testkube-app-{environment}.yaml")
    return application["spec"]["sources"][0]["helm"]["valuesObject"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_standalone_agent_is_told_its_environment_in_the_way_that_it_takes(environment: str) -> None:
    values = _values_of(environment)
    agent = values["testkube-api"]
    assert "executionNamespaces" not in agent  # a standalone agent exits where it is set
    assert agent["extraEnvVars"] == [{"name": "DEFAULT_EXECUTION_NAMESPACE", "value": environment}]
    assert agent["additionalNamespaces"] == [environment]
    assert values["testkube-operator"] == {"enabled": False, "installCRD": True}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_testkube_s_own_pods_are_not_held_to_the_environment_s_ledger(environment: str) -> None:
    application = _one(CUSTOMIZATION / "optional" / f"testkube-app-{environment}.yaml")
    labels = application["spec"]["syncPolicy"]["managedNamespaceMetadata"]["labels"]
    assert "journeymesh.io/environment" not in labels


@needs_kustomize
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_tests_run_without_a_token_and_the_agent_reads_no_secret(environment: str) -> None:
    objects = rendered_objects(CUSTOMIZATION / "testkube" / environment)
    held = {each["kind"]: each for each in objects if each["metadata"]["namespace"] == environment}
    agent = _values_of(environment)["testkube-api"]
    assert held["ServiceAccount"]["metadata"]["name"] == agent["jobServiceAccountName"]
    assert held["ServiceAccount"]["automountServiceAccountToken"] is False
    (subject,) = held["RoleBinding"]["subjects"]
    assert (subject["name"], subject["namespace"]) == (agent["serviceAccount"]["name"], f"testkube-{environment}")
    assert agent["testServiceAccount"] == {"create": False}
    resources = {name for rule in held["Role"]["rules"] for name in rule["resources"]}
    assert resources == {"jobs", "pods", "pods/log"}


CHART = os.environ.get("JOURNEYMESH_TEST_TESTKUBE_CHART", "")


@pytest.mark.skipif(
    not CHART or shutil.which("helm") is None,
    reason="JOURNEYMESH_TEST_TESTKUBE_CHART names no chart, or helm is missing",
)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_chart_renders_an_agent_for_that_environment(environment: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(_values_of(environment)))
    argv = ["helm", "template", "testkube", CHART, "--namespace", f"testkube-{environment}"]
    done = subprocess.run(
        [*argv, "--values", str(tmp_path / "values.yaml")], capture_output=True, text=True, check=True
    )
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    (agent,) = [each for each in objects if each["kind"] == "Deployment" and "api-server" in each["metadata"]["name"]]
    pod = agent["spec"]["template"]["spec"]
    told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert told["DEFAULT_EXECUTION_NAMESPACE"] == environment
    assert "TESTKUBE_EXECUTION_NAMESPACES" not in told
    assert told["TESTKUBE_WATCHER_NAMESPACES"] == f"testkube-{environment},{environment}"
    assert told["JOB_SERVICE_ACCOUNT_NAME"] == "testkube-e2e"
    assert pod["serviceAccountName"] == "testkube-api-server"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_images_that_testkube_puts_into_test_pods_are_pinned_and_approved_by_a_command(
    environment: str, tmp_path: Path
) -> None:
    shutil.copytree(CUSTOMIZATION / "optional", tmp_path / "customization/optional")
    (tmp_path / "customization/services").mkdir()
    pins = [
        f"testkube-tw-{name}=mirror.example:5000/kubeshop/tw-{name}@sha256:{at * 64}" for name, at in IMAGES.items()
    ]
    argv = ["delivery", "pin", *pins, "--env", environment, "--tree", str(tmp_path)]
    for _ in range(2):
        assert outcome(argv) == 0
    path = tmp_path / "customization/optional" / f"testkube-app-{environment}.yaml"
    agent = _one(path)["spec"]["sources"][0]["helm"]["valuesObject"]["testkube-api"]
    for key, name in (("imageTwInit", "init"), ("imageTwToolkit", "toolkit")):
        digest = f"sha256:{IMAGES[name] * 64}"
        wanted = {"registry": "mirror.example:5000", "repository": f"kubeshop/tw-{name}", "digest": digest}
        assert agent[key] == wanted
        assert (digest, f"testkube-tw-{name}") in ApprovedDigests(Tree(tmp_path), environment).entries()
    others = [_one(path.with_name(f"testkube-app-{each}.yaml")) for each in ENVIRONMENTS if each != environment]
    assert not any("mirror.example" in str(each) for each in others)


IMAGES = {"init": "1", "toolkit": "2"}


def test_the_chart_s_repository_is_not_taken_for_ours(tmp_path: Path) -> None:
    shutil.copytree(CUSTOMIZATION / "optional", tmp_path / "customization/optional")
    tree = Tree(tmp_path)
    assert write_addresses(tree, Addresses("https://git.example/ours.git", "registry.example"))
    assert addresses(tree).repository == "https://git.example/ours.git"
    repositories = _one(tmp_path / "customization/optional/testkube-project.yaml")["spec"]["sourceRepos"]
    assert repositories == ["https://git.example/ours.git", "https://kubeshop.github.io/helm-charts"]


@pytest.mark.skipif(shutil.which("argocd") is None, reason="argocd, which runs the health check, is not on PATH")
@pytest.mark.parametrize(
    ("status", "health"),
    [
        (None, "Progressing"),
        ({"latestExecution": {"name": "run-1", "result": {"status": "running"}}}, "Progressing"),
        ({"latestExecution": {"name": "run-1", "result": {"status": "passed"}}}, "Healthy"),
        ({"latestExecution": {"name": "run-1", "result": {"status": "failed"}}}, "Degraded"),
        ({"latestExecution": {"name": "run-1", "result": {"status": "aborted"}}}, "Degraded"),
        ({"error": "no workflow of this name"}, "Degraded"),
    ],
)
def test_argo_cd_waits_for_the_verdict_of_a_run(status: dict[str, Any] | None, health: str, tmp_path: Path) -> None:
    execution = _one(CUSTOMIZATION / "testkube/gates/journeyapi/execution.yaml")
    if status is not None:
        execution["status"] = status
    path = tmp_path / "execution.yaml"
    path.write_text(yaml.safe_dump(execution))
    settings = CUSTOMIZATION / "bootstrap/argocd/argocd-cm.yaml"
    argv = ["argocd", "admin", "settings", "resource-overrides", "health", str(path), "--argocd-cm-path", str(settings)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert f"STATUS: {health}\n" in done.stdout
