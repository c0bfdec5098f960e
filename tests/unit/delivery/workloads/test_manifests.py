"""What Kustomize makes of a workload: gate, fences, restricted pods, one image by its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.images import pin
from journeymesh.delivery.programs import first_installed
from journeymesh.delivery.rendering import rendered, rendered_objects
from journeymesh.delivery.tree import Tree
from journeymesh.delivery.workloads.render import load_workload, rendering, write
from tests.support.trees import DIGEST, REPOSITORY, a_tree, an_image, begun

SAMPLES = ("python", "node", "java", "go", "dotnet")

pytestmark = pytest.mark.skipif(
    first_installed(("kustomize", "kubectl")) is None, reason="neither kustomize nor kubectl is installed"
)

Objects = dict[tuple[str, str], dict[str, Any]]


def objects(tree: Tree, name: str = "hello", environment: str = "dev") -> Objects:
    held = rendered_objects(tree.overlay(name, environment))
    return {(each["kind"], each["metadata"]["name"]): each for each in held}


def pods(held: Objects) -> dict[str, dict[str, Any]]:
    return {
        name: each["spec"]["template"]["spec"] for (kind, name), each in held.items() if kind in ("Deployment", "Job")
    }


@pytest.mark.parametrize("language", SAMPLES)
def test_a_sample_is_rendered_from_a_score_file_of_at_most_fifteen_lines(language: str, tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    folder = begun(tree, language, image=None, source=REPOSITORY / "examples" / "workloads" / language)
    assert len((folder / "score.yaml").read_text("utf-8").splitlines()) <= 15
    for environment, replicas in (("dev", 1), ("test", 1), ("prod", 2)):
        held = objects(tree, language, environment)
        assert held["Deployment", language]["spec"]["replicas"] == replicas
        assert held["Deployment", f"{language}-candidate"]["spec"]["replicas"] == 1
        assert {each["metadata"]["namespace"] for each in held.values()} == {environment}
        assert len(pods(held)) == 4
        for pod in pods(held).values():
            assert_restricted(pod)


def assert_restricted(pod: dict[str, Any]) -> None:
    """As Kubernetes' profile `restricted` has it, and beyond."""
    assert pod["automountServiceAccountToken"] is False
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"emptyDir", "configMap", "secret"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert "@sha256:" in container["image"]


