"""Which repository an environment follows, and the optional controller's manifests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.applications import Application, application
from journeymesh.delivery.cluster import beginning, repository_of
from journeymesh.delivery.programs import first_installed
from journeymesh.delivery.rendering import rendered_objects
from journeymesh.delivery.tree import ENVIRONMENTS
from journeymesh.errors import NotFound
from tests.support.released import shown_application

ROOT = Path(__file__).parents[3]


def following(name: str, repository: str, **source: str) -> Application:
    document: dict[str, Any] = {"metadata": {"name": name}, "spec": {"source": {"repoURL": repository, **source}}}
    return application(document)


def test_the_repository_is_the_one_that_the_environment_follows() -> None:
    found = [
        following("journeyapi-app-dev", "https://git.example/a.git", path="customization/services"),
        following("root-appbundle-app-dev", "https://git.example/a.git", path="customization/apps-children/dev"),
        following("journeyapi-app-test", "https://git.example/b.git", path="customization/services"),
        following("testkube-app-dev", "https://charts.example", chart="testkube"),
    ]
    assert repository_of(found, "dev") == "https://git.example/a.git"
    assert repository_of(found, "test") == "https://git.example/b.git"
    with pytest.raises(NotFound, match="prod follows no repository"):
        repository_of(found, "prod")
    with pytest.raises(NotFound, match=r"follows https://git.example/a.git and https://git.example/c.git"):
        repository_of([*found, following("greeter-app-dev", "https://git.example/c.git", path="p")], "dev")


def test_a_sync_after_a_heal_is_a_whole_one_and_under_way_at_once() -> None:
    """Argo CD's controller merges what it writes of an operation into what it wrote of the last one."""
    shown = shown_application(good="a" * 40, revision="a" * 40, phase="Succeeded")
    healed = shown["status"]["operationState"]["operation"]["sync"]
    healed |= {"resources": [{"kind": "Service", "name": "greeter"}]}
    assert application(shown).operation.partial  # type: ignore[union-attr]
    begun = _merged(shown, beginning(shown))
    operation = application(begun).operation
    assert operation is not None
    assert (operation.phase, operation.revision, operation.partial) == ("Running", "a" * 40, False)
    written = {"status": {"operationState": {"phase": "Running", "operation": begun["operation"]}}}
    assert "resources" not in _merged(begun, written)["status"]["operationState"]["operation"]["sync"]


def _merged(document: dict[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """As RFC 7396 has it."""
    merged = dict(document)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = _merged(merged[name] if isinstance(merged.get(name), dict) else {}, value)
        else:
            merged[name] = value
    return merged


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_controllers_manifests_are_of_their_environment(environment: str) -> None:
    if first_installed(("kustomize", "kubectl")) is None:
        pytest.skip("kustomize is not installed")
    objects = rendered_objects(ROOT / "customization" / "platform" / "guard" / environment)
    assert {each["metadata"]["name"] for each in objects} == {f"journeymesh-guard-{environment}"}
    assert {each["metadata"]["namespace"] for each in objects} == {"argocd"}
    by_kind = {each["kind"]: each for each in objects}
    pod = by_kind["Deployment"]["spec"]["template"]
    assert f"--env={environment}" in pod["spec"]["containers"][0]["args"]
    assert pod["spec"]["volumes"][0]["secret"]["secretName"] == f"guard-{environment}"
    assert pod["spec"]["serviceAccountName"] == by_kind["RoleBinding"]["subjects"][0]["name"]
    for policy in (by_kind["NetworkPolicy"]["spec"]["podSelector"], by_kind["Deployment"]["spec"]["selector"]):
        assert policy["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert policy["matchLabels"]["journeymesh.io/environment"] == environment
