"""A data product's contract: an ODCS v3 document, and what decisions and approvals need of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

import msgspec

from journeymesh.errors import UsageError
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.governance.purposes import SEE, Purposes
from journeymesh.yaml_files import as_kind, read_yaml

SHIPPED_CONTRACT: Final = Path(__file__).parent / "catalogue" / "journeys.odcs.yaml"
CONSUMER: Final = "consumer"
"""The role of the contract whose approvers approve purposes."""

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_APPROVER: Final = re.compile(r"[^\s:,]+:[^\s,]+")


class ContractInvalid(UsageError):
    """A data contract cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a data product promises and for what it may be used.

    - ``major``: of the product's version; an approval is of one major version
    - ``approvers``: who approves purposes, ``provider:subject`` or ``domain:NAME``
    - ``purposes``: those it may be used for, each with what must be done to the data first
    - ``longest_approval_days``: how long one approval can last
    - ``keep_after_end_days``: how long after its end a former customer's last term is kept; None: nothing says so, and
      nobody is treated as a former customer
    - ``document``: the whole ODCS document
    """

    product: str
    version: str
    major: int
    owner: str
    approvers: tuple[str, ...]
    purposes: Mapping[str, Obligations]
    longest_approval_days: int
    keep_after_end_days: int | None = None
    document: Mapping[str, Any] = field(repr=False)


class Contracts:
    """The contracts in force, by product, and the purposes that they speak of.

    Raises:
        ContractInvalid: two contracts are of one product, or one allows a purpose that there is not.
    """

    def __init__(self, contracts: Iterable[Contract], purposes: Purposes) -> None:
        self.purposes = purposes
        self._by_product: dict[str, Contract] = {}
        for contract in contracts:
            if contract.product in self._by_product:
                raise ContractInvalid(f"product {contract.product} has two contracts", todo="give one")
            for purpose in contract.purposes:
                if purpose not in purposes:
                    what = f"contract of {contract.product}: purpose {purpose!r} is not among the purposes"
                    raise ContractInvalid(what, todo="add it to the file of purposes, or correct its id")
            self._by_product[contract.product] = contract

    def of(self, product: str) -> Contract | None:
        """The product's contract; None: it has none, so nothing personal of it may be used."""
        return self._by_product.get(product)

    def knows(self, purpose: str) -> bool:
        """Whether there is such a purpose."""
        return purpose in self.purposes

    def reads(self, purpose: str) -> bool:
        """Whether anything may be read for this purpose."""
        held = self.purposes.by_id.get(purpose)
        return held is not None and held.reads

    def __iter__(self) -> Iterator[Contract]:
        return iter(self._by_product.values())


def load_contract(path: str | Path = SHIPPED_CONTRACT) -> Contract:
    """The contract in this YAML file.

    Raises:
        ContractInvalid: naming the file, the place in it and what to do.
    """
    where = f"contract {path}"
    document = read_yaml(path, dict[str, Any], called="contract", invalid=ContractInvalid, see=SEE, variables=False)
    held = as_kind(document, _Document, where, invalid=ContractInvalid, see=SEE)
    version = _VERSION.fullmatch(held.version)
    if version is None:
        raise ContractInvalid(f"{where}: version {held.version!r} is none", todo="write MAJOR.MINOR.PATCH")
    given = _custom(held, where)
    names = {name for table in held.schema for name in table.names()}
    purposes: dict[str, Obligations] = {}
    for allowed in given.purposes:
        if allowed.purpose in purposes:
            raise ContractInvalid(f"{where}: purpose {allowed.purpose!r} is there twice", todo="keep one of them")
        if unknown := sorted(set(allowed.mask) - names):
            what = f"{where}: purpose {allowed.purpose!r} masks {unknown[0]!r}, which is not a property of the schema"
            raise ContractInvalid(what, todo="correct the name: nothing would be masked")
        purposes[allowed.purpose] = allowed.obligations()
    if not purposes:
        raise ContractInvalid(f"{where}: it allows no purpose", todo="name some under customProperties, purposes")
    return Contract(
        product=held.dataProduct,
        version=held.version,
        major=int(version[1]),
        owner=held.domain,
        approvers=_approvers(held, where),
        purposes=MappingProxyType(purposes),
        longest_approval_days=given.longestApprovalDays,
        keep_after_end_days=given.keepAfterEndDays,
        document=MappingProxyType(document),
    )


