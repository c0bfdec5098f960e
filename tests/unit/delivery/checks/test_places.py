"""A fault that only the rendering shows is told by the file and line that it comes from."""

from __future__ import annotations

from pathlib import Path

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.places import Sources, value_at
from journeymesh.delivery.checks.subject import Subject
from tests.support.one_service import found, needs_kustomize, objects, written

BASE = "customization/services/greeter/base"
OVERLAY = "customization/services/greeter/overlays/dev/kustomization.yaml"


def line_of(root: Path, path: str, text: str) -> int:
    lines = (root / path).read_text("utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@needs_kustomize
def test_a_fault_in_a_base_is_told_by_the_line_of_the_base(tmp_path: Path):
    held = objects()
    held["stable"]["spec"]["progressDeadlineSeconds"] = 900
    [fault] = found(written(tmp_path, held), "progress-deadline")
    assert (fault.path, fault.line) == (f"{BASE}/stable.yaml", line_of(tmp_path, fault.path, "progressDeadlineSeconds"))
    assert fault.applications == ("greeter-app-dev",)


@needs_kustomize
def test_what_is_missing_is_told_by_the_nearest_line_above_it(tmp_path: Path):
    held = objects()
    del held["stable"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    [fault] = found(written(tmp_path, held), "resources")
    assert (fault.path, fault.line) == (f"{BASE}/stable.yaml", line_of(tmp_path, fault.path, "resources:"))


@needs_kustomize
def test_a_fault_that_a_patch_brings_is_told_by_the_patch(tmp_path: Path):
    patch = "- op: replace\n  path: /spec/progressDeadlineSeconds\n  value: 900\n"
    overlay = {"patches": [{"target": {"kind": "Deployment", "name": "greeter"}, "patch": patch}]}
    tree = written(tmp_path, overlay=overlay)
    text = (tmp_path / OVERLAY).read_text("utf-8").replace("'", "")
    assert "patch:" in text
    [fault] = found(tree, "progress-deadline")
    assert fault.path == OVERLAY


@needs_kustomize
def test_the_line_of_a_merged_patch_is_the_one_inside_it(tmp_path: Path):
    tree = written(tmp_path)
    (tmp_path / OVERLAY).write_text(
        "kind: Kustomization\nnamespace: dev\nresources: [../../base]\npatches:\n  - patch: |-\n"
        "      apiVersion: apps/v1\n      kind: Deployment\n      metadata: {name: greeter}\n      spec:\n"
        "        progressDeadlineSeconds: 900\n",
        "utf-8",
    )
    [fault] = found(tree, "progress-deadline")
    assert (fault.path, fault.line) == (OVERLAY, 10)


@needs_kustomize
def test_an_image_is_told_by_the_line_of_the_overlay_that_pins_it(tmp_path: Path):
    images = [
        {"name": name, "newName": f"registry.example/team/{name}", "newTag": "1.0"} for name in ("greeter", "e2e")
    ]
    tree = written(tmp_path, overlay={"images": images})
    places = {(fault.path, fault.line) for fault in found(tree, "image-pinned")}
    first = line_of(tmp_path, OVERLAY, "newTag")
    assert places == {(OVERLAY, first), (OVERLAY, first + 3)}


@needs_kustomize
def test_an_object_behind_a_suffix_is_found_under_its_own_name(tmp_path: Path):
    held = objects()
    del held["candidate"], held["candidate-service"]
    tree = written(tmp_path, held)
    candidate = tmp_path / BASE / "candidate"
    candidate.mkdir()
    text = (tmp_path / BASE / "stable.yaml").read_text("utf-8").replace("progressDeadlineSeconds: 30", "paused: false")
    (candidate / "deployment.yaml").write_text(text, "utf-8")
    (candidate / "kustomization.yaml").write_text(
        "kind: Kustomization\nresources: [deployment.yaml]\nnameSuffix: -candidate\n", "utf-8"
    )
    base = tmp_path / BASE / "kustomization.yaml"
    base.write_text(base.read_text("utf-8") + "- candidate\n", "utf-8")
    [fault] = found(tree, "progress-deadline")
    assert fault.path == f"{BASE}/candidate/deployment.yaml"


@needs_kustomize
def test_a_generated_setting_is_told_by_its_generator(tmp_path: Path):
    generated = [{"name": "settings", "literals": ["greeting=hello", "api_key=correct-horse-battery"]}]
    tree = written(tmp_path, overlay={"configMapGenerator": generated})
    [fault] = found(tree, "secret-in-settings")
    assert (fault.path, fault.line) == (OVERLAY, line_of(tmp_path, OVERLAY, "api_key"))
    assert "correct-horse" not in fault.what


@needs_kustomize
def test_a_fault_of_a_base_is_told_once_for_all_environments(tmp_path: Path):
    held = objects()
    held["stable"]["spec"]["progressDeadlineSeconds"] = 900
    tree = written(tmp_path, held)
    prod = tmp_path / "customization/services/greeter/overlays/prod/kustomization.yaml"
    prod.parent.mkdir()
    prod.write_text((tmp_path / OVERLAY).read_text("utf-8").replace("dev", "prod"), "utf-8")
    [fault] = findings(Subject(tree, ("dev", "prod")), ["progress-deadline"])
    assert fault.applications == ("greeter-app-dev", "greeter-app-prod")


def test_sources_name_every_file_that_a_rendering_depends_on(tmp_path: Path):
    written(tmp_path)
    files = {path.name for path in Sources(tmp_path / "customization/services/greeter/overlays/dev").files}
    assert files == {"kustomization.yaml", *(f"{name}.yaml" for name in objects())}


def test_a_value_is_found_by_keys_numbers_and_names():
    content = {"containers": [{"name": "a", "image": "one"}, {"name": "b", "image": "two"}]}
    assert value_at(content, ("containers", "b", "image")) == "two"
    assert value_at(content, ("containers", 0, "image")) == "one"
    assert value_at(content, ("containers", "c", "image")) is None
    assert value_at(content, ("containers", 7)) is None
