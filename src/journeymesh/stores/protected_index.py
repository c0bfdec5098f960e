"""Where numbers and vehicles are found: index rows under the index key, which each treatment replaces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from journeymesh.stores.protected_kinds import INDEX
from journeymesh.stores.protected_owners import Owners
from journeymesh.stores.row_kinds import ReadableRows, WritableRows, chunks

Of = Literal["number", "vehicle"]
Place = tuple[int | None, str, str]
"""A UTC month (None: no month), the handle of an owner in it, and the vehicle's pseudonym there ("": of a number)."""


@dataclass(slots=True)
class Entry:
    """What is known of a number or a vehicle: at least the places where rows of it are, and for a vehicle the handles
    of the terms that named it."""

    name: str
    places: set[Place] = field(default_factory=set)
    terms: set[str] = field(default_factory=set)
    changed: bool = False

    def add(self, place: Place) -> None:
        """Rows of it are there."""
        if place not in self.places:
            self.places.add(place)
            self.changed = True

    def name_term(self, handle: str) -> None:
        """A term names this vehicle."""
        if handle not in self.terms:
            self.terms.add(handle)
            self.changed = True


class Index:
    """The index rows within one transaction; what is added is written by ``flush``."""

    def __init__(self, rows: ReadableRows, owners: Owners, *, with_former: bool = True) -> None:
        self._rows = rows
        self._present = owners.index_key
        self._former = owners.former_index_key if with_former else None
        self._known: dict[tuple[Of, str], Entry | None] = {}

    def tokens(self, kind: str, *parts: str) -> list[str]:
        """The tokens under which rows of this key are: two while the index key is being replaced."""
        tokens = [self._present.token(kind, *parts)]
        return tokens if self._former is None else [*tokens, self._former.token(kind, *parts)]

    def token(self, kind: str, *parts: str) -> str:
        """The token that a row gets now."""
        return self._present.token(kind, *parts)

    def seal(self, content: bytes, kind: str, place: str) -> bytes:
        """The content sealed by the index key for this place."""
        return self._present.seal(content, kind=kind, stored_id=place)

    def unseal(self, sealed: bytes, kind: str, place: str) -> bytes:
        """What was sealed by the index key, or by the one before while it is being replaced."""
        from journeymesh.keys.derivations import SealBroken

        try:
            return self._present.unseal(sealed, kind=kind, stored_id=place)
        except SealBroken:
            if self._former is None:
                raise
            return self._former.unseal(sealed, kind=kind, stored_id=place)

    def find(self, of: Of, names: Iterable[str]) -> dict[str, Entry]:
        """The entries of those names that have one."""
        wanted = list(dict.fromkeys(names))
        unknown = {token: name for name in wanted if (of, name) not in self._known for token in self.tokens(of, name)}
        for some in chunks(list(unknown)):
            for token, sealed in self._rows.select(INDEX, [("token", "in", some)]):
                self._known[of, unknown[token]] = self._entry(token, sealed)
        for name in unknown.values():
            self._known.setdefault((of, name), None)
        return {name: entry for name in wanted if (entry := self._known[of, name]) is not None}

    def ensure(self, of: Of, names: Iterable[str]) -> dict[str, Entry]:
        """The entries of these names, made where there are none."""
        wanted = list(dict.fromkeys(names))
        entries = self.find(of, wanted)
        for name in wanted:
            if name not in entries:
                entries[name] = self._known[of, name] = Entry(name, changed=True)
        return entries

    def names(self, tokens: Sequence[str]) -> dict[str, str]:
        """The names of the vehicles that have these tokens."""
        found: dict[str, str] = {}
        for some in chunks(tokens):
            for token, sealed in self._rows.select(INDEX, [("token", "in", some)]):
                found[token] = self._entry(token, sealed).name
        return found

    def flush(self, into: WritableRows) -> None:
        """Write what was added."""
        put = []
        for (of, name), entry in self._known.items():
            if entry is not None and entry.changed:
                token = self.token(of, name)
                content = msgspec.msgpack.encode((name, sorted(entry.places, key=repr), sorted(entry.terms)))
                put.append((token, self.seal(content, INDEX, token)))
                entry.changed = False
        into.put(INDEX, sorted(put))

    def _entry(self, token: str, sealed: bytes) -> Entry:
        name, places, terms = msgspec.msgpack.decode(self.unseal(bytes(sealed), INDEX, token))
        return Entry(name, {tuple(place) for place in places}, set(terms))
