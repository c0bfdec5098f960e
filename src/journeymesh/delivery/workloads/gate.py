"""The gate: Jobs that run the workload's black-box tests inside the sync, before users meet a release and after.

Argo CD applies wave by wave and stops where a hook fails: the candidate runs (wave 0), its tests pass (wave 1), only
then does the stable Deployment change (wave 2); the tests that come through the gateway follow (wave 3).
"""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any, Final

from journeymesh.delivery.workloads.pods import CONTAINER_SECURITY, POD_SECURITY, scratch
from journeymesh.delivery.workloads.score import Workload
from journeymesh.delivery.workloads.shape import (
    CANDIDATE,
    CANDIDATE_WAVE,
    CLIENT,
    CLIENT_SECRETS,
    E2E,
    E2E_IMAGE,
    GATE_WAVE,
    GATEWAY,
    GATEWAY_TLS,
    ROUTE_WAVE,
    WAVE,
    labels,
    metadata,
    tracked,
)
from journeymesh.delivery.workloads.yaml_text import Manifest

TESTS: Final = "/run/e2e"
"""Where the tests lie in the Job's container."""
DEADLINE_S: Final = 120
_TEMPLATE: Final = Path(__file__).parent / "templates" / "test_workload.py.txt"


def candidate_job(workload: Workload) -> Manifest:
    """The tests against the candidate's own Service, which no user reaches."""
    address = f"http://{tracked(workload.name, CANDIDATE)}:{workload.port}"
    return _job(workload, f"{workload.name}-e2e-candidate", GATE_WAVE, {"BASE_URL": address})


def route_job(workload: Workload) -> Manifest:
    """The same tests the way users come: through the gateway, with a token where it asks for one."""
    gateway = f"https://{GATEWAY}:443"
    reach: dict[str, Any] = {"BASE_URL": f"{gateway}/w/{workload.name}", "CA_FILE": "/run/gateway/tls.crt"}
    if not workload.public:
        reach |= {
            "TOKEN_URL": f"{gateway}/realms/journeymesh/protocol/openid-connect/token",
            "CLIENT_ID": CLIENT,
            "CLIENT_SECRET": {"secretKeyRef": {"name": CLIENT_SECRETS, "key": CLIENT}},
        }
    job = _job(workload, f"{workload.name}-e2e", ROUTE_WAVE, reach)
    pod = job["spec"]["template"]["spec"]
    certificate = {"secretName": GATEWAY_TLS, "items": [{"key": "tls.crt", "path": "tls.crt"}]}
    pod["volumes"].append({"name": "gateway", "secret": certificate})
    pod["containers"][0]["volumeMounts"].append({"name": "gateway", "mountPath": "/run/gateway", "readOnly": True})
    return job


def tests_kustomization(workload: Workload, tests: tuple[str, ...]) -> Manifest:
    """What makes the ConfigMap of the tests: a change of one of them is a change of the Jobs."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "configMapGenerator": [
            {
                "name": _tests_name(workload),
                "files": list(tests),
                "options": {
                    "labels": labels(workload.name, role=E2E),
                    "annotations": {WAVE: str(CANDIDATE_WAVE)},
                },
            }
        ],
    }


def test_file(workload: Workload) -> str:
    """The name of the generated tests' file."""
    return f"test_{workload.name.replace('-', '_')}.py"


def tests_text(workload: Workload) -> str:
    """The generated tests."""
    asked = "service-monitor" in workload.components
    return Template(_TEMPLATE.read_text("utf-8")).substitute(
        name=workload.name,
        answers=json.dumps(workload.answers),
        liveness=json.dumps(_path(workload.liveness)),
        metrics="" if asked else '\n    "/metrics",',
    )


def _path(probe: Any) -> str:
    """The path of a probe; a command is none that HTTP reaches."""
    path: str = probe.get("httpGet", {}).get("path", "")
    return path


def _tests_name(workload: Workload) -> str:
    return f"{workload.name}-e2e-tests"


def _job(workload: Workload, name: str, wave: int, variables: dict[str, Any]) -> Manifest:
    its_labels = labels(name, role=E2E)
    env = [
        {"name": key, "value": value} if isinstance(value, str) else {"name": key, "valueFrom": value}
        for key, value in {**variables, "PYTHONDONTWRITEBYTECODE": "1"}.items()
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(name, wave, its_labels, hook="Sync", hook_delete_policy="BeforeHookCreation"),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": DEADLINE_S,
            "template": {
                "metadata": {"labels": its_labels},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": workload.name,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": POD_SECURITY,
                    "containers": [
                        {
                            "name": "e2e",
                            "image": E2E_IMAGE,
                            "command": ["pytest", "-p", "no:cacheprovider", "-q", TESTS],
                            "env": env,
                            "workingDir": "/tmp",  # noqa: S108
                            "resources": {
                                "requests": {"cpu": "50m", "memory": "64Mi"},
                                "limits": {"cpu": "500m", "memory": "256Mi"},
                            },
                            "securityContext": CONTAINER_SECURITY,
                            "volumeMounts": [
                                {"name": "tests", "mountPath": TESTS, "readOnly": True},
                                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                            ],
                        }
                    ],
                    "volumes": [{"name": "tests", "configMap": {"name": _tests_name(workload)}}, scratch()],
                },
            },
        },
    }
