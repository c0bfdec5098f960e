"""The component for those who have a vault makes what services read, no more and no less."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from journeymesh.delivery.needed_secrets import NEEDED, NeededSecret
from journeymesh.delivery.rendering import rendered_objects

COMPONENT = Path(__file__).parents[3] / "customization/components/external-secrets"


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_each_secret_comes_under_the_name_the_type_and_the_keys_that_services_read(needed: NeededSecret) -> None:
    content = yaml.safe_load((COMPONENT / f"{needed.name}.yaml").read_text("utf-8"))
    target = content["spec"]["target"]
    assert (content["metadata"]["name"], target["name"]) == (needed.name, needed.name)
    assert target.get("template", {}).get("type", "Opaque") == needed.type
    assert [(each["secretKey"], each["remoteRef"]["property"]) for each in content["spec"]["data"]] == [
        (key, key) for key in needed.keys
    ]


def test_the_component_brings_all_of_them_and_nothing_else() -> None:
    listed = yaml.safe_load((COMPONENT / "kustomization.yaml").read_text("utf-8"))["resources"]
    assert sorted(listed) == sorted(f"{needed.name}.yaml" for needed in NEEDED)


@pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="neither kustomize nor kubectl is on PATH"
)
def test_an_environment_gets_them_in_its_namespace_from_its_own_store(tmp_path: Path) -> None:
    place = tmp_path / "customization" / "secrets" / "dev"
    place.mkdir(parents=True)
    shutil.copytree(COMPONENT, tmp_path / "customization/components/external-secrets")
    kustomization = {
        "namespace": "dev",
        "components": ["../../components/external-secrets"],
        "patches": [
            {
                "target": {"kind": "ExternalSecret"},
                "patch": "- {op: replace, path: /spec/secretStoreRef/name, value: journeymesh-dev}",
            }
        ],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = rendered_objects(place)
    assert len(objects) == len(NEEDED)
    for content in objects:
        assert content["metadata"]["namespace"] == "dev"
        assert content["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "journeymesh-dev"}


def test_each_is_valid_by_the_operator_s_schema() -> None:
    schemas = pytest.importorskip("journeymesh.delivery.checks.schemas", reason="the room of checks is not there")
    for needed in NEEDED:
        content = yaml.safe_load((COMPONENT / f"{needed.name}.yaml").read_text("utf-8"))
        assert [breach.what for breach in schemas.breaches(content)] == []
