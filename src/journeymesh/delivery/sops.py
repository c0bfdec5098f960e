"""SOPS, the program: documents in and out of encryption with age. Plain text stays in memory and pipes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.yaml_files import load_yaml

ENCRYPTED: Final = "^(data|stringData)$"
"""What of a Secret is encrypted; its name, namespace and keys stay readable, so that a review sees what changed."""
CONFIG: Final = ".sops.yaml"
RECIPIENT: Final = re.compile(r"age1(?:pq1)?[02-9ac-hj-np-z]{58,}")
_KEY_TODO: Final = "name the private key's file by --key-file or SOPS_AGE_KEY_FILE"


class SecretUndecryptable(JourneymeshError):
    """No key at hand opens a file, or it is not encrypted by SOPS."""


class SecretTampered(JourneymeshError):
    """Something in an encrypted file was changed without its key: its MAC does not hold."""


def encrypted(document: dict[str, Any], recipients: Sequence[str]) -> str:
    """The document as YAML that only these age recipients can read.

    Raises:
        UsageError: a recipient is none. ProgramMissing, ProgramFailed: sops is missing or refuses.
    """
    for recipient in recipients:
        if not RECIPIENT.fullmatch(recipient):
            raise UsageError(f"{recipient} is not an age recipient", todo="give the public key that begins with age1")
    if not recipients:
        raise UsageError("no one could decrypt it", todo="name an age recipient by --recipient")
    argv = ["sops", "--config", os.devnull, "encrypt", "--age", ",".join(recipients), "--encrypted-regex", ENCRYPTED]
    argv += ["--input-type", "yaml", "--output-type", "yaml", "/dev/stdin"]
    return called(argv, given=yaml.safe_dump(document, sort_keys=False))


def decrypted(path: Path, key_file: Path | None = None) -> dict[str, Any]:
    """The document in a file, in plain.

    Raises:
        SecretUndecryptable: no key at hand opens it. SecretTampered: its MAC does not hold.
    """
    try:
        text = called(
            ["sops", "decrypt", "--input-type", "yaml", "--output-type", "yaml", str(path)], environment=_keys(key_file)
        )
    except ProgramFailed as error:
        raise _told(path, error) from error
    content = load_yaml(text)
    return content if isinstance(content, dict) else {}


def rewrapped(path: Path, config: Path, key_file: Path | None = None) -> bool:
    """Let those read the file whom ``config`` names now. False: they could already.

    Raises:
        SecretUndecryptable, SecretTampered: as in ``decrypted``.
    """
    before = path.read_bytes()
    try:
        called(["sops", "--config", str(config), "updatekeys", "--yes", str(path)], environment=_keys(key_file))
    except ProgramFailed as error:
        raise _told(path, error) from error
    return path.read_bytes() != before


def recipients_of(content: dict[str, Any]) -> tuple[str, ...]:
    """Who can read an encrypted document; nobody where it is not encrypted."""
    held = content.get("sops")
    entries = held.get("age") if isinstance(held, dict) else None
    return tuple(str(entry.get("recipient")) for entry in entries or () if isinstance(entry, dict))


def plain_keys(content: dict[str, Any]) -> list[str]:
    """The keys under data and stringData whose values anybody can read."""
    found = []
    for part in ("data", "stringData"):
        held = content.get(part)
        for key, value in (held if isinstance(held, dict) else {}).items():
            if not (isinstance(value, str) and value.startswith("ENC[") and value.endswith("]")):
                found.append(f"{part}.{key}")
    return found


def _keys(key_file: Path | None) -> dict[str, str] | None:
    if key_file is None:
        return None
    if not key_file.is_file():
        raise UsageError(f"{key_file} does not exist", todo="name the file with the private age key")
    return {**os.environ, "SOPS_AGE_KEY_FILE": str(key_file)}


def _told(path: Path, error: ProgramFailed) -> JourneymeshError:
    words = error.what
    if "MAC mismatch" in words or "message authentication failed" in words:
        return SecretTampered(
            f"{path} was changed without its key", todo="restore it: git checkout, or create it again"
        )
    if "metadata not found" in words:
        return SecretUndecryptable(f"{path} is not encrypted", todo="encrypt it, and renew what was in it")
    if "data key" in words or "no identity matched" in words:
        held = load_yaml(path.read_text("utf-8"))
        readers = ", ".join(recipients_of(held)) if isinstance(held, dict) else ""
        return SecretUndecryptable(
            f"{path}: no available key decrypts it; its recipients are {readers}", todo=_KEY_TODO
        )
    return SecretUndecryptable(f"{path}: {words}", todo="correct the file")