_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Property(msgspec.Struct, frozen=True):
    """A table, a column or, without a name, what an array holds."""

    name: str = ""
    properties: tuple[_Property, ...] = ()
    items: _Property | None = None

    def names(self) -> Iterator[str]:
        for inner in self.properties:
            yield inner.name
            yield from inner.names()
        if self.items is not None:
            yield from self.items.names()


class _Role(msgspec.Struct, frozen=True):
    role: str
    firstLevelApprovers: str = ""
    secondLevelApprovers: str = ""


class _CustomProperty(msgspec.Struct, frozen=True):
    property: str
    value: Any


class _Document(msgspec.Struct, frozen=True):
    """What is read of an ODCS document; the JSON schema of ODCS checks the rest."""

    apiVersion: Annotated[str, msgspec.Meta(pattern=r"^v3\.")]
    kind: Literal["DataContract"]
    id: _Name
    version: str
    dataProduct: _Name
    domain: _Name
    schema: tuple[_Property, ...]
    roles: tuple[_Role, ...]
    customProperties: tuple[_CustomProperty, ...]


class _Allowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    purpose: _Name
    policyStatuses: frozenset[_Name] | None = None
    policyProducts: frozenset[_Name] | None = None
    mask: frozenset[_Name] = frozenset()
    minimumGroupSize: Annotated[int, msgspec.Meta(ge=1)] = 1
    retentionDays: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def obligations(self) -> Obligations:
        return Obligations(
            rows=RowPredicate(statuses=self.policyStatuses, products=self.policyProducts),
            mask=self.mask,
            minimum_group_size=self.minimumGroupSize,
            retention_days=self.retentionDays,
        )


class _Given(msgspec.Struct, frozen=True):
    purposes: tuple[_Allowed, ...] = ()
    longestApprovalDays: Annotated[int, msgspec.Meta(ge=1, le=3660)] = 365
    keepAfterEndDays: Annotated[int, msgspec.Meta(ge=1, le=36_600)] | None = None


def _custom(held: _Document, where: str) -> _Given:
    """The custom properties that are ours."""
    names = [each.property for each in held.customProperties]
    for name in ("purposes", "longestApprovalDays", "keepAfterEndDays"):
        if names.count(name) > 1:
            raise ContractInvalid(f"{where}: customProperties has {name} twice", todo="keep one of them")
    try:
        return msgspec.convert({each.property: each.value for each in held.customProperties}, _Given)
    except msgspec.ValidationError as error:
        fault, _, place = str(error).partition(" - at `$")
        what = f"{where}: customProperties{place.rstrip('`')}: {fault[:1].lower()}{fault[1:]}"
        raise ContractInvalid(what, todo=f"see {SEE}") from error


def _approvers(held: _Document, where: str) -> tuple[str, ...]:
    """Who approves purposes."""
    roles = [role for role in held.roles if role.role == CONSUMER]
    if len(roles) != 1:
        raise ContractInvalid(f"{where}: roles has {len(roles)} called {CONSUMER}", todo="give one, with its approvers")
    if roles[0].secondLevelApprovers:
        raise ContractInvalid(f"{where}: there is one level of approval", todo="leave secondLevelApprovers out")
    approvers = tuple(name.strip() for name in roles[0].firstLevelApprovers.split(",") if name.strip())
    if not approvers:
        raise ContractInvalid(f"{where}: nobody approves purposes", todo=f"name firstLevelApprovers of role {CONSUMER}")
    for name in approvers:
        if not _APPROVER.fullmatch(name):
            raise ContractInvalid(f"{where}: approver {name!r} is none", todo="write provider:subject or domain:NAME")
    return approvers
