"""Rules on the platform: namespaces, admission, quotas, the order in which definitions come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule, value_rule
from journeymesh.delivery.checks.pods import CONTAINERS, pod_of
from journeymesh.delivery.checks.subject import Subject, entries, mapping
from journeymesh.delivery.checks.values import ENFORCE, OF_ENVIRONMENT, decides
from journeymesh.delivery.checks.waves import AT_WAVE, wave

PERSONAL_DATA: Final = "journeymesh.io/personal-data"
_ADMITS: Final = "JOURNEYMESH_PERSONAL_DATA"
_LABELS: Final = ("none", "treated", "allowed")
_ADMITTED = {"pods", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"}


@rule(
    "namespace-restricted",
    "Each environment has its namespace, labelled with Pod Security `restricted` and with its environment's name.",
    fix=f"label it {ENFORCE}: restricted and {OF_ENVIRONMENT}: <env>",
)
def namespace_restricted(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.platform.is_dir():
        return
    held = {each.name for each in subject.every("Namespace", part="platform")}
    for environment in subject.environments:
        if environment not in held:
            where = subject.tree.platform / "kustomization.yaml"
            yield Fault(where, f"the platform renders no namespace {environment}")


@rule(
    "personal-data",
    "Each environment's namespace says which data it admits, and whatever has a store there is configured alike.",
    fix=f"label the namespace {PERSONAL_DATA}: none, treated or allowed, and give containers {_ADMITS} of that value",
)
def personal_data(subject: Subject) -> Iterator[Fault]:
    for namespace in subject.every("Namespace", part="platform"):
        if namespace.name not in subject.environments:
            continue
        label = mapping(mapping(namespace.content.get("metadata")).get("labels")).get(PERSONAL_DATA)
        if label not in _LABELS:
            yield Fault(namespace, f"{namespace} has no label {PERSONAL_DATA}", ("metadata", "labels"))
            continue
        environment = list(subject.of_environment(namespace.name))
        data = {each.name: mapping(each.content.get("data")) for each in environment if each.kind == "ConfigMap"}
        for pod in filter(None, map(pod_of, environment)):
            for container in pod.containers(*CONTAINERS):
                variables = {str(each.get("name")): each for each in entries(container.content.get("env"))}
                told = _value(variables.get(_ADMITS, {}), data)
                if "JOURNEYMESH_STORE" in variables and told != label:
                    what = f"{pod.owner} has {_ADMITS}={told or 'nothing'} where {namespace.name} is {label}"
                    yield Fault(pod.owner, what, (*container.at, "env"))


def _value(variable: dict[str, Any], data: dict[str, dict[str, Any]]) -> str:
    """A variable's value, itself or by a ConfigMap."""
    reference = mapping(mapping(variable.get("valueFrom")).get("configMapKeyRef"))
    given = data.get(str(reference.get("name")), {}).get(str(reference.get("key")), "")
    return str(variable.get("value") or given)


