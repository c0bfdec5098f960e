"""A cache that keeps what was used last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Values by key. Beyond ``most`` the least recently used go: ``most`` counts entries, or whatever ``size_of`` says
    of a value, such as bytes. A value that is larger than ``most`` by itself is not kept. Safe for several threads.
    """

    __slots__ = ("_entries", "_lock", "_most", "_size", "_size_of")

    def __init__(self, most: int, size_of: Callable[[V], int] | None = None) -> None:
        self._most = most
        self._size_of = size_of
        self._size = 0
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """What is kept, in what ``most`` counts."""
        return self._size

    def get(self, key: K) -> V | None:
        """The value, which counts as a use; None: there is none."""
        value = self._entries.get(key)
        if value is not None:
            # Not under the lock, which costs more than both steps: each is one step of Python's, and an entry that
            # another thread removes between them needs no place.
            try:  # noqa: SIM105 - a context manager takes as long as all of this
                self._entries.move_to_end(key)
            except KeyError:
                pass
        return value

    def put(self, key: K, value: V) -> None:
        """Keep this value in place of an earlier one, which counts as a use."""
        size = 1 if self._size_of is None else self._size_of(value)
        with self._lock:
            if key in self._entries:
                self._pop(key)
            if size > self._most:
                return
            self._entries[key] = value
            self._size += size
            while self._size > self._most:
                _, oldest = self._entries.popitem(last=False)  # one step: iterators end where ``get`` moves an entry
                self._size -= 1 if self._size_of is None else self._size_of(oldest)

    def items(self) -> list[tuple[K, V]]:
        """The values by key, in no order, which counts as no use."""
        with self._lock:
            return list(dict.items(self._entries))  # of the dict alone, in which ``get`` moves nothing

    def discard(self, key: K) -> None:
        """Keep no value for this key."""
        with self._lock:
            self._pop(key)

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._entries.clear()
            self._size = 0

    def _pop(self, key: K) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self._size -= 1 if self._size_of is None else self._size_of(value)
