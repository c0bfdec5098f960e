"""One view of every Application: what is wanted, what runs, what is adrift, what was healed, and what Argo CD's own
colours do not say.

``rows`` is pure: from what the cluster and the repository were read to say, to rows. ``read`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from journeymesh.delivery.applications import Application, Json
from journeymesh.delivery.cluster import ARGOCD, Cluster
from journeymesh.delivery.git import Checkout
from journeymesh.delivery.images import pins_in
from journeymesh.delivery.pods import not_ready
from journeymesh.delivery.served_certificates import ServedCertificate, served_certificates
from journeymesh.delivery.strays import Stray, strays
from journeymesh.delivery.tree import ENVIRONMENTS

HEALED: Final = "Partial sync operation"
"""How Argo CD's events name a heal that ended (``controller/appcontroller.go``): it syncs what was adrift alone."""
_EVENTS: Final = (
    f"/api/v1/namespaces/{ARGOCD}/events?fieldSelector=involvedObject.kind=Application,reason=OperationCompleted"
)
SHORT: Final = 12


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who put a digest into the overlay, and when."""

    who: str
    at: str


@dataclass(frozen=True, slots=True)
class DesiredApplication:
    """What the repository says about an Application at its revision."""

    images: dict[str, str]
    """``HOST/NAME@sha256:…`` by the name that base manifests use."""
    promotion: Promotion | None


Wants = Callable[[Application], DesiredApplication | None]
"""What the repository wants of an Application; None: it is not known here."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image: its digest in the overlay, and those of the containers that run it."""

    name: str
    wanted: str
    running: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return any(digest != self.wanted for digest in self.running)

    def __str__(self) -> str:
        wanted = _short(self.wanted)
        if not self.running:
            return f"{self.name} {wanted}"
        others = [_short(digest) for digest in self.running if digest != self.wanted]
        return f"{self.name} {wanted}" + (f" (runs {', '.join(others)})" if others else "")


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One Application. Times are RFC 3339; ``words`` is what a person should know, empty where all is well."""

    application: str
    environment: str
    service: str
    revision: str
    images: tuple[ImageRow, ...]
    sync: str
    health: str
    phase: str
    phase_revision: str
    message: str
    adrift: tuple[str, ...]
    heals: int
    healed_at: str
    tested: str
    promoted_by: str
    promoted_at: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster was read to say."""

    applications: Sequence[Application]
    events: Sequence[Json] = ()
    pods: Sequence[Json] = ()
    jobs: Sequence[Json] = ()
    certificates: Sequence[ServedCertificate] = ()
    strays: Mapping[str, Sequence[Stray]] = field(default_factory=dict)
    """By environment: what was added there by hand."""


def read(cluster: Cluster, environment: str | None = None) -> Seen:
    """What is needed of the cluster, for one environment and the platform, or for all.

    Raises:
        ClusterUnavailable: it cannot be reached or refuses.
    """
    every = cluster.applications()
    found = [each for each in every if environment in (None, each.environment) or each.environment not in ENVIRONMENTS]
    places = sorted({each.environment for each in found if each.service})
    pods = [pod for place in places for pod in cluster.pods(place)]
    jobs = [job for place in places for job in cluster.items(f"/apis/batch/v1/namespaces/{place}/jobs")]
    certificates = [each for place in places for each in served_certificates(cluster, place)]
    added = {place: strays(cluster, place) for place in places}
    return Seen(found, cluster.items(_EVENTS), pods, jobs, certificates, added)


def wants_of(checkout: Checkout | None) -> Wants:
    """What a checkout's commits say, without asking any other place. None: nothing is known."""

    def wants(each: Application) -> DesiredApplication | None:
        if checkout is None or not each.service or not checkout.has(each.revision):
            return None
        path = f"{each.path.strip('/')}/kustomization.yaml"
        pins = pins_in(checkout.text(each.revision, path) or "")
        digests = {image.digest for image in pins.values()}
        log = [line for digest in digests for line in _introduced(checkout, each.revision, path, digest)]
        newest = max(log, default=None)
        promotion = Promotion(newest[1], newest[0]) if newest else None
        return DesiredApplication({name: str(image) for name, image in pins.items()}, promotion)

    return wants


def rows(seen: Seen, wants: Wants = lambda _: None) -> list[StatusRow]:
    """A row for each Application, by environment and name."""
    ordered = sorted(seen.applications, key=lambda each: (each.environment, each.name))
    return [_row(each, seen, wants(each)) for each in ordered]


def _row(each: Application, seen: Seen, wanted: DesiredApplication | None) -> StatusRow:
    last = each.operation
    images = tuple(_images(each, seen.pods, wanted))
    healed = [event for event in seen.events if _is_heal(event, each.name)]
    promotion = wanted.promotion if wanted else None
    return StatusRow(
        application=each.name,
        environment=each.environment,
        service=each.service or each.name.removesuffix(f"-app-{each.environment}"),
        revision=each.revision[:SHORT],
        images=images,
        sync=each.sync,
        health=each.health,
        phase=("Retrying" if last.waits else last.phase) if last else "",
        phase_revision=last.revision[:SHORT] if last else "",
        message=last.reason if last and not last.succeeded else (last.message if last else ""),
        adrift=each.adrift,
        heals=sum(int(event.get("count") or 1) for event in healed),
        healed_at=max((_when(event) for event in healed), default=""),
        tested=_tested(each, seen.jobs),
        promoted_by=promotion.who if promotion else "",
        promoted_at=promotion.at if promotion else "",
        words=(
            *_words(each, images),
            *(words for served in seen.certificates if served.application == each.name for words in served.words),
            *_added(each, seen),
            *(not_ready(_own(each, seen.pods)) if each.health != "Healthy" else ()),
        ),
    )


