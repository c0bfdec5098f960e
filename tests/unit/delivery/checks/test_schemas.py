"""Objects against the schemas of their kinds, offline."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from journeymesh.delivery.checks.schemas import breaches, known_kinds
from tests.support.one_service import application, objects


def told(content: dict[str, Any]) -> list[str]:
    return sorted(breach.what for breach in breaches(content))


def test_every_kind_names_where_its_schema_comes_from():
    kinds = known_kinds()
    assert kinds["apps/v1/Deployment"] == "k8s.io/kubernetes@v1.34.2"
    assert kinds["argoproj.io/v1alpha1/Application"] == "github.com/argoproj/argo-cd/v3@v3.2.6"
    assert kinds["gateway.networking.k8s.io/v1/HTTPRoute"] == "sigs.k8s.io/gateway-api@v1.4.0"
    for kind in (
        "traefik.io/v1alpha1/Middleware",
        "monitoring.coreos.com/v1/ServiceMonitor",
        "external-secrets.io/v1/ExternalSecret",
        "testworkflows.testkube.io/v1/TestWorkflow",
        "testworkflows.testkube.io/v1/TestWorkflowExecution",
        "tests.testkube.io/v1/TestTrigger",
    ):
        assert kinds[kind]


def test_what_is_well_breaks_nothing():
    assert [told(each) for each in (*objects().values(), application())] == [[]] * 10


def test_a_typo_is_told_with_what_was_meant():
    content = application()
    content["spec"]["syncPolicy"]["automated"] = {"prune": True, "selfheal": True}
    assert told(content) == ["spec.syncPolicy.automated has no field selfheal: did you mean selfHeal?"]


def test_a_field_is_told_by_the_names_on_the_way_to_it():
    content = objects()["stable"]
    content["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Allways"
    assert told(content) == [
        "spec.template.spec.containers.greeter.imagePullPolicy is 'Allways', not one of Always, IfNotPresent, Never"
    ]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"replicas": "one"}, 'spec.replicas is "one", which is not of type integer'),
        ({"selector": None}, "spec.selector is null, which is not of type object"),
        ({"minReadySecond": 1}, "spec has no field minReadySecond: did you mean minReadySeconds?"),
    ],
)
def test_a_value_of_another_type_is_told(change: dict[str, Any], what: str):
    content = objects()["stable"]
    content["spec"] |= change
    assert told(content) == [what]


def test_what_is_required_is_told():
    content = objects()["stable"]
    del content["spec"]["selector"]
    assert told(content) == ["spec lacks selector"]


def test_an_object_without_name_and_a_label_of_metadata_that_is_none():
    content = objects()["account"]
    content["metadata"] = {"lables": {}}
    assert told(content) == ["it has no name", "metadata has no field lables: did you mean labels?"]


def test_a_kind_of_another_version_is_told_with_the_known_one():
    content = objects()["stable"] | {"apiVersion": "apps/v1beta2"}
    assert told(content) == ["apps/v1beta2/Deployment is unknown; there is apps/v1/Deployment"]


def test_quantities_may_be_numbers_or_text():
    content = objects()["stable"]
    held = content["spec"]["template"]["spec"]["containers"][0]
    held["resources"] = {"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"memory": "2 GB"}}
    assert told(content) == [
        'spec.template.spec.containers.greeter.resources.limits.memory is "2 GB", which none of the allowed forms match'
    ]


TESTKUBE = """
apiVersion: testworkflows.testkube.io/v1
kind: TestWorkflow
metadata: {name: greeter-e2e, namespace: testkube}
spec:
  config: {baseUrl: {type: string, default: "http://greeter.dev.svc:8080"}}
  container:
    image: registry.example/e2e@sha256:aa
    resources: {requests: {cpu: 100m}, limits: {memory: 256Mi}}
    securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}
    env: [{name: BASE_URL, value: "{{ config.baseUrl }}"}]
  job: {activeDeadlineSeconds: 300, annotations: {argocd.argoproj.io/compare-options: IgnoreExtraneous}}
  steps:
  - name: e2e
    shell: pytest -q
    artifacts: {paths: ["/data/*.xml"]}
"""


def test_a_test_workflow_of_the_open_agent_is_well():
    assert told(yaml.safe_load(TESTKUBE)) == []


@pytest.mark.parametrize("paid", ["parallel", "execute", "services"])
def test_what_needs_testkube_s_control_plane_is_told(paid: str):
    content = yaml.safe_load(TESTKUBE)
    content["spec"]["steps"][0][paid] = {"count": 2}
    assert told(content) == [f"spec.steps.e2e has no field {paid}"]


def test_a_trigger_runs_a_test_workflow_and_nothing_else():
    trigger = {
        "apiVersion": "tests.testkube.io/v1",
        "kind": "TestTrigger",
        "metadata": {"name": "on-image"},
        "spec": {
            "selector": {"matchLabels": {"testkube.io/resource-kind": "Deployment"}},
            "event": "deployment-image-update",
            "action": "run",
            "execution": "workflow",
            "testSelector": {"name": "greeter-e2e"},
        },
    }
    assert told(trigger) == ["spec.execution is 'workflow', not one of testworkflow"]
