"""Rules on waves and the gate: in one sync a candidate is tested before the stable one changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule, value_rule
from journeymesh.delivery.checks.gates import gate_of, gated, is_candidate, rendered_as
from journeymesh.delivery.checks.pods import Container, Pod, pod_of, selects
from journeymesh.delivery.checks.subject import Rendered, Subject, Unit, entries
from journeymesh.delivery.checks.waves import AT_HOOK, AT_WAVE, HOOK_DELETE, WAVE, hooks, wave

_HOOKS: Final = {"PreSync", "Sync", "PostSync", "SyncFail", "PostDelete", "Skip"}
_DELETE_POLICIES: Final = {"BeforeHookCreation", "HookSucceeded", "HookFailed"}
_LONGEST_GATE_S: Final = 600
_WITH_STABLE: Final = ("Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")


def _gates(subject: Subject) -> Iterator[tuple[Unit, Rendered | None, Rendered | None, Rendered | None]]:
    """Each gated service in each environment: its candidate, its gate, its stable Deployment."""
    for unit in subject.units:
        if gated(unit.service) and subject.objects(unit):
            yield (
                unit,
                rendered_as(subject, unit, "Deployment", f"{unit.service}-candidate"),
                gate_of(subject, unit),
                rendered_as(subject, unit, "Deployment", unit.service),
            )


@rule(
    "gate-complete",
    "Both APIs, console and every workload stand behind a gate: a candidate, a Job that tests it, the stable one.",
    fix="render Deployment and Service <name>-candidate, Job <name>-e2e-candidate, Deployment and Service <name>",
)
def gate_complete(subject: Subject) -> Iterator[Fault]:
    for unit, candidate, gate, stable in _gates(subject):
        name = unit.service
        parts = (
            (candidate, f"Deployment {name}-candidate"),
            (rendered_as(subject, unit, "Service", f"{name}-candidate"), f"Service {name}-candidate"),
            (gate, f"Job {name}-e2e-candidate"),
            (stable, f"Deployment {name}"),
            (rendered_as(subject, unit, "Service", name), f"Service {name}"),
        )
        for part, called in parts:
            if part is None:
                yield Fault(subject.sources(unit).top().path, f"{name} has no {called} in {unit.environment}")


value_rule(
    "gate",
    "gate-blocks",
    "The gate is a Sync hook: only then does its failure keep the waves behind it from being applied.",
    fix="annotate the Job argocd.argoproj.io/hook: Sync",
)


@rule(
    "gate-order",
    "In one sync come the candidate, then its test, then the stable one, then the test through the gateway.",
    fix=f"set {WAVE}: 0 candidate, 1 its test, 2 stable, 3 the test through the gateway and routes",
)
def gate_order(subject: Subject) -> Iterator[Fault]:
    for unit, candidate, gate, stable in _gates(subject):
        if candidate and gate and wave(candidate) >= wave(gate):
            yield Fault(candidate, f"{candidate} is in wave {wave(candidate)}, its test in wave {wave(gate)}", AT_WAVE)
        if gate and stable and wave(gate) >= wave(stable):
            yield Fault(stable, f"{stable} is in wave {wave(stable)}, the gate in wave {wave(gate)}", AT_WAVE)
        for held in subject.objects(unit):
            behind = held.kind == "HTTPRoute" or (held.kind == "Job" and held.name == f"{unit.service}-e2e")
            if stable and behind and wave(held) <= wave(stable):
                yield Fault(held, f"{held} is in wave {wave(held)}, {stable} in wave {wave(stable)}", AT_WAVE)
        yield from _before_candidate(subject, unit, candidate)


def _before_candidate(subject: Subject, unit: Unit, candidate: Rendered | None) -> Iterator[Fault]:
    if candidate is None:
        return
    for held in subject.objects(unit):
        migrates = held.kind == "Job" and held.name.endswith("-migrate")
        if migrates and wave(held) >= wave(candidate):
            yield Fault(held, f"{held} is in wave {wave(held)}, the candidate in wave {wave(candidate)}", AT_WAVE)
    pod = pod_of(candidate)
    for held in _needs(subject, unit, pod) if pod else ():
        if wave(held) > wave(candidate):
            yield Fault(held, f"{held} is in wave {wave(held)}, after the candidate that needs it", AT_WAVE)


def _needs(subject: Subject, unit: Unit, pod: Pod) -> Iterator[Rendered]:
    """What has to be there before a pod: its account, the settings that it names, a NetworkPolicy that selects it."""
    named = set(_names(pod.spec))
    for held in subject.objects(unit):
        if (held.kind == "ServiceAccount" and held.name == pod.spec.get("serviceAccountName")) or (
            held.kind == "ConfigMap" and held.name in named
        ):
            yield held
    fences = [each for each in subject.objects(unit) if each.kind == "NetworkPolicy"]
    fences = [each for each in fences if selects(each.spec.get("podSelector"), pod.labels)]
    if fences:
        yield min(fences, key=wave)


def _names(value: Any) -> Iterator[str]:
    """Every name that stands somewhere in a manifest."""
    if isinstance(value, dict):
        if isinstance(value.get("name"), str):
            yield value["name"]
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _released(subject: Subject) -> Iterator[tuple[Pod, Container, Mapping[str, Any]]]:
    """Each container of a stable Deployment behind a gate, and what its candidate has under that name; or nothing."""
    for _, candidate, _, stable in _gates(subject):
        tested, released = pod_of(candidate) if candidate else None, pod_of(stable) if stable else None
        if tested and released:
            before = {each.name: each.content for each in tested.containers()}
            for container in released.containers():
                yield released, container, before.get(container.name, {})


@rule(
    "gate-same-image",
    "What was tested is what is released: candidate and stable run the same images.",
    fix="let both name the same image, pinned once under images in the overlay",
)
def gate_same_image(subject: Subject) -> Iterator[Fault]:
    for pod, container, tested in _released(subject):
        if tested.get("image") != container.content.get("image"):
            at = (*container.at, "image")
            yield Fault(pod.owner, f"{container} runs an image that no candidate was tested with", at)


@rule(
    "gate-same-settings",
    "What was tested is what is released: candidate and stable have the same settings, arguments and probes.",
    fix="define shared settings once, where both include them",
)
def gate_same_settings(subject: Subject) -> Iterator[Fault]:
    for pod, container, tested in _released(subject):
        for key in ("args", "command", "env", "envFrom", "readinessProbe", "startupProbe"):
            if tested and tested.get(key) != container.content.get(key):
                yield Fault(pod.owner, f"{container} differs from the candidate in {key}", (*container.at, key))


@rule(
    "gate-tests-candidate",
    "The gate tests the candidate's own Service, not the one that users reach.",
    fix="let the Job's BASE_URL be http://<name>-candidate:8080",
)
def gate_tests_candidate(subject: Subject) -> Iterator[Fault]:
    for unit, _, gate, _ in _gates(subject):
        pod = pod_of(gate) if gate else None
        if gate and pod and not any(f"//{unit.service}-candidate" in text for text in _told(pod)):
            at = (*pod.at, "spec", "containers", 0, "env", "BASE_URL", "value")
            yield Fault(gate, f"{gate} does not call {unit.service}-candidate", at)


def _told(pod: Pod) -> Iterator[str]:
    for container in pod.containers("containers"):
        yield from (str(each.get("value", "")) for each in entries(container.content.get("env")))
        yield from (str(each) for key in ("args", "command") for each in container.content.get(key) or ())


@rule(
    "gate-ends",
    "A hook's Job ends soon, because the sync waits for it: a deadline, few retries, no restart.",
    fix="set activeDeadlineSeconds (600 or less), backoffLimit (3 or less) and restartPolicy: Never",
)
def gate_ends(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Job", part="service"):
        if not hooks(held):
            continue
        deadline, retries = held.spec.get("activeDeadlineSeconds"), held.spec.get("backoffLimit")
        if not isinstance(deadline, int) or deadline > _LONGEST_GATE_S:
            yield Fault(
                held,
                f"{held} {f'may run for {deadline} s' if deadline else 'has no deadline'}",
                ("spec", "activeDeadlineSeconds"),
            )
        if not isinstance(retries, int) or retries > 3:
            told = 6 if retries is None else retries
            yield Fault(held, f"{held} retries {told} times", ("spec", "backoffLimit"))


@rule(
    "hook-known",
    "A hook names phases that Argo CD has, and when it is deleted; every Job is a hook: a Job cannot be changed.",
    fix="annotate argocd.argoproj.io/hook: Sync and argocd.argoproj.io/hook-delete-policy: BeforeHookCreation",
)
def hook_known(subject: Subject) -> Iterator[Fault]:
    for held in subject.every(part="service"):
        phases = hooks(held)
        if held.kind == "Job" and not phases:
            yield Fault(held, f"{held} is not a hook", AT_HOOK)
        for phase in phases:
            if phase not in _HOOKS:
                yield Fault(held, f"{held} names the phase {phase}, which Argo CD does not know", AT_HOOK)
        policies = {part.strip() for part in str(held.annotations.get(HOOK_DELETE, "")).split(",") if part.strip()}
        at = ("metadata", "annotations", HOOK_DELETE)
        if phases and not policies:
            yield Fault(held, f"{held} has no hook-delete-policy", at)
        elif phases and not policies <= _DELETE_POLICIES:
            yield Fault(held, f"{held}: Argo CD does not know {', '.join(sorted(policies - _DELETE_POLICIES))}", at)


@rule(
    "wave-number",
    "Every sync wave is a whole number, written as text.",
    fix='write argocd.argoproj.io/sync-wave: "<number>"',
)
def wave_number(subject: Subject) -> Iterator[Fault]:
    for held in subject.every():
        value = held.annotations.get(WAVE)
        if value is not None and not (isinstance(value, str) and value.lstrip("-").isdigit()):
            yield Fault(held, f"{held} has sync wave {value!r}", AT_WAVE)


@rule(
    "wave-of-stable",
    "A stable Service appears no earlier than the Deployment behind it is tested: in its wave, or later.",
    fix="put Service and PodDisruptionBudget into the wave of the stable Deployment",
)
def wave_of_stable(subject: Subject) -> Iterator[Fault]:
    for unit, _, gate, stable in _gates(subject):
        if gate is None or stable is None:
            continue
        for held in subject.objects(unit):
            stable_part = held.kind in _WITH_STABLE and not is_candidate(held)
            if stable_part and wave(held) <= wave(gate):
                yield Fault(held, f"{held} is in wave {wave(held)}, the gate in wave {wave(gate)}", AT_WAVE)
