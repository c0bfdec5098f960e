"""An environment's Secrets in git: made, checked, renewed; never in plain, neither in git nor on a disk."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from journeymesh.delivery import sops
from journeymesh.delivery.certificates import CertificateFault, certificate_faults, certificate_keys, validity
from journeymesh.delivery.documents import ManifestUnreadable, documents
from journeymesh.delivery.needed_secrets import BY_NAME, NEEDED, gateway_hosts
from journeymesh.delivery.tree import Tree
from journeymesh.errors import NotFound, UsageError

SUFFIX: Final = ".enc.yaml"
TLS: Final = "kubernetes.io/tls"
HOLDS: Final = "journeymesh.io/certificate-holds"
"""From when until when the certificates of a Secret hold, as ISO 8601 has periods: for those without its key."""
NAMES: Final = "journeymesh.io/certificate-names"
"""The names that they are for, with commas."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class _SopsConfig(msgspec.Struct):
    creation_rules: list[dict[str, Any]] | None = None


class SecretAbsent(NotFound):
    """The environment has no such Secret."""


class CertificateRefused(UsageError):
    """No client would take the certificate, or no server could serve it."""


@dataclass(frozen=True, slots=True)
class EnvironmentSecrets:
    """The Secrets of one environment: ``customization/secrets/<environment>/<name>.enc.yaml``."""

    tree: Tree
    environment: str
    key_file: Path | None = None

    @property
    def folder(self) -> Path:
        return self.tree.customization / "secrets" / self.environment

    @property
    def config(self) -> Path:
        return self.tree.root / sops.CONFIG

    def file(self, name: str) -> Path:
        """Where a Secret of this name stands.

        Raises:
            UsageError: Kubernetes would not take the name.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name} is not a valid name of a Secret", todo="use small letters, digits and hyphens")
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> tuple[str, ...]:
        """The Secrets that are there, sorted."""
        return tuple(sorted(path.name.removesuffix(SUFFIX) for path in self.folder.glob(f"*{SUFFIX}")))

    def recipients(self) -> tuple[str, ...]:
        """Who shall read this environment, as .sops.yaml says; nobody where it says nothing."""
        rule = self._rule(self._rules())
        return tuple(each.strip() for each in str((rule or {}).get("age") or "").split(",") if each.strip())

    def entrust(self, recipients: Sequence[str]) -> None:
        """Write into .sops.yaml who shall read this environment from now on; `rewrap` is for what is there already."""
        rules = self._rules()
        rule = self._rule(rules)
        if rule is None:
            rule = {"path_regex": self._path_regex, "encrypted_regex": sops.ENCRYPTED}
            rules.append(rule)
        rule["age"] = ",".join(dict.fromkeys(recipients))
        written = "# Who can read the Secrets of each environment: public age keys. `journeymesh delivery secrets`\n"
        written += "# writes this file, `sops edit` reads it. After a change: journeymesh delivery secrets rewrap\n"
        _write(self.config, written + yaml.safe_dump({"creation_rules": rules}, sort_keys=False, width=10_000))

    def make_missing(self, recipients: Sequence[str] = (), hosts: Sequence[str] = ()) -> list[Path]:
        """Make what the environment needs and does not have; what is there stays as it is. The files made.

        Raises:
            UsageError: it is not known who shall read them, or others do already.
        """
        known = self.recipients()
        if known and set(recipients) - set(known):
            raise UsageError(
                f"{self.environment} is read by {', '.join(known)} ({self.tree.relative(self.config)})",
                todo="leave out --recipient, or change that file and run `journeymesh delivery secrets rewrap`",
            )
        readers = known or tuple(dict.fromkeys(recipients))
        if not readers:
            raise UsageError(
                f"no recipients configured for {self.environment}",
                todo="give --recipient age1…; `journeymesh delivery secrets keys new FOLDER` makes a pair",
            )
        made = {}
        for needed in NEEDED:
            if not self.file(needed.name).exists():
                values = needed.make((*hosts, *gateway_hosts(self.environment)))
                made[self.file(needed.name)] = self._sealed(needed.name, values, needed.type, readers)
        if not known:
            self.entrust(readers)
        for path, text in made.items():
            _write(path, text)
        return list(made)

    def renew(self, name: str, keys: Sequence[str] = (), hosts: Sequence[str] = ()) -> Path:
        """New values for a Secret that the environment needs, under these keys or all that may change.

        Raises:
            SecretAbsent: it is not there. UsageError: a key must stay, or nobody knows how to make it.
            CertificateRefused: the new certificate does not hold, or not for these names.
        """
        needed = BY_NAME.get(name)
        if needed is None:
            raise UsageError(
                f"{name} is not made here, so it cannot be renewed",
                todo=f"give the value: journeymesh delivery secrets set {name} KEY --env {self.environment}",
            )
        former = self.values(name)
        values = needed.renewed(former, keys, (*hosts, *gateway_hosts(self.environment)))
        changed = {key for key, value in values.items() if former.get(key) != value}
        self._require_certificates(name, values, changed, hosts if certificate_keys(values) else ())
        return self._replace(name, values, needed.type)

    def put(self, name: str, key: str, value: str, hosts: Sequence[str] = ()) -> Path:
        """Give one key of a Secret its value, the others stay; a Secret that is not there is made.

        Raises:
            CertificateRefused: it is a certificate that does not hold, or not with its key, or not for these names.
        """
        return self._put(name, {key: value}, hosts)

    def put_certificate(self, name: str, certificate: str, key: str, hosts: Sequence[str] = ()) -> Path:
        """Give a Secret its certificate and the private key to it, both in PEM and both at once.

        Raises:
            CertificateRefused: they do not hold, or not together, or not for these names.
        """
        return self._put(name, {"tls.crt": certificate, "tls.key": key}, hosts, TLS)

    def _put(self, name: str, given: Mapping[str, str], hosts: Sequence[str], kind: str = "Opaque") -> Path:
        for key in given:
            if not _KEY.fullmatch(key):
                raise UsageError(
                    f"{key} is not a valid key of a Secret", todo="use letters, digits, dots, hyphens, underscores"
                )
        there = self.file(name).exists()
        document = sops.decrypted(self.file(name), self.key_file) if there else {}
        needed = BY_NAME.get(name)
        values = {**decoded(document), **given}
        self._require_certificates(name, values, given, hosts)
        return self._replace(name, values, str(document.get("type") or (needed.type if needed else kind)))

    def _require_certificates(
        self, name: str, values: Mapping[str, str], changed: Collection[str], hosts: Sequence[str]
    ) -> None:
        """Refuse what is wrong with the values that change; what stands there already is for `check` to tell."""
        if hosts and not certificate_keys(values):
            raise UsageError(f"{', '.join(changed)} of {name} has no host", todo="leave out --host")
        grave = [each for each in certificate_faults(values, hosts) if each.grave and set(each.keys) & set(changed)]
        if grave:
            raise CertificateRefused(
                f"{name} was left as it is: {'; '.join(each.what for each in grave)}", todo=self._todo(name, grave)
            )

    def _todo(self, name: str, grave: Sequence[CertificateFault]) -> str:
        if any("does not belong" in each.what for each in grave):
            argv = f"journeymesh delivery secrets certificate {name} --env {self.environment}"
            return f"give both at once: {argv} --certificate FILE --key FILE"
        return (
            "give one that is valid today, for the names that clients use; `openssl x509 -noout -text` shows a file's"
        )

    def values(self, name: str) -> dict[str, str]:
        """A Secret's values in plain.

        Raises:
            SecretAbsent: it is not there. SecretUndecryptable, SecretTampered: it cannot be read.
        """
        path = self.file(name)
        if not path.is_file():
            raise SecretAbsent(
                f"{self.environment} has no Secret {name}",
                todo=f"make it: journeymesh delivery secrets new --env {self.environment}",
            )
        return decoded(sops.decrypted(path, self.key_file))

    def rewrap(self) -> list[Path]:
        """Let those read every file whom .sops.yaml names now; the files that changed."""
        if not self.recipients():
            raise UsageError(
                f"{self.config} has no recipients for {self.environment}", todo="name recipients there first"
            )
        return [self.file(name) for name in self.names() if sops.rewrapped(self.file(name), self.config, self.key_file)]

    def _replace(self, name: str, values: Mapping[str, str], kind: str) -> Path:
        readers = self.recipients()
        if not readers:
            raise UsageError(
                f"no recipients configured for {self.environment}",
                todo=f"run `journeymesh delivery secrets new --env {self.environment} --recipient age1…` first",
            )
        _write(self.file(name), self._sealed(name, values, kind, readers))
        return self.file(name)

    def _sealed(self, name: str, values: Mapping[str, str], kind: str, recipients: Sequence[str]) -> str:
        document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.environment,
                "labels": {"app.kubernetes.io/part-of": "journeymesh"},
            },
            "type": kind,
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
        }
        if holds := validity(values):
            period = f"{holds.begins:%Y-%m-%dT%H:%M:%SZ}/{holds.ends:%Y-%m-%dT%H:%M:%SZ}"
            document["metadata"]["annotations"] = {HOLDS: period, NAMES: ",".join(holds.names)}
        return sops.encrypted(document, recipients)

    @property
    def _path_regex(self) -> str:
        return rf"customization/secrets/{self.environment}/[^/]+\.enc\.yaml$"

    def _rules(self) -> list[dict[str, Any]]:
        if not self.config.is_file():
            return []
        document = next(documents(self.config), None)
        if document is None:
            return []
        try:
            return msgspec.convert(document.content, _SopsConfig).creation_rules or []
        except msgspec.ValidationError as error:
            raise ManifestUnreadable(
                f"{self.config}: not valid SOPS rules: {error}", todo="correct the file"
            ) from error

    def _rule(self, rules: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        return next((rule for rule in rules if rule.get("path_regex") == self._path_regex), None)


def decoded(document: Mapping[str, Any]) -> dict[str, str]:
    """The values of a Secret in plain, from ``data`` and ``stringData``."""
    values = {
        key: base64.b64decode(held).decode("utf-8", "replace") for key, held in (document.get("data") or {}).items()
    }
    return {**values, **(document.get("stringData") or {})}


def _write(path: Path, text: str) -> None:
    """The file whole or not at all; what is written is encrypted, or public."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, "utf-8")
    os.replace(beside, path)
