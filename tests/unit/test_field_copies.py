from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from journeymesh.field_copies import copy_fields


@dataclass(frozen=True, slots=True)
class Told:
    name: str
    metres: float
    secret: str


class Given(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kilometres: float


@dataclass(frozen=True, slots=True)
class Kept:
    name: str
    metres: float = 0.0


TOLD = Told("K1", 1_500.0, "hidden")


def test_fields_of_the_same_names_are_copied_and_the_others_are_as_given() -> None:
    assert copy_fields(Given, TOLD, kilometres=1.5) == Given(name="K1", kilometres=1.5)


def test_a_dataclass_is_filled_as_a_struct_is() -> None:
    assert copy_fields(Kept, TOLD) == Kept("K1", 1_500.0)


def test_a_field_that_the_source_lacks_is_no_default() -> None:
    with pytest.raises(AttributeError):
        copy_fields(Kept, Given(name="K1", kilometres=1.5))
