"""Why a pod is not ready and a node not well, as the scheduler and the kubelet say it. Pure: from objects to words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from journeymesh.delivery.applications import Json

LONGEST: Final = 200
"""Characters of a message that are told."""


def not_ready(pods: Iterable[Json]) -> list[str]:
    """What keeps each of these pods from being ready, ``POD: REASON``. Pods that ended well or are being deleted are
    left out."""
    return [f"{pod['metadata'].get('name', '?')}: {'; '.join(_reasons(pod))}" for pod in pods if _is_expected(pod)]


def unwell(nodes: Iterable[Json]) -> list[str]:
    """What these nodes lack, ``node NODE: REASON``; nothing of those that are well."""
    return [
        f"node {node['metadata'].get('name', '?')}: {each['type']} is {each['status']}: "
        + _joined(each.get("reason"), each.get("message"))
        for node in nodes
        for each in _conditions(node)
        if each.get("status") != ("True" if each.get("type") == "Ready" else "False")
    ]


def _is_expected(pod: Json) -> bool:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") == "Succeeded":
        return False
    return not any(each.get("type") == "Ready" and each.get("status") == "True" for each in _conditions(pod))


def _reasons(pod: Json) -> list[str]:
    status = pod.get("status") or {}
    whole = _joined(status.get("reason"), status.get("message"))  # such as Evicted, and for want of what
    found = [whole] if whole else []
    found += [
        _joined(each.get("reason"), each.get("message"))
        for each in _conditions(pod)
        if each.get("type") == "PodScheduled" and each.get("status") == "False"
    ]
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        found.extend(f"container {container.get('name', '?')} {told}" for told in _of_container(container))
    return found or [str(status.get("phase") or "not begun")]


def _of_container(container: Json) -> Iterator[str]:
    state, before = container.get("state") or {}, (container.get("lastState") or {}).get("terminated")
    waiting, ended = state.get("waiting"), state.get("terminated")
    if waiting is not None:
        yield f"waits: {_joined(waiting.get('reason'), waiting.get('message')) or 'no reason is given'}"
    elif ended is not None and ended.get("exitCode"):
        yield f"ended with {ended['exitCode']}: {_joined(ended.get('reason'), ended.get('message'))}"
    elif "running" in state and not container.get("ready"):
        yield "runs and is not ready"
    if before and before.get("exitCode"):
        times = container.get("restartCount")
        yield f"ended with {before['exitCode']} before ({before.get('reason')}), {times} restarts"


def _conditions(thing: Json) -> Iterable[Json]:
    found: Iterable[Json] = (thing.get("status") or {}).get("conditions") or ()
    return found


def _joined(reason: str | None, message: str | None) -> str:
    told = ": ".join(part for part in (reason, message) if part)
    return told if len(told) <= LONGEST else told[:LONGEST] + "…"
