"""Answers computed out of legacy, kept for as long as legacy's stream of changes says that they still hold.

An answer is kept only while the stream is heard: a second without a word from it, and everything is computed anew.
A source without a stream is never cached.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self

import pyarrow as pa

from journeymesh.errors import JourneymeshError, SourceUnreadable
from journeymesh.following import Follower
from journeymesh.lru import LruCache
from journeymesh.sources.vehicle_port import ChangeBatch, ChangeStream, PositionLost, VehicleSource

HEARD_WITHIN_S: Final = 1.0
_OLDEST_S: Final = 60.0
"""A fix whose clock was in the future when an answer was computed is in the past at last."""
_MOST_NAMES: Final = 100_000
_WAIT_S: Final = 0.25
_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: pa.Table
    vehicles: tuple[str, ...]
    generation: int
    """How many changes were known when the answer began to be computed."""
    computed_at_s: float


@dataclass(slots=True)
class AnswerCache:
    """Answers by question, at most ``most_bytes`` of them. Safe for threads.

    An answer that was being computed while one of its vehicles changed is given, and not kept.
    """

    most_bytes: int = 64 << 20
    hits: int = 0
    misses: int = 0
    _entries: LruCache[Hashable, _Entry] = field(init=False)
    _generation: int = 0
    _changed: dict[str, int] = field(default_factory=dict)
    """The generation of each vehicle's last change."""
    _all_changed: int = 0
    _heard_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._entries = LruCache(self.most_bytes, lambda entry: entry.answer.nbytes)

    @property
    def is_on(self) -> bool:
        """Whether the stream of changes was heard lately enough."""
        heard_at = self._heard_at
        return heard_at is not None and time.monotonic() - heard_at <= HEARD_WITHIN_S

    @property
    def nbytes(self) -> int:
        """Bytes of the answers kept, those included that a change has made useless."""
        return self._entries.size

    def answer(self, question: Hashable, vehicles: tuple[str, ...], compute: Callable[[], pa.Table]) -> pa.Table:
        """The answer that is kept, else the computed one, which depends on these vehicles."""
        if not self.is_on:
            return compute()
        entry, began_s = self._entries.get(question), time.monotonic()
        with self._lock:
            if entry is not None and began_s - entry.computed_at_s <= _OLDEST_S and self._is_valid(entry):
                self.hits += 1
                return entry.answer
            self.misses += 1
            generation = self._generation
        entry = _Entry(compute(), vehicles, generation, time.monotonic())
        if self._is_valid(entry) and self.is_on:
            self._entries.put(question, entry)
        return entry.answer

    def touch(self, vehicles: Iterable[str]) -> None:
        """These vehicles changed: no answer about them is valid any more."""
        with self._lock:
            self._generation += 1
            self._changed |= dict.fromkeys(vehicles, self._generation)
        if len(self._changed) > _MOST_NAMES:
            self.touch_all()

    def touch_all(self) -> None:
        """Anything may have changed: discard every answer."""
        with self._lock:
            self._generation += 1
            self._all_changed = self._generation
            self._changed.clear()
            self._entries.clear()

    def _is_valid(self, entry: _Entry) -> bool:
        """Whether none of its vehicles changed since it began to be computed."""
        last = max([self._all_changed, *(self._changed.get(name, 0) for name in entry.vehicles)])
        return last <= entry.generation

    def heard(self) -> None:
        """The stream was heard, and all it said so far was dealt with."""
        self._heard_at = time.monotonic()

    def unheard(self) -> None:
        """The stream is gone."""
        self._heard_at = None


@dataclass(slots=True)
class ChangeWatcher(Follower):
    """Follows a source's changes and tells the cache. Started by ``with``; ends on its own where there is no stream."""

    source: VehicleSource
    cache: AnswerCache
    fault: JourneymeshError | None = None
    """Why it does not hear the stream; None: it does, or has not begun."""
    every_s: float = 0.0
    _stream: ChangeStream | None = None

    def start(self) -> Self:
        """Follow the changes from now on. What cannot be reached keeps nobody waiting."""
        self._begin()
        return self

    def close(self) -> None:
        """Follow them no more."""
        Follower.close(self)
        self._end()

    def tick(self) -> None:
        """Deal with the next changes, waiting a quarter of a second for some."""
        try:
            if self._stream is None:
                position = self.source.position()
                self.cache.touch_all()  # after the position was taken: what changes from here on will be heard
                self._stream = self.source.changes(position)
            self._tell(self._stream.next_batch(_WAIT_S))
        except PositionLost as error:
            self.fault = error  # what was missed is not known: begin anew
            self._end()
        except SourceUnreadable as error:
            self.fault = error
            self._end()
            self.stopping.wait(_AGAIN_S)

    def _end(self) -> None:
        self.cache.unheard()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _tell(self, batch: ChangeBatch) -> None:
        if batch.everything or batch.policies_changed or len(batch.unplaced):
            self.cache.touch_all()
        elif batch.events:
            self.cache.touch({place.vehicle for places in (batch.placed, batch.left) for place in places})
        self.fault = None
        self.cache.heard()