def test_the_gate_stands_between_the_candidate_and_the_stable_one(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    held = objects(tree)
    wave = {key: each["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] for key, each in held.items()}
    assert wave["Deployment", "hello-candidate"] == wave["Service", "hello-candidate"] == "0"
    assert wave["Job", "hello-e2e-candidate"] == "1"
    assert wave["Deployment", "hello"] == wave["Service", "hello"] == wave["PodDisruptionBudget", "hello"] == "2"
    assert wave["HTTPRoute", "hello"] == wave["Job", "hello-e2e"] == "3"
    for name in ("hello-e2e-candidate", "hello-e2e"):
        notes = held["Job", name]["metadata"]["annotations"]
        assert notes["argocd.argoproj.io/hook"] == "Sync"
        assert notes["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
        [mounted] = [each["configMap"]["name"] for each in pods(held)[name]["volumes"] if "configMap" in each]
        assert "test_hello.py" in held["ConfigMap", mounted]["data"]
    assert held["HTTPRoute", "hello"]["spec"]["rules"][0]["backendRefs"][0]["name"] == "hello", "never the candidate"
    route = held["HTTPRoute", "hello"]["spec"]["rules"][0]
    assert route["matches"] == [{"path": {"type": "PathPrefix", "value": "/w/hello"}}]
    assert "authenticated" in str(route["filters"])


def test_candidate_and_stable_differ_in_nothing_but_name_number_and_spread(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    both = pods(objects(tree))
    stable = {key: value for key, value in both["hello"].items() if key != "topologySpreadConstraints"}
    assert stable == both["hello-candidate"]


def test_services_and_budget_select_one_track_and_never_the_tests(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    held = objects(tree)
    labels = {
        name: each["spec"]["template"]["metadata"]["labels"]
        for (kind, name), each in held.items()
        if kind in ("Deployment", "Job")
    }

    def selected(selector: dict[str, str]) -> set[str]:
        return {name for name, held_by in labels.items() if selector.items() <= held_by.items()}

    assert selected(held["Service", "hello"]["spec"]["selector"]) == {"hello"}
    for name in ("hello", "hello-candidate"):
        assert [each["port"] for each in held["Service", name]["spec"]["ports"]] == [8080], "nothing else is exposed"
    assert selected(held["Service", "hello-candidate"]["spec"]["selector"]) == {"hello-candidate"}
    assert selected(held["PodDisruptionBudget", "hello"]["spec"]["selector"]["matchLabels"]) == {"hello"}
    fence = held["NetworkPolicy", "hello"]["spec"]
    assert selected(fence["podSelector"]["matchLabels"]) == {"hello", "hello-candidate"}
    assert [each["podSelector"]["matchLabels"] for each in fence["ingress"][0]["from"]] == [
        {"app.kubernetes.io/name": "gatewayapi"},
        {"journeymesh.io/role": "e2e"},
    ]
    assert selected({"journeymesh.io/role": "e2e"}) == {"hello-e2e", "hello-e2e-candidate"}


def test_the_pinned_digest_is_the_one_that_runs_and_is_tested(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    running = {name: pod["containers"][0]["image"] for name, pod in pods(objects(tree)).items()}
    assert running["hello"] == running["hello-candidate"] == f"registry.example/hello@{DIGEST}"
    assert running["hello-e2e"] == running["hello-e2e-candidate"]
    assert running["hello-e2e"].startswith("registry.invalid/journeymesh-e2e@sha256:")


def test_an_image_of_a_registry_with_a_port_is_pinned_too(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree, image=an_image().__class__("localhost:5000/team/hello", DIGEST))
    assert pods(objects(tree))["hello"]["containers"][0]["image"] == f"localhost:5000/team/hello@{DIGEST}"


def test_an_hpa_decides_the_number_alone(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree, components=("hpa",))
    held = objects(tree, environment="prod")
    scaler = held["HorizontalPodAutoscaler", "hello"]["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hello"}
    assert "replicas" not in held["Deployment", "hello"]["spec"]
    assert held["Deployment", "hello-candidate"]["spec"]["replicas"] == 1


def test_a_service_monitor_comes_with_the_way_for_prometheus(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree, "hello-two", components=("service-monitor",))
    held = objects(tree, "hello-two")
    assert held["ServiceMonitor", "hello-two"]["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "hello-two",
        "journeymesh.io/track": "stable",
    }
    way = held["NetworkPolicy", "hello-two-metrics"]["spec"]
    assert way["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "hello-two"
    tests = (tree.service("hello-two") / "e2e" / "test_hello_two.py").read_text("utf-8")
    assert '"/metrics"' not in tests


def test_a_process_on_another_port_is_reached_by_the_gateway_and_the_tests(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree, port=3000)
    held = objects(tree)
    assert held["Service", "hello"]["spec"]["ports"][0]["port"] == 8080
    container = pods(held)["hello"]["containers"][0]
    assert container["ports"][0]["containerPort"] == 3000
    assert {"name": "PORT", "value": "3000"} in container["env"]
    for caller in ("gatewayapi", "e2e"):
        way = held["NetworkPolicy", f"hello-from-{caller}"]["spec"]
        assert caller in way["podSelector"]["matchLabels"].values()
        assert way["egress"][0]["ports"] == [{"protocol": "TCP", "port": 3000}]


def test_a_public_workload_asks_for_no_token_and_neither_do_its_tests(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree, public=True)
    held = objects(tree)
    filters = held["HTTPRoute", "hello"]["spec"]["rules"][0]["filters"]
    assert "authenticated" not in str(filters)
    assert "rate-limit" in str(filters)
    names = {each["name"] for each in pods(held)["hello-e2e"]["containers"][0]["env"]}
    assert names.isdisjoint({"TOKEN_URL", "CLIENT_SECRET"})


def test_a_patch_of_an_overlay_is_applied_there_and_nowhere_else(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    folder = begun(tree)
    patch = folder / "overlays" / "prod" / "patches" / "memory.yaml"
    patch.parent.mkdir()
    patch.write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: hello}\nspec: {template: {spec: {containers: "
        "[{name: hello, resources: {limits: {memory: 1Gi}}}]}}}\n",
        "utf-8",
    )
    write(tree, rendering(tree, load_workload(tree, "hello")))
    memory = {
        environment: pods(objects(tree, environment=environment))["hello"]["containers"][0]["resources"]["limits"]
        for environment in ("test", "prod")
    }
    assert (memory["test"]["memory"], memory["prod"]["memory"]) == ("256Mi", "1Gi")


def test_kustomize_gives_the_same_bytes_twice_and_other_ones_after_a_release(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    overlay = tree.overlay("hello", "dev")
    first = rendered(overlay)
    assert rendered(overlay) == first
    pin(overlay, "registry.example/hello", an_image(digest=f"sha256:{'9' * 64}"))
    assert rendered(overlay) != first


def test_variables_that_look_like_numbers_stay_strings(tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    folder = begun(tree)
    score = folder / "score.yaml"
    tricky = {"A": "1e3", "B": "0o17", "C": "yes", "D": "2026-01-01", "E": "0x1F", "F": "", "G": "a: b # c", "H": "~"}
    lines = "".join(f"      {key}: '{value}'\n" for key, value in tricky.items())
    text = score.read_text("utf-8").replace(
        "registry.example/hello\n", f"registry.example/hello\n    variables:\n{lines}"
    )
    score.write_text(text, "utf-8")
    write(tree, rendering(tree, load_workload(tree, "hello")))
    env = pods(objects(tree))["hello"]["containers"][0]["env"]
    assert {each["name"]: each["value"] for each in env} == {"PORT": "8080", **tricky}
