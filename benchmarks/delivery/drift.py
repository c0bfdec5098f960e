"""How soon drift is gone: somebody changes the cluster by hand, and the clock runs until it is as the tree says again.

Every kind is done to what really runs. The deleted Application comes last: made again it has no history, and its next
sync is a whole one. Argo CD waits longer between two heals of the same Application (2 s, 6 s,
18 s …), so kinds go round the Applications, and each waits until that Application's backoff is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.delivery.stage import Stage, TookTooLong, say, steady, until
from journeymesh.delivery.cluster import APPLICATIONS, MERGE

STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
LONGEST_S = 120.0

Mutate = Callable[[Stage, str], dict[str, Any] | None]
"""Does it; returns the object after it, None where it is gone."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of drift: which Application heals it, the object's path (``{env}`` in it), and what is done to it."""

    name: str
    application: str
    path: str
    mutate: Mutate


@dataclass(frozen=True, slots=True)
class Healed:
    """How long one drift stood; None: it was not healed."""

    kind: str
    heal_s: float | None


def merged(body: dict[str, Any], form: str = MERGE) -> Mutate:
    """Somebody patches it."""
    return lambda stage, path: stage.cluster.ask("PATCH", path, body, form=form)


def replaced(at: str, value: Any) -> Mutate:
    """Somebody replaces one value."""
    return lambda stage, path: stage.cluster.ask(
        "PATCH", path, [{"op": "replace", "path": at, "value": value}], form=JSON_PATCH
    )


def another_image(stage: Stage, path: str) -> dict[str, Any]:
    """Somebody runs another image in it: an approved one, for any other is denied before it could be drift."""
    live = stage.cluster.ask("GET", f"{path.rpartition('/')[0]}/keycloak")
    image = live["spec"]["template"]["spec"]["containers"][0]["image"]
    container = {"name": path.rpartition("/")[2], "image": image}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    changed: dict[str, Any] = stage.cluster.ask("PATCH", path, body, form=STRATEGIC)
    return changed


def deleted(stage: Stage, path: str) -> None:
    """Somebody deletes it, and what it owns."""
    stage.cluster.ask("DELETE", path, {"propagationPolicy": "Background"})


def orphaned(stage: Stage, path: str) -> None:
    """Somebody deletes an Application and leaves what it made."""
    stage.cluster.ask("PATCH", path, {"metadata": {"finalizers": None}}, form=MERGE)
    stage.cluster.ask("DELETE", path)


APPS = "/apis/apps/v1/namespaces/{env}/deployments"
CORE = "/api/v1/namespaces/{env}"
RIGHTS = "/apis/rbac.authorization.k8s.io/v1"
FENCES = "/apis/networking.k8s.io/v1/namespaces/{env}/networkpolicies"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{env}/httproutes"
CHILD = APPLICATIONS + "/identityapi-app-{env}"

