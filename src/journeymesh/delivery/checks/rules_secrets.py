"""Rules on secrets: none is plain in git, none hides elsewhere, each that is used has a name that is known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.pods import CONTAINERS, pods
from journeymesh.delivery.checks.subject import Subject, entries, mapping
from journeymesh.delivery.documents import Document

_ENCRYPTED: Final = re.compile(r"ENC\[[A-Z0-9_]+,data:")
_SECRET_NAME: Final = re.compile(
    r"(?i)(^|[_.\-])(pass(word|wd|phrase)?|pwd|secret|token|credentials?|(api|access|private|secret)[_.\-]?key)$"
)
_SECRET_VALUES: Final = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|AGE-SECRET-KEY-1")),
    ("a password in a URL", re.compile(r"[a-z][a-z0-9+]*://[^/\s:@$]+:(?!\$[({])[^/\s:@]+@")),
    ("a signed token", re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
    ("a cloud's access key", re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")),
)
_PLAIN: Final = re.compile(r"(?i)(true|false|yes|no|\d{1,4}|/.*|\$\(.*\)|\$\{.*\})?")


@rule(
    "secret-plain",
    "No Secret is plain in git: it is in customization/secrets/<env>/*.enc.yaml, encrypted, or comes from outside.",
    fix="encrypt it with `journeymesh delivery secrets`, or use an ExternalSecret; and rotate what was exposed",
)
def secret_plain(subject: Subject) -> Iterator[Fault]:
    for path in subject.files:
        for document in subject.read(path):
            if document.kind == "Secret" and not path.name.endswith(".enc.yaml"):
                yield Fault(document, f"Secret {document.name} is plain", ("kind",))
            elif document.kind in ("Kustomization", "Component") and document.content.get("secretGenerator"):
                yield Fault(document, "secretGenerator makes a plain Secret", ("secretGenerator",))


@rule(
    "secret-encrypted",
    "Every *.enc.yaml was encrypted by SOPS: all its values, and sealed by a mac.",
    fix="encrypt the file again with `journeymesh delivery secrets`; and rotate the values that were exposed",
)
def secret_encrypted(subject: Subject) -> Iterator[Fault]:
    for path in subject.files:
        if not path.name.endswith(".enc.yaml"):
            continue
        for document in subject.read(path):
            sealed = mapping(mapping(document.content).get("sops"))
            if not str(sealed.get("mac", "")).startswith("ENC["):
                yield Fault(document, f"{path.name} has no mac of SOPS", ("sops", "mac"))
            if not any(sealed.get(kind) for kind in ("age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault")):
                yield Fault(document, f"{path.name} is encrypted for no recipient", ("sops",))
            for part in ("data", "stringData"):
                for key, value in mapping(mapping(document.content).get(part)).items():
                    if not _ENCRYPTED.match(str(value)):
                        yield Fault(document, f"{part}.{key} is plain", (part, key))


@rule(
    "secret-place",
    "Encrypted Secrets are in customization/secrets/<env> only, each named in its folder's environment.",
    fix="move the file to customization/secrets/<env>, with metadata.namespace of that environment",
)
def secret_place(subject: Subject) -> Iterator[Fault]:
    home = subject.tree.customization / "secrets"
    for path in subject.files:
        if path.name.endswith(".enc.yaml"):
            for document in subject.read(path):
                namespace = mapping(mapping(document.content).get("metadata")).get("namespace")
                if path.parent.parent != home:
                    yield Fault(document, f"{path.name} is outside customization/secrets/<env>")
                elif namespace not in (None, path.parent.name):
                    what = f"{path.name} is for {namespace}, its folder for {path.parent.name}"
                    yield Fault(document, what, ("metadata", "namespace"))


@rule(
    "secret-in-settings",
    "No ConfigMap and no variable of a container holds what looks like a secret.",
    fix="put it into a Secret and refer to it by secretKeyRef; and rotate the value, because it was exposed",
)
def secret_in_settings(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("ConfigMap"):
        for key, value in mapping(held.content.get("data")).items():
            why = _looks_secret(key, value)
            if why:
                yield Fault(held, f"{held}: {key} holds {why}", ("data", key))
    for pod in pods(subject):
        for container in pod.containers(*CONTAINERS):
            for variable in entries(container.content.get("env")):
                name = str(variable.get("name"))
                why = _looks_secret(name, variable.get("value"))
                if why:
                    yield Fault(pod.owner, f"{container}: {name} holds {why}", (*container.at, "env", name, "value"))
            for key in ("args", "command"):
                for index, value in enumerate(container.content.get(key) or []):
                    why = _looks_secret("", value)
                    if why:
                        yield Fault(pod.owner, f"{container}: an argument holds {why}", (*container.at, key, index))


def _looks_secret(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else ""
    for what, pattern in _SECRET_VALUES:
        if pattern.search(text):
            return what
    if _SECRET_NAME.search(name) and "\n" not in text and not _PLAIN.fullmatch(text):
        return "a value under a secret's name"
    return ""


@rule(
    "secret-known",
    "Every Secret that a pod needs exists in its environment: encrypted in the tree, or from an ExternalSecret.",
    fix="correct the name, or add customization/secrets/<env>/<name>.enc.yaml",
)
def secret_known(subject: Subject) -> Iterator[Fault]:
    for environment in subject.environments:
        known = _secrets_of(subject, environment)
        if known is None:
            continue
        for pod in pods(subject):
            if pod.owner.unit.environment == environment and pod.owner.unit.service:
                for at, name in _used(pod.spec, (*pod.at, "spec")):
                    if name not in known:
                        yield Fault(
                            pod.owner, f"{pod.owner} needs Secret {name}, which {environment} does not have", at
                        )


def _secrets_of(subject: Subject, environment: str) -> set[str] | None:
    """The names of an environment's Secrets; None where the tree holds none and they come from elsewhere."""
    folder = subject.tree.customization / "secrets" / environment
    held = [path for path in subject.files if path.is_relative_to(folder) and path.name.endswith(".enc.yaml")]
    drawn = {str(mapping(each.spec.get("target")).get("name") or each.name) for each in subject.every("ExternalSecret")}
    if not held and not drawn:
        return None
    read: list[Document] = [document for path in held for document in subject.read(path)]
    return drawn | {document.name for document in read}


def _used(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, list):
        for index, inner in enumerate(value):
            named = inner.get("name") if isinstance(inner, dict) else None
            yield from _used(inner, (*at, named if isinstance(named, str) else index))
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in ("secretKeyRef", "secretRef") and isinstance(inner, dict) and not inner.get("optional"):
                yield (*at, key, "name"), str(inner.get("name"))
            elif key == "secretName" and isinstance(inner, str) and not value.get("optional"):
                yield (*at, key), inner
            elif key == "secret" and isinstance(inner, dict) and "name" in inner and not inner.get("optional"):
                yield (*at, key, "name"), str(inner["name"])
            else:
                yield from _used(inner, (*at, key))
