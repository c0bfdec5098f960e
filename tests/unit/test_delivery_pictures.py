"""The pictures of the running tree: what they show of a cluster, and what they must not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_delivery_picture.py"
REPOSITORY, REGISTRY = "https://git.insurer.example/journeymesh.git", "registry.insurer.example"
DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_delivery_picture", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def application(name: str, wave: str = "0", health: str = "Healthy") -> dict[str, Any]:
    resources = [
        {"kind": "Deployment", "name": "journeyapi-candidate"},
        {"kind": "Deployment", "name": "journeyapi", "syncWave": 2},
        {"kind": "Job", "name": "journeyapi-e2e-candidate", "hook": True},
    ]
    return {
        "metadata": {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}},
        "spec": {"source": {"repoURL": REPOSITORY}},
        "status": {
            "sync": {"status": "Synced", "revision": "126c710a01f6deadbeef"},
            "health": {"status": health},
            "resources": resources if name.startswith("journeyapi") else [],
        },
    }


def pod(track: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"journeyapi-{track}",
            "labels": {"app.kubernetes.io/name": "journeyapi", "journeymesh.io/track": track},
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"imageID": f"{REGISTRY}/journeymesh@sha256:{DIGEST}"}],
        },
    }


def gate(**status: Any) -> dict[str, Any]:
    tracking = "journeyapi-app-dev:batch/Job:dev/journeyapi-e2e-candidate"
    annotations = {"argocd.argoproj.io/sync-wave": "1", "argocd.argoproj.io/tracking-id": tracking}
    return {"metadata": {"name": "journeyapi-e2e-candidate", "annotations": annotations}, "status": status}


PASSED = {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z"}
ROOTS = [application("root-platform-app"), application("root-appbundle-app-dev")]


def test_the_tree_shows_each_application_with_its_state_pods_and_tests(pictures: ModuleType) -> None:
    own = application("journeyapi-app-dev", "3", "Degraded")
    page = pictures.tree_page(
        pictures.Listings("dev", [*ROOTS, own], [pod("stable"), pod("candidate")], [gate(**PASSED)])
    )
    for words in ("root-platform-app", "journeyapi-app-dev", "Degraded", "wave 3", "126c710a01f6", "passed in 7 s"):
        assert words in page
    assert "candidate · 1 pod, 1 ready" in page


def test_the_gate_shows_what_failed_between_candidate_and_stable(pictures: ModuleType) -> None:
    own = application("journeyapi-app-dev", "3")
    page = pictures.gate_page(pictures.Listings("dev", [own], [pod("candidate")], [gate(failed=1)]), "journeyapi")
    order = [page.index(f"wave {wave}<") for wave in (0, 1, 2)]
    assert order == sorted(order)
    assert "failed" in page[order[1] : order[2]]
    assert f"sha256:{DIGEST[:12]}" in page[order[0] : order[1]]


def test_no_address_of_repository_or_registry_is_drawn(pictures: ModuleType) -> None:
    own = application("journeyapi-app-dev", "3")
    seen = pictures.Listings("dev", [*ROOTS, own], [pod("stable"), pod("candidate")], [gate(**PASSED)])
    both = pictures.tree_page(seen) + pictures.gate_page(seen, "journeyapi")
    assert "insurer.example" not in both


def test_the_order_in_which_the_cluster_lists_does_not_matter(pictures: ModuleType) -> None:
    listed = ([*ROOTS, application("keycloak-app-dev", "1"), application("postgres-app-dev", "1")], [], [])
    forth, back = (pictures.Listings("dev", *(kind[::step] for kind in listed)) for step in (1, -1))
    assert pictures.tree_page(forth) == pictures.tree_page(back)


def test_kept_listings_draw_the_same_again(pictures: ModuleType, tmp_path: Path) -> None:
    seen = pictures.Listings("dev", [*ROOTS, application("journeyapi-app-dev", "3")], [pod("stable")], [gate(**PASSED)])
    seen.save(tmp_path)
    assert pictures.tree_page(pictures.Listings.of_folder("dev", tmp_path)) == pictures.tree_page(seen)