KINDS: tuple[Kind, ...] = (
    Kind("image", "journeyapi-app-{env}", f"{APPS}/journeyapi",
         another_image),
    Kind("replicas", "identityapi-app-{env}", f"{APPS}/identityapi", merged({"spec": {"replicas": 0}})),
    Kind("deleted Service", "gatewayapi-app-{env}", f"{CORE}/services/gatewayapi", deleted),
    Kind("NetworkPolicy closed", "postgres-app-{env}", f"{FENCES}/postgres", merged({"spec": {"ingress": []}})),
    Kind("label", "keycloak-app-{env}", f"{APPS}/keycloak",
         merged({"metadata": {"labels": {"app.kubernetes.io/part-of": "somebody"}}})),
    Kind("quota", "root-platform-app", f"{CORE}/resourcequotas/share-of-the-cluster",
         merged({"spec": {"hard": {"pods": "9999"}}})),
    Kind("child Application's spec", "root-appbundle-app-{env}", CHILD,
         merged({"spec": {"syncPolicy": {"automated": {"selfHeal": False}}}})),
    Kind("environment variable", "journeyapi-app-{env}", f"{APPS}/journeyapi",
         replaced("/spec/template/spec/containers/0/env/0/value", "somebody")),
    Kind("deleted Deployment", "identityapi-app-{env}", f"{APPS}/identityapi", deleted),
    Kind("HTTPRoute", "gatewayapi-app-{env}", f"{ROUTES}/journeyapi",
         replaced("/spec/rules/0/backendRefs/0/name", "keycloak")),
    Kind("deleted NetworkPolicy", "keycloak-app-{env}", f"{FENCES}/keycloak", deleted),
    Kind("RoleBinding", "root-platform-app", f"{RIGHTS}/namespaces/{{env}}/rolebindings/gatewayapi",
         merged({"subjects": []})),
    Kind("PodDisruptionBudget", "journeyapi-app-{env}",
         "/apis/policy/v1/namespaces/{env}/poddisruptionbudgets/journeyapi", merged({"spec": {"maxUnavailable": 5}})),
    Kind("ServiceAccount's token", "identityapi-app-{env}", f"{CORE}/serviceaccounts/identityapi",
         merged({"automountServiceAccountToken": True})),
    Kind("ConfigMap's value", "journeyapi-app-{env}", f"{CORE}/configmaps/journeyapi-addresses*",
         merged({"data": {"issuer": "http://somebody.invalid"}})),
    Kind("namespace's Pod Security", "root-platform-app", "/api/v1/namespaces/{env}",
         merged({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}})),
    Kind("deleted child Application", "root-appbundle-app-{env}", CHILD, orphaned),
)  # fmt: skip


def drift(stage: Stage, kinds: Sequence[Kind] = KINDS) -> list[Healed]:
    """Do every kind once and measure."""
    found = []
    for kind in kinds:
        healed = one_drift(stage, kind)
        found.append(healed)
        took = "was not healed" if healed.heal_s is None else f"healed in {healed.heal_s:.2f} s"
        say(f"drift: {kind.name} ({kind.application.format(env=stage.environment)}): {took}")
    return found


def one_drift(stage: Stage, kind: Kind) -> Healed:
    """Change it and wait until it is as it was. What does not come back is put back by Argo CD's next whole sync."""
    name = kind.application.format(env=stage.environment)
    path = _first(stage, kind.path.format(env=stage.environment))
    stage.settled(name)
    stage.quiet(name)
    before, operation = stage.wanted(path), _begun(stage, name)
    if before is None:
        raise TookTooLong(f"{path} is not there: nothing to change")
    changed = kind.mutate(stage, path)
    began = time.monotonic()
    if changed is not None and steady(changed) == before:
        raise TookTooLong(f"{kind.name}: {path} was so already, nothing drifted")
    try:
        until(f"{kind.name} healed", lambda: stage.wanted(path) == before, LONGEST_S)
    except TookTooLong as late:
        say(f"  {late}")
        return Healed(kind.name, None)
    healed = Healed(kind.name, time.monotonic() - began)
    until(f"the heal of {name} recorded", lambda: _begun(stage, name) != operation, LONGEST_S, 0.25)
    return healed


def _begun(stage: Stage, name: str) -> str:
    """When the last operation began: after a heal it must be the heal's, or the next wait is reckoned from another."""
    last = stage.application(name).operation
    return last.started_at if last else ""


def _first(stage: Stage, path: str) -> str:
    """``…/name*`` is the first object of the listing whose name begins so: some names end in a hash."""
    if not path.endswith("*"):
        return path
    listing, _, beginning = path.removesuffix("*").rpartition("/")
    names = sorted(each["metadata"]["name"] for each in stage.cluster.items(listing))
    found = next((name for name in names if name.startswith(beginning)), None)
    if found is None:
        raise TookTooLong(f"{path}: no such object")
    return f"{listing}/{found}"
