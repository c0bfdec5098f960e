"""Which data an environment admits: whose movements they are, and what its label says of personal data."""

from __future__ import annotations

from typing import Final, Literal, cast, get_args

from journeymesh.errors import NotPermitted, UsageError

DataKind = Literal["personal", "treated", "generated"]
"""Whose movements data are: of people as they drove; depersonalised; nobody's."""
PersonalData = Literal["none", "treated", "allowed"]
"""What an environment admits: data that were generated alone; depersonalised data as well; all."""

DATA_KINDS: Final = get_args(DataKind)
_ADMITTED: Final[dict[PersonalData, frozenset[DataKind]]] = {
    "none": frozenset({"generated"}),
    "treated": frozenset({"generated", "treated"}),
    "allowed": frozenset(DATA_KINDS),
}


class PersonalDataRefused(NotPermitted):
    """The environment does not admit data of this kind."""


def data_kind(named: str, mark: str) -> DataKind:
    """The kind of data that is named so by ``mark``.

    Raises:
        UsageError: there is no such kind.
    """
    if named not in DATA_KINDS:
        raise UsageError(f"{mark}: there is no kind of data {named!r}", todo=f"use one of {', '.join(DATA_KINDS)}")
    return cast("DataKind", named)


def require_admitted(kind: DataKind, label: PersonalData, what: str, *, mark: str) -> None:
    """Refuse data that an environment with this label does not admit. ``what`` names them, ``mark`` says where their
    kind is stated.

    Raises:
        PersonalDataRefused: it does not.
    """
    if kind not in _ADMITTED[label]:
        wanted = " or ".join(sorted(_ADMITTED[label]))
        raise PersonalDataRefused(
            f"{what}: {kind} data are not admitted here: the environment's label is personal_data={label}",
            todo=f"use data that are {wanted} and say so by {mark}; or run where personal data are allowed",
        )