def _words(each: Application, images: Iterable[ImageRow]) -> Iterator[str]:
    last = each.operation
    if last is not None and last.failed:
        failed = f"the last sync, to {last.revision[:SHORT] or 'no revision'}, failed: {last.reason}"
        if each.sync == "Synced" and each.health == "Healthy":
            yield f"Argo CD shows green, but {failed}"
        else:
            yield failed
        if each.healing_stopped:
            yield "Argo CD heals no drift here until a newer revision syncs, or a sync is started by hand"
    elif last is not None and last.waits:
        yield f"attempt {last.attempts_failed} of the sync to {last.revision[:SHORT]} failed: {last.reason}"
    if each.sync == "Unknown":
        yield "it cannot be compared, so drift is not detected: " + "; ".join(
            each.conditions or ("no reason is given",)
        )
    if each.adrift:
        yield f"adrift now: {', '.join(each.adrift)}"
    if not each.heals_itself:
        yield "drift is reported but not healed: selfHeal is off"
    for image in images:
        if image.differs:
            others = ", ".join(_short(digest) for digest in image.running if digest != image.wanted)
            yield f"{image.name} should run {_short(image.wanted)} and runs {others}"


def _added(each: Application, seen: Seen) -> Iterator[str]:
    """What was added by hand to the Application's objects; what belongs to none is told with the environment's root."""
    names = {one.name for one in seen.applications}
    for environment, found in seen.strays.items():
        root = f"root-appbundle-app-{environment}"
        first = min((one.name for one in seen.applications if one.environment == environment), default="")
        for stray in found:
            owner = stray.application if stray.application in names else root if root in names else first
            if owner == each.name:
                yield str(stray)


def _images(each: Application, pods: Sequence[Json], wanted: DesiredApplication | None) -> Iterator[ImageRow]:
    running = sorted(set(_running(each, pods)))
    if wanted is None:
        by_name: dict[str, list[str]] = {}
        for image in running:
            repository, _, digest = image.partition("@")
            by_name.setdefault(repository.rpartition("/")[2], []).append(digest)
        for name, digests in sorted(by_name.items()):
            yield ImageRow(name, digests[0], tuple(digests))
        return
    for name, image in sorted(wanted.images.items()):
        repository, _, digest = image.partition("@")
        found = [each for each in running if each.partition("@")[0] == repository]
        yield ImageRow(name, digest, tuple(each.partition("@")[2] for each in found))


def _running(each: Application, pods: Sequence[Json]) -> Iterator[str]:
    """The images of the service's stable containers that run, as ``HOST/NAME@sha256:…``."""
    for pod in _own(each, pods):
        metadata = pod["metadata"]
        if (metadata.get("labels") or {}).get("journeymesh.io/track") == "candidate":
            continue
        if metadata.get("deletionTimestamp"):
            continue
        for container in (pod.get("status") or {}).get("containerStatuses") or ():
            if "running" in (container.get("state") or {}) and "@" in container.get("imageID", ""):
                yield container["imageID"].partition("://")[2] or container["imageID"]


def _own(each: Application, pods: Sequence[Json]) -> Iterator[Json]:
    """The pods of the Application's service."""
    for pod in pods:
        metadata = pod["metadata"]
        name = (metadata.get("labels") or {}).get("app.kubernetes.io/name")
        if each.service and name == each.service and metadata.get("namespace") == each.environment:
            yield pod


def _is_heal(event: Json, application: str) -> bool:
    return (
        event["involvedObject"]["name"] == application
        and event.get("reason") == "OperationCompleted"
        and str(event.get("message", "")).startswith(HEALED)
        and event.get("type") == "Normal"
    )


def _when(event: Json) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp", ""))


def _tested(each: Application, jobs: Sequence[Json]) -> str:
    """How the tests of the last sync ended; of the Jobs that are still there, where the last sync was a heal."""
    last = each.operation
    tests = [out for out in last.outcomes if out.hook and out.kind == "Job" and "e2e" in out.name] if last else []
    phases = {out.name: "Failed" if out.failed else out.phase for out in tests} or dict(_phases(each, jobs))
    failed = next((name for name, phase in sorted(phases.items()) if phase == "Failed"), None)
    if failed is not None:
        return f"failed: {failed}"
    return "" if not phases else "passed" if set(phases.values()) == {"Succeeded"} else "running"


def _phases(each: Application, jobs: Sequence[Json]) -> Iterator[tuple[str, str]]:
    names = (f"{each.service}-e2e", f"{each.service}-e2e-candidate")
    for job in jobs:
        metadata, status = job["metadata"], job.get("status") or {}
        if metadata["name"] in names and metadata.get("namespace") == each.environment:
            yield metadata["name"], "Succeeded" if status.get("succeeded") else "Failed" if status.get("failed") else ""


def _introduced(checkout: Checkout, revision: str, path: str, digest: str) -> Iterator[tuple[str, str]]:
    """When and by whom this digest came into the file; it is the newest change of how often it stands there."""
    form = "--format=%aI%x1f%an"
    line = checkout.git("log", "-1", form, f"-S{digest}", revision, "--", path)
    if line:
        at, _, who = line.partition("\x1f")
        yield at, who


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:SHORT]
