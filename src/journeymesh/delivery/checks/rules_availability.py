"""Rules on availability: rollouts that take nothing away, budgets that allow drains, scaling with one owner."""

from __future__ import annotations

from collections.abc import Iterator

from journeymesh.delivery.checks.findings import Fault, rule, value_rule
from journeymesh.delivery.checks.gates import gated, is_candidate
from journeymesh.delivery.checks.pods import pod_of, selects
from journeymesh.delivery.checks.subject import Rendered, Subject, mapping

LONGEST_PROGRESS_S = 60


value_rule(
    "availability",
    "rollout-keeps-serving",
    "A rolling update removes no pod before its successor is ready.",
    fix="set strategy.rollingUpdate.maxUnavailable: 0 (and maxSurge: 1)",
)


@rule(
    "progress-deadline",
    "A rollout that does not come up fails within a minute: the sync that waits for it keeps a newer revision waiting.",
    fix=f"set progressDeadlineSeconds to {LONGEST_PROGRESS_S} or less",
)
def progress_deadline(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Deployment"):
        seconds = held.spec.get("progressDeadlineSeconds")
        if gated(held.unit.service) and (not isinstance(seconds, int) or seconds > LONGEST_PROGRESS_S):
            what = f"{held} fails after {seconds} s" if seconds else f"{held} fails after 600 s, the server's default"
            yield Fault(held, what, ("spec", "progressDeadlineSeconds"))


@rule(
    "disruption-budget",
    "Every stable Deployment has a PodDisruptionBudget that selects its pods.",
    fix="add a PodDisruptionBudget whose selector matches the pod's labels",
)
def disruption_budget(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Deployment"):
        if held.unit.service and not is_candidate(held) and not _budgets(subject, held):
            yield Fault(held, f"no PodDisruptionBudget selects the pods of {held}", ("spec", "selector"))


@rule(
    "disruption-allowed",
    "A PodDisruptionBudget lets a node be drained: it allows at least one pod to go.",
    fix="set maxUnavailable: 1, or fewer minAvailable than replicas",
)
def disruption_allowed(subject: Subject) -> Iterator[Fault]:
    for budget in subject.every("PodDisruptionBudget"):
        for held in subject.beside(budget, "Deployment", "StatefulSet"):
            pod = pod_of(held)
            if pod is not None and selects(budget.spec.get("selector"), pod.labels) and _blocks(subject, budget, held):
                key = "minAvailable" if "minAvailable" in budget.spec else "maxUnavailable"
                yield Fault(
                    budget, f"{budget} allows no eviction of the pods of {held}, so no node drains", ("spec", key)
                )
                break


def _budgets(subject: Subject, held: Rendered) -> list[Rendered]:
    pod = pod_of(held)
    labels = pod.labels if pod else {}
    budgets = subject.beside(held, "PodDisruptionBudget")
    return [each for each in budgets if selects(each.spec.get("selector"), labels)]


def _blocks(subject: Subject, budget: Rendered, held: Rendered) -> bool:
    if str(budget.spec.get("maxUnavailable")) in ("0", "0%"):
        return True
    least = budget.spec.get("minAvailable")
    if least is None:
        return False
    if isinstance(least, str) and least.endswith("%"):
        return least == "100%"
    scaler = _scaler(subject, held)
    pods = scaler.spec.get("minReplicas", 1) if scaler else held.spec.get("replicas", 1)
    return isinstance(least, int) and isinstance(pods, int) and least >= pods


def _scaler(subject: Subject, held: Rendered) -> Rendered | None:
    scalers = subject.beside(held, "HorizontalPodAutoscaler")
    for each in scalers:
        target = mapping(each.spec.get("scaleTargetRef"))
        if (target.get("kind"), target.get("name")) == (held.kind, held.name):
            return each
    return None


@rule(
    "replicas-one-owner",
    "A Deployment that a HorizontalPodAutoscaler scales sets no replicas, or Argo CD undoes the scaling.",
    fix="remove replicas from the Deployment",
)
def replicas_one_owner(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Deployment", "StatefulSet"):
        if "replicas" in held.spec and _scaler(subject, held):
            yield Fault(held, f"{held} sets replicas, and so does an autoscaler", ("spec", "replicas"))


@rule(
    "autoscaler-target",
    "A HorizontalPodAutoscaler scales a workload that exists.",
    fix="correct scaleTargetRef",
)
def autoscaler_target(subject: Subject) -> Iterator[Fault]:
    for scaler in subject.every("HorizontalPodAutoscaler"):
        target = mapping(scaler.spec.get("scaleTargetRef"))
        found = [held for held in subject.objects(scaler.unit) if held.kind == target.get("kind")]
        if target.get("name") not in {held.name for held in found}:
            what = f"{scaler} scales {target.get('kind')} {target.get('name')}, which does not exist"
            yield Fault(scaler, what, ("spec", "scaleTargetRef", "name"))


@rule(
    "selector-matches",
    "A workload's selector matches the labels of its own pods.",
    fix="give the pod template the labels of spec.selector.matchLabels",
)
def selector_matches(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Deployment", "StatefulSet", "DaemonSet"):
        pod, selector = pod_of(held), mapping(held.spec.get("selector"))
        if pod is not None and (not selector or not selects(selector, pod.labels)):
            yield Fault(held, f"{held} does not select its own pods", ("spec", "selector", "matchLabels"))


@rule(
    "selectors-apart",
    "No two workloads of a service select the same pods: a candidate's pods are not the stable one's.",
    fix="add journeymesh.io/track to both selectors",
)
def selectors_apart(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Deployment", "StatefulSet", "DaemonSet"):
        for other in subject.beside(held, "Deployment", "StatefulSet", "DaemonSet"):
            pod = pod_of(other)
            if other is not held and pod and selects(held.spec.get("selector"), pod.labels):
                yield Fault(held, f"{held} also selects the pods of {other}", ("spec", "selector", "matchLabels"))


value_rule(
    "availability",
    "labels",
    "Every workload carries app.kubernetes.io/name and app.kubernetes.io/part-of, its pods the name.",
    fix="add the labels",
)
