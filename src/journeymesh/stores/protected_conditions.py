"""Conditions on rows in clear, as conditions on protected ones.

What is sealed cannot be compared: a public id is found by its token, a number by the handles of its owners, a vehicle
by its pseudonyms. What a protected column cannot decide is tested on the row in clear (``residual``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from journeymesh.stores.protected_index import Index, Place
from journeymesh.stores.protected_kinds import PROTECTED
from journeymesh.stores.protected_owners import Owners
from journeymesh.stores.row_kinds import Condition, chunks

_NUMBER: Final = {"journeys": "policy", "figures": "number", "policies": "number"}
"""The column that has a policy's number."""
_BEGINNING: Final = {"journeys": "policy_from_us", "figures": "valid_from_us", "policies": "valid_from_us"}
_PUBLIC_ID: Final = {"journeys": "journey_id", "history": "journey_id", "refusals": "refusal_id"}
_VEHICLES: Final = frozenset({"journeys", "refusals", "blocks"})
_MARGIN_MONTHS: Final = 1


@dataclass(slots=True)
class Translated:
    """``ways``: the rows that meet all conditions of one of these are wanted, as far as they meet ``residual``."""

    ways: list[list[Condition]] = field(default_factory=lambda: [[]])
    residual: list[Condition] = field(default_factory=list)

    def all_meet(self, condition: Condition) -> None:
        """Every wanted row meets this too."""
        for way in self.ways:
            way.append(condition)

    def is_in(self, name: str, values: Sequence[str]) -> None:
        """Every wanted row has one of these values."""
        some = list(chunks(values)) or [()]
        self.ways = [[*way, (name, "in", part)] for way in self.ways for part in some]


class Translator:
    """Translates conditions by the owners and the index of one transaction."""

    def __init__(self, owners: Owners, index: Index) -> None:
        self._owners, self._index = owners, index

    def __call__(self, kind: str, where: Sequence[Condition]) -> Translated | None:
        """The conditions on protected rows; None: no row meets them."""
        made, translated = PROTECTED[kind], Translated()
        later: dict[str, list[tuple[str, Any]]] = {}
        for name, comparison, value in where:
            if name in made.clear or comparison == "any":
                translated.all_meet((name, comparison, value))
            else:
                later.setdefault(name, []).append((comparison, value))
        if (public := _PUBLIC_ID.get(kind)) in later:
            for values in map(_values, later.pop(str(public))):
                translated.is_in("token", [token for value in values for token in self._index.tokens(kind, value)])
        if kind in _VEHICLES:
            for values in map(_values, later.pop("vehicle", [])):
                self._of_vehicles(translated, values)
        if kind == "journeys":
            for name in ("product",):
                for values in map(_values, later.pop(name, [])):
                    translated.is_in(name, [self.pseudonym(name, value) for value in values])
        if (number := _NUMBER.get(kind)) is not None and not self._of_policies(kind, number, translated, later, where):
            return None
        translated.residual += [(name, *each) for name, found in later.items() for each in found]
        return None if any((way[1] == "in" and not way[2]) for each in translated.ways for way in each) else translated

    def pseudonym(self, of: str, name: str) -> str:
        """The pseudonym of a tenant or a product."""
        return self._owners.store_key.token(of, name)

    def _of_vehicles(self, translated: Translated, values: Sequence[str | None]) -> None:
        if None in values:
            translated.all_meet(("vehicle", "=", None))
            return
        entries = self._index.find("vehicle", [str(value) for value in values])
        translated.is_in("vehicle", sorted({place[2] for entry in entries.values() for place in entry.places}))

    def _of_policies(
        self,
        kind: str,
        number: str,
        translated: Translated,
        later: dict[str, list[tuple[str, Any]]],
        where: Sequence[Condition],
    ) -> bool:
        """Translate number, tenant and beginning of the term; False: there is no such row."""
        named = [each for each in later.get(number, []) if each[0] in ("=", "in") and None not in _values(each)]
        if not named:
            tenants = [value for each in later.get("tenant", []) if each[0] in ("=", "in") for value in _values(each)]
            if tenants and kind != "policies":
                translated.is_in("tenant", [self.pseudonym("tenant", tenant) for tenant in tenants])
                del later["tenant"]
            if kind == "journeys" and (number in later) and named == [] and later[number] == [("=", None)]:
                translated.all_meet(("attributed", "=", 0))
            return True
        numbers = set(_values(named[0])).intersection(*map(_values, named[1:]))
        tests = [(place, later[name]) for place, name in ((1, "tenant"), (2, _BEGINNING[kind])) if name in later]
        entries = self._index.find("number", [str(value) for value in numbers])
        places = [place for entry in entries.values() for place in entry.places]
        if kind == "policies":
            places = [place for place in places if place[0] is None]
        elif kind == "journeys":
            places = list(_within(places, where))
        owners = self._owners.of({handle for _, handle, _ in places})
        handles, is_odd = set(), False
        for _, handle, _ in places:
            if (owner := owners.get(handle)) is None:
                continue
            if owner.term is None:
                is_odd = True
            elif not all(_meets(owner.term[place], each) for place, found in tests for each in found):
                continue
            handles.add(handle)
        translated.is_in("owner", sorted(handles))
        if not is_odd:
            for name in (number, "tenant", _BEGINNING[kind]):
                later.pop(name, None)
        return bool(handles)


def _values(each: tuple[str, Any]) -> list[Any]:
    comparison, value = each
    return list(value) if comparison == "in" else [value]


def _meets(value: Any, each: tuple[str, Any]) -> bool:
    return value in _values(each)


def _within(places: Iterable[Place], where: Sequence[Condition]) -> Iterable[Place]:
    """The places of months within the conditions' bounds of the start."""
    from journeymesh.keys.port import month_of

    low = [month_of(value) for name, comparison, value in where if name == "started_at_us" and ">" in comparison]
    high = [month_of(value) for name, comparison, value in where if name == "started_at_us" and "<" in comparison]
    for place in places:
        if place[0] is not None and place[0] >= max(low, default=place[0]) and place[0] <= min(high, default=place[0]):
            yield place