@rule(
    "quota",
    "Each environment has a ResourceQuota: a runaway release takes its share, not the cluster's.",
    fix="render a ResourceQuota for the namespace in customization/platform",
)
def quota(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.platform.is_dir():
        return
    held = {each.namespace for each in subject.every("ResourceQuota", part="platform")}
    for environment in subject.environments:
        if environment not in held:
            yield Fault(subject.tree.platform / "kustomization.yaml", f"{environment} has no ResourceQuota")


value_rule(
    "platform",
    "admission-fails-closed",
    "Every ValidatingAdmissionPolicy refuses where it cannot be evaluated.",
    fix="set spec.failurePolicy: Fail",
)


@rule(
    "admission-bound",
    "Every ValidatingAdmissionPolicy is bound, with Deny; where it has parameters, their absence denies too.",
    fix="set validationActions: [Deny] and paramRef.parameterNotFoundAction: Deny in its binding",
)
def admission_bound(subject: Subject) -> Iterator[Fault]:
    policies = {each.name: each for each in subject.every("ValidatingAdmissionPolicy")}
    bindings = list(subject.every("ValidatingAdmissionPolicyBinding"))
    for name, policy in policies.items():
        if name not in {each.spec.get("policyName") for each in bindings}:
            yield Fault(policy, f"{policy} has no binding", ("metadata", "name"))
    for held in bindings:
        bound = policies.get(str(held.spec.get("policyName")))
        if bound is None:
            what = f"{held} binds {held.spec.get('policyName')}, which does not exist"
            yield Fault(held, what, ("spec", "policyName"))
        elif not decides(bound):
            continue
        elif "Deny" not in (held.spec.get("validationActions") or ()):
            yield Fault(held, f"{held} does not deny", ("spec", "validationActions"))
        elif bound.spec.get("paramKind"):
            reference = mapping(held.spec.get("paramRef"))
            if reference.get("parameterNotFoundAction") != "Deny":
                what = f"{held} allows everything where its parameter is missing"
                yield Fault(held, what, ("spec", "paramRef", "parameterNotFoundAction"))


@rule(
    "admission-images",
    "A ValidatingAdmissionPolicy allows only each environment's approved digests, for every kind that creates pods.",
    fix="render it in customization/platform with a binding whose paramRef names ConfigMap approved-digests",
)
def admission_images(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.platform.is_dir():
        return
    where = subject.tree.platform / "kustomization.yaml"
    policies = [
        each
        for each in subject.every("ValidatingAdmissionPolicy", part="platform")
        if mapping(each.spec.get("paramKind")).get("kind") == "ConfigMap" and decides(each)
    ]
    if not policies:
        yield Fault(where, "no ValidatingAdmissionPolicy checks images against approved-digests")
        return
    for policy in policies:
        rules_ = entries(mapping(policy.spec.get("matchConstraints")).get("resourceRules"))
        covered = {resource for each in rules_ for resource in each.get("resources") or ()}
        missing = _ADMITTED - covered
        if missing and "*" not in covered:
            what = f"{policy} does not cover {', '.join(sorted(missing))}"
            yield Fault(policy, what, ("spec", "matchConstraints", "resourceRules"))
    held = {each.namespace for each in subject.every("ConfigMap", part="platform") if each.name == "approved-digests"}
    for environment in subject.environments:
        if environment not in held:
            yield Fault(where, f"{environment} has no ConfigMap approved-digests: include ../../release/{environment}")


@rule(
    "definitions-first",
    "By their sync waves, definitions come before namespaces, and namespaces before what is put into them.",
    fix='give CustomResourceDefinitions a lower wave ("-2") than namespaces ("-1"), these a lower one than the rest',
)
def definitions_first(subject: Subject) -> Iterator[Fault]:
    held = list(subject.every(part="platform"))
    definitions = [each for each in held if each.kind == "CustomResourceDefinition"]
    namespaces = [each for each in held if each.kind == "Namespace"]
    rest = [each for each in held if each.namespace]
    first = min((wave(each) for each in namespaces), default=0)
    second = min((wave(each) for each in rest), default=0)
    for each in definitions:
        if namespaces and wave(each) >= first:
            yield Fault(each, f"{each} is in wave {wave(each)}, a namespace in wave {first}", AT_WAVE)
    for each in namespaces:
        if rest and wave(each) >= second:
            yield Fault(each, f"{each} is in wave {wave(each)}, what is put into it in wave {second}", AT_WAVE)


@rule(
    "applications-judged",
    "Argo CD has a health check for Applications; without it, the waves of children have no effect.",
    fix="put resource.customizations.health.argoproj.io_Application into argocd-cm",
)
def applications_judged(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.bootstrap.is_dir():
        return
    key = "resource.customizations.health.argoproj.io_Application"
    held = [each for each in subject.every("ConfigMap", part="bootstrap") if each.name == "argocd-cm"]
    if not any(mapping(each.content.get("data")).get(key) for each in held):
        what = "argocd-cm has no health check for Applications"
        yield Fault(held[0] if held else subject.tree.bootstrap, what, ("data",) if held else ())
