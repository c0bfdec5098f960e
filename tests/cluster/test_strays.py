"""What is added by hand to an environment that runs: admission refuses what opens it, the status tells the rest."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.cluster.bring_up import Bundle, journeymesh, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("JOURNEYMESH_E2E_STRAYS") != "all", reason="JOURNEYMESH_E2E_STRAYS is not all"),
]
EVERYBODY = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}
OPENS = (
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-all"},
        "spec": {"podSelector": {}, "ingress": [{}], "egress": [{}], "policyTypes": ["Ingress", "Egress"]},
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "everybody"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [EVERYBODY],
    },
)
SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "by-hand"},
    "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}},
}


def created(document: Mapping[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
    argv = ["kubectl", "-n", "dev", "create", *options, "--filename", "-"]
    return subprocess.run(argv, input=json.dumps(document), capture_output=True, text=True, check=False)


def added(bundle: Bundle) -> list[str]:
    """What the status says was added by hand."""
    rows = json.loads(journeymesh("delivery", "status", "--env", "dev", "--format", "json", folder=bundle.tree))
    return [words for row in rows for words in row["words"] if words.startswith("added by hand")]


@pytest.mark.parametrize("document", OPENS, ids=lambda each: str(each["kind"]))
def test_what_opens_the_environment_is_refused_but_to_argo_cd(bundle: Bundle, document: Mapping[str, Any]) -> None:
    refused = created(document)
    assert refused.returncode != 0
    assert "comes from git" in refused.stderr
    by_argo_cd = created(
        document, "--dry-run=server", "--as", "system:serviceaccount:argocd:argocd-application-controller"
    )
    assert by_argo_cd.returncode == 0, by_argo_cd.stderr


def test_nothing_that_git_brings_is_taken_for_added_by_hand(bundle: Bundle) -> None:
    assert added(bundle) == []


def test_what_was_added_is_told_and_the_commands_that_are_told_remove_it(bundle: Bundle) -> None:
    patch = {"metadata": {"finalizers": ["example.com/by-hand"]}, "data": {"by-hand": "eA=="}}
    run("kubectl", "-n", "dev", "patch", "secret", "keycloak-clients", "--type", "merge", "--patch", json.dumps(patch))
    assert created(SCALER).returncode == 0
    told = added(bundle)
    print(*told, sep="\n")
    assert len(told) == 2
    for words in ("HorizontalPodAutoscaler/by-hand", "data.by-hand", "metadata.finalizers[0]"):
        assert any(words in each for each in told), words
    for each in told:
        command = each.partition("; remove it: ")[2]
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert added(bundle) == []
