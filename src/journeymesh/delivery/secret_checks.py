"""What is wrong with an environment's Secrets in git, each with its place and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from journeymesh.delivery import sops
from journeymesh.delivery.certificates import certificate_faults
from journeymesh.delivery.documents import documents
from journeymesh.delivery.needed_secrets import BY_NAME, NEEDED
from journeymesh.delivery.secrets import SUFFIX, TLS, EnvironmentSecrets, decoded
from journeymesh.delivery.tree import Tree
from journeymesh.errors import JourneymeshError
from journeymesh.yaml_files import load_yaml

BESIDE_SECRETS = frozenset({".gitkeep", "README.md"})


@dataclass(frozen=True, slots=True)
class SecretFinding:
    """One fault: ``rule`` names its kind, ``place`` the file as a commit names it."""

    rule: str
    place: str
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}: {self.what}: {self.todo}"


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A manifest wants this Secret; ``key`` is empty where it takes the whole of it."""

    name: str
    key: str
    place: str


def secret_findings(held: EnvironmentSecrets, *, opened: bool = True) -> list[SecretFinding]:
    """All that is wrong, nothing where all is well. ``opened``: also decrypt each, with the keys at hand."""
    found = [*_strangers(held)]
    keys_there: dict[str, set[str]] = {}
    for name in held.names():
        content, faults = _outside(held, name)
        keys_there[name] = {*(content.get("data") or {}), *(content.get("stringData") or {})}
        found += faults
        if opened and not faults:
            found += _inside(held, name)
    found += _missing(held, keys_there)
    return found


def secret_references(tree: Tree, environment: str) -> list[SecretReference]:
    """Which Secrets the services' manifests of an environment name: as variables, volumes and certificates."""
    found: dict[tuple[str, str], SecretReference] = {}
    services = tree.customization / "services"
    for service in tree.services() if services.is_dir() else ():
        for folder in (services / service / "base", services / service / "overlays" / environment):
            for path in sorted(folder.rglob("*.yaml")):
                for document in documents(path):
                    for name, key in _named(document.content):
                        found.setdefault((name, key), SecretReference(name, key, tree.relative(path)))
    return list(found.values())


def _strangers(held: EnvironmentSecrets) -> Iterator[SecretFinding]:
    if not held.folder.is_dir():
        return
    for path in sorted(held.folder.iterdir()):
        if path.name not in BESIDE_SECRETS and not path.name.endswith(SUFFIX):
            yield SecretFinding(
                "secret-plain-file",
                held.tree.relative(path),
                "not an encrypted Secret",
                f"remove it from here; if it contains a secret, rotate that. Encrypted files end with {SUFFIX}",
            )


def _outside(held: EnvironmentSecrets, name: str) -> tuple[dict[str, Any], list[SecretFinding]]:
    """The file's content as it stands in git, and what can be said without a key."""
    path = held.file(name)
    place = held.tree.relative(path)
    try:
        content = load_yaml(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        return {}, [SecretFinding("secret-unreadable", place, "not YAML", "restore it from git, or create it again")]
    found = []
    if plain := sops.plain_keys(content):
        todo = "rotate its values, because git keeps them, and write it with `journeymesh delivery secrets set`"
        found.append(SecretFinding("secret-plain", place, f"{', '.join(plain)} in plain", todo))
    elif not sops.recipients_of(content):
        found.append(SecretFinding("secret-plain", place, "not encrypted by SOPS with age", "create it again"))
    else:
        known = held.recipients()
        if known and set(sops.recipients_of(content)) != set(known):
            todo = f"run `journeymesh delivery secrets rewrap --env {held.environment}`"
            found.append(
                SecretFinding("secret-recipients", place, "not encrypted for the recipients in .sops.yaml", todo)
            )
    metadata = content.get("metadata") or {}
    wanted = ("Secret", name, held.environment)
    if (content.get("kind"), metadata.get("name"), metadata.get("namespace")) != wanted:
        what = f"it is not Secret {name} of namespace {held.environment}"
        found.append(SecretFinding("secret-name", place, what, "move it to where it belongs, or create it again"))
    return content, found


def _inside(held: EnvironmentSecrets, name: str) -> list[SecretFinding]:
    place = held.tree.relative(held.file(name))
    try:
        values = decoded(sops.decrypted(held.file(name), held.key_file))
    except JourneymeshError as error:
        rule = "secret-tampered" if isinstance(error, sops.SecretTampered) else "secret-undecryptable"
        return [SecretFinding(rule, place, error.what.replace(str(held.file(name)), "it"), error.todo)]
    needed = BY_NAME.get(name)
    todo = f"renew it: journeymesh delivery secrets rotate {name} --env {held.environment}"
    weak = [SecretFinding("secret-value", place, fault, todo) for fault in (needed.faults(values) if needed else ())]
    if needed is None or needed.type != TLS:
        give = f"journeymesh delivery secrets certificate {name} --env {held.environment} --certificate FILE --key FILE"
        todo = f"renew it: {give}"
    return weak + [
        SecretFinding("certificate-holds" if each.grave else "certificate-ends-soon", place, each.what, todo)
        for each in certificate_faults(values)
    ]


def _missing(held: EnvironmentSecrets, keys_there: dict[str, set[str]]) -> Iterator[SecretFinding]:
    needed = [SecretReference(each.name, key, "") for each in NEEDED for key in each.keys]
    told: set[tuple[str, str]] = set()
    for want in [*needed, *secret_references(held.tree, held.environment)]:
        at = (want.name, want.key if want.name in keys_there else "")
        if at in told:
            continue
        place = held.tree.relative(held.file(want.name))
        by = f", which {want.place} reads" if want.place else ""
        if want.name not in keys_there:
            make = "new" if want.name in BY_NAME else f"set {want.name} {want.key or 'KEY'}"
            todo = f"make it: journeymesh delivery secrets {make} --env {held.environment}"
            yield SecretFinding("secret-missing", place, f"there is no Secret {want.name}{by}", todo)
        elif want.key and want.key not in keys_there[want.name]:
            todo = f"set it: journeymesh delivery secrets set {want.name} {want.key} --env {held.environment}"
            yield SecretFinding("secret-key-missing", place, f"it has no key {want.key}{by}", todo)
        else:
            continue
        told.add(at)


def _named(content: Any) -> Iterator[tuple[str, str]]:
    """Each Secret that a manifest names, with the key where it names one; optional ones are left out."""
    if isinstance(content, list):
        for each in content:
            yield from _named(each)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        match key, value:
            case "secretKeyRef", {"name": str(name), "key": str(at)} if not value.get("optional"):
                yield name, at
            case "secretRef", {"name": str(name)} if not value.get("optional"):
                yield name, ""
            case "secret", {"secretName": str(name)} if not value.get("optional"):
                items = value.get("items") or []
                yield from ((name, str(item.get("key"))) for item in items)
                if not items:
                    yield name, ""
            case "secret", {"name": str(name)}:  # a source of a projected volume
                yield from ((name, str(item.get("key"))) for item in value.get("items") or [{"key": ""}])
            case "certificateRefs", list():
                yield from ((str(each.get("name")), "tls.crt") for each in value if isinstance(each, dict))
            case _:
                yield from _named(value)
