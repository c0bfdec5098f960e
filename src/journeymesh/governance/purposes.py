"""The purposes that data can be used for: a tree, each narrower purpose beneath the broader one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from journeymesh.errors import UsageError
from journeymesh.yaml_files import read_yaml

SHIPPED_PURPOSES: Final = Path(__file__).parent / "catalogue" / "purposes.yaml"
SEE: Final = "docs/explanation/purposes-and-approvals"
_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_IRI: Final = re.compile(r"https?://[^\s<>\"{}|\\^`]+")
_LONGEST_ID: Final = 80


class PurposesInvalid(UsageError):
    """A file of purposes cannot be used."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why data is used.

    ``dpv`` is the IRI of the W3C Data Privacy Vocabulary's purpose that it is or specialises; ``broader`` the id of the
    purpose above it. An approval of the broader purpose does not cover it. ``reads``: whether anything may be read for
    it; data can be handed in either way.
    """

    id: str
    title: str
    description: str
    dpv: str | None = None
    broader: str | None = None
    reads: bool = True


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    title: str
    description: str
    dpv: str | None = None
    reads: bool = True
    narrower: tuple[_Written, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    purposes: tuple[_Written, ...]


class Purposes:
    """Every purpose there is, a broader one before its narrower ones."""

    __slots__ = ("by_id",)

    def __init__(self, purposes: tuple[Purpose, ...]) -> None:
        self.by_id: Mapping[str, Purpose] = MappingProxyType({purpose.id: purpose for purpose in purposes})

    def __contains__(self, purpose: object) -> bool:
        return purpose in self.by_id

    def __iter__(self) -> Iterator[Purpose]:
        return iter(self.by_id.values())

    def __len__(self) -> int:
        return len(self.by_id)

    def narrower(self, purpose: str | None) -> tuple[Purpose, ...]:
        """Those directly beneath this one; of None: those beneath none."""
        return tuple(each for each in self if each.broader == purpose)


def load_purposes(path: str | Path = SHIPPED_PURPOSES) -> Purposes:
    """The purposes in this YAML file.

    Raises:
        PurposesInvalid: naming the file, the purpose and what to do.
    """
    held = read_yaml(path, _File, called="purposes", invalid=PurposesInvalid, see=SEE, variables=False)
    if held.version != 1:
        raise PurposesInvalid(f"purposes {path}: version {held.version}", todo="this journeymesh reads version 1")
    found = tuple(_flattened(held.purposes, None))
    if not found:
        raise PurposesInvalid(f"purposes {path}: there are none, so no data can be used", todo="name one")
    seen: set[str] = set()
    for purpose in found:
        where = f"purposes {path}: {purpose.id!r}"
        if not _ID.fullmatch(purpose.id) or len(purpose.id) > _LONGEST_ID:
            raise PurposesInvalid(f"{where} is not a valid id", todo="use small letters, digits and single hyphens")
        if purpose.id in seen:
            raise PurposesInvalid(f"{where} is there twice", todo="an id names one purpose; rename one of them")
        if not purpose.title.strip() or not purpose.description.strip():
            raise PurposesInvalid(
                f"{where} has no title or no description", todo="say what it is, for those who approve"
            )
        if purpose.dpv is not None and not _IRI.fullmatch(purpose.dpv):
            raise PurposesInvalid(
                f"{where}: dpv {purpose.dpv!r} is not an IRI", todo="such as https://w3id.org/dpv#Marketing"
            )
        seen.add(purpose.id)
    return Purposes(found)


def _flattened(written: tuple[_Written, ...], broader: str | None) -> Iterator[Purpose]:
    for each in written:
        yield Purpose(each.id, each.title, each.description, each.dpv, broader, each.reads)
        yield from _flattened(each.narrower, each.id)
