"""Rules on the API server: what it says of the tree itself, where one is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.subject import Rendered, Subject
from journeymesh.delivery.checks.waves import HOOK
from journeymesh.delivery.documents import Document
from journeymesh.delivery.programs import ProgramFailed, answered

_APPLY: Final = (
    "kubectl",
    "apply",
    "--server-side",
    "--dry-run=server",
    "--force-conflicts",
    "--field-manager=journeymesh-check",
    "--filename=-",
)
_FENCED: Final = "ValidatingAdmissionPolicy 'fences'"
"""Whose denial is about who asks, and comes after everything else was found in order."""
_NO_KIND: Final = re.compile(r'no matches for kind "([^"]+)"|could not find the requested resource')
_BEFORE: Final = re.compile(r"^(error|Error from server( \(\w+\))?): (error when [a-z]+ \S+: |resource mapping .*?: )?")
_VALUE: Final = re.compile(r"Invalid value: \{.*\}:")
"""The server repeats a whole pod where one field of it is wrong."""

Held = Document | Rendered


@rule(
    "server-accepts",
    "The API server would accept every object: schema, CEL, Pod Security, admission. Checked with --server only.",
    fix="correct what the server refuses",
)
def server_accepts(subject: Subject) -> Iterator[Fault]:
    if not subject.asks_server:
        return
    there = _namespaces()
    told: set[str] = set()
    defined = {str(each.spec.get("names", {}).get("kind")) for each in subject.every("CustomResourceDefinition")}
    for together in _asked_together(subject):
        held = []
        for each in together:
            namespace = str((each.content.get("metadata") or {}).get("namespace") or "")
            if not namespace or namespace in there:
                held.append(each)
            elif namespace in subject.environments and namespace not in told:
                told.add(namespace)
                what = f"the cluster has no namespace {namespace}: nothing in it was checked"
                yield Fault(each, what, fix="choose the cluster's environments with --env, or bootstrap it first")
        if held and _complaints(held):
            for each in held:
                yield from _one(each, defined, told)


def _namespaces() -> set[str]:
    answer = answered(("kubectl", "get", "namespaces", "--output=name"), timeout_s=30)
    if answer.code:
        words = " ".join(answer.errors.split())[-300:]
        raise ProgramFailed(
            f"no API server answers: {words}", todo="name a cluster by KUBECONFIG, or leave --server out"
        )
    return {line.removeprefix("namespace/") for line in answer.output.split()}


def _asked_together(subject: Subject) -> Iterator[list[Held]]:
    for unit in subject.units:
        yield [each for each in subject.objects(unit) if not _is_ledger(each)]
    for documents in subject.children.values():
        yield [each for each in documents if each.kind == "Application"]


def _is_ledger(held: Rendered) -> bool:
    """Who writes the list of approved digests is what admission asks, not what is in it: nobody but Argo CD may."""
    return held.kind == "ConfigMap" and held.name == "approved-digests"


def _one(held: Held, defined: set[str], told: set[str]) -> Iterator[Fault]:
    for line in _complaints([held]):
        if _FENCED in line:
            continue  # only Argo CD may open it, and it is Argo CD that will
        if not _NO_KIND.search(line):
            answer = _VALUE.sub("Invalid value:", _BEFORE.sub("", line))
            yield Fault(held, f"{held.kind} {held.name}: {answer[:600]}", _path_in(line))
        elif held.kind not in defined and held.kind not in told:
            told.add(held.kind)
            fix = "install what defines it in that cluster, or leave it out of this environment"
            yield Fault(held, f"the cluster knows no {held.kind}", ("kind",), fix=fix)


def _complaints(held: Sequence[Held]) -> list[str]:
    """Why the server refuses these, and what it lets through though it cannot work: pods that Pod Security forbids."""
    answer = answered(_APPLY, given=_list(held))
    lines = [line for line in answer.errors.splitlines() if line.strip()]
    warned = [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: would violate PodSecurity")]
    refused = [line for line in lines if not line.startswith("Warning:")] if answer.code else []
    return [*([_joined(refused)] if refused else []), *warned]


def _joined(lines: Sequence[str]) -> str:
    return " ".join("; ".join(line.strip().removeprefix("* ") for line in lines).split())


def _list(held: Sequence[Held]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [_asked(each) for each in held]}, default=str)


def _asked(held: Held) -> dict[str, Any]:
    """The object as it is asked about. A hook is asked about by another name: Argo CD deletes the former one first."""
    content: dict[str, Any] = held.content
    metadata = content.get("metadata") or {}
    if HOOK in (metadata.get("annotations") or {}):
        return {**content, "metadata": {**metadata, "name": f"{metadata.get('name')}-asked"}}
    return content


def _path_in(line: str) -> tuple[str | int, ...]:
    """The field that the server names, as a path."""
    named = re.search(r"(?:invalid: |: )\.?((?:spec|metadata|data|rules|subjects)[\w.\[\]\"/-]*):", line)
    found: list[Any] = []
    for key, index in re.findall(r"([\w/-]+)|\[(\d+)\]", named.group(1) if named else ""):
        found.append(int(index) if index else key)
    return tuple(found)
