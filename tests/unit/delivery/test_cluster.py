"""Which repository an environment follows, and the optional controller's manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.applications import Application, application
from journeymesh.delivery.cluster import repository_of
from journeymesh.delivery.programs import first_installed
from journeymesh.delivery.rendering import rendered_objects
from journeymesh.delivery.tree import ENVIRONMENTS
from journeymesh.errors import NotFound

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
