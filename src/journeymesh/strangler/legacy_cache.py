"""Answers computed out of legacy, kept for as long as legacy's stream of changes says that they still hold.

An answer is kept only while the stream is heard: a second without a word from it, and everything is computed anew.
A source without a stream is never cached.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from journeymesh.errors import JourneymeshError, SourceUnreadable
from journeymesh.sources.vehicle_port import ChangeBatch, ChangeStream, PositionLost, VehicleSource

HEARD_WITHIN_S: Final = 1.0
_OLDEST_S: Final = 60.0
"""A fix whose clock was in the future when an answer was computed is in the past at last."""
_MOST_NAMES: Final = 100_000
_WAIT_S: Final = 0.25
_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: pa.Table
    vehicles: tuple[str, ...]
    made_at: float


@dataclass(slots=True)
class AnswerCache:
    """Answers by question, at most ``most_bytes`` of them. Safe for threads.

    An answer that was being computed while one of its vehicles changed is given, and not kept.
    """

    most_bytes: int = 64 << 20
    hits: int = 0
    misses: int = 0
    _kept: OrderedDict[Hashable, _Kept] = field(default_factory=OrderedDict)
    _of_vehicle: dict[str, set[Hashable]] = field(default_factory=dict)
    _bytes: int = 0
    _generation: int = 0
    _touched: dict[str, int] = field(default_factory=dict)
    _all_touched: int = 0
    _heard_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_on(self) -> bool:
        """Whether the stream of changes was heard lately enough."""
        heard_at = self._heard_at
        return heard_at is not None and time.monotonic() - heard_at <= HEARD_WITHIN_S

    @property
    def nbytes(self) -> int:
        """Bytes of the answers held."""
        return self._bytes

    def answer(self, question: Hashable, vehicles: tuple[str, ...], compute: Callable[[], pa.Table]) -> pa.Table:
        """The answer that is kept, else the computed one, which depends on these vehicles."""
        if not self.is_on:
            return compute()
        with self._lock:
            kept = self._kept.get(question)
            if kept is not None and time.monotonic() - kept.made_at <= _OLDEST_S:
                self._kept.move_to_end(question)
                self.hits += 1
                return kept.answer
            self.misses += 1
            began = self._generation
        answer = compute()
        with self._lock:
            touched = max([self._all_touched, *(self._touched.get(name, 0) for name in vehicles)])
            if touched <= began and self.is_on:
                self._keep(question, _Kept(answer, vehicles, time.monotonic()))
        return answer

    def touch(self, vehicles: Iterable[str]) -> None:
        """These vehicles changed: nothing that is known of them holds."""
        with self._lock:
            self._generation += 1
            for name in vehicles:
                self._touched[name] = self._generation
                for question in self._of_vehicle.pop(name, ()):
                    self._drop(question)
            if len(self._touched) > _MOST_NAMES:
                self._touched.clear()
                self._all_touched = self._generation

    def touch_all(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._generation += 1
            self._all_touched = self._generation
            self._touched.clear()
            self._kept.clear()
            self._of_vehicle.clear()
            self._bytes = 0

    def heard(self) -> None:
        """The stream was heard, and all it said so far was dealt with."""
        self._heard_at = time.monotonic()

    def unheard(self) -> None:
        """The stream is gone."""
        self._heard_at = None

    def _keep(self, question: Hashable, kept: _Kept) -> None:
        self._drop(question)
        if kept.answer.nbytes > self.most_bytes:
            return
        self._kept[question] = kept
        self._bytes += kept.answer.nbytes
        for name in kept.vehicles:
            self._of_vehicle.setdefault(name, set()).add(question)
        while self._bytes > self.most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, question: Hashable) -> None:
        kept = self._kept.pop(question, None)
        if kept is None:
            return
        self._bytes -= kept.answer.nbytes
        for name in kept.vehicles:
            questions = self._of_vehicle.get(name)
            if questions is not None:
                questions.discard(question)
                if not questions:
                    del self._of_vehicle[name]


@dataclass(slots=True)
class ChangeWatcher:
    """Follows a source's changes and tells the cache. Started by ``with``; ends on its own where there is no stream."""

    source: VehicleSource
    cache: AnswerCache
    fault: JourneymeshError | None = None
    """Why it does not hear the stream; None: it does, or has not begun."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> ChangeWatcher:
        self._thread = threading.Thread(target=self._watch, name="legacy changes", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.cache.unheard()

    def _watch(self) -> None:
        while not self._stop.is_set():
            stream: ChangeStream | None = None
            try:
                position = self.source.position()
                self.cache.touch_all()  # after the position was taken: what changes from here on will be heard
                stream = self.source.changes(position)
                while not self._stop.is_set():
                    self._tell(stream.next_batch(_WAIT_S))
            except PositionLost as error:
                self.fault = error  # what was missed is not known: begin anew
            except SourceUnreadable as error:
                self.fault = error
                self._stop.wait(_AGAIN_S)
            finally:
                self.cache.unheard()
                if stream is not None:
                    stream.close()

    def _tell(self, batch: ChangeBatch) -> None:
        if batch.everything or batch.policies_changed or len(batch.unplaced):
            self.cache.touch_all()
        elif batch.events:
            self.cache.touch({place.vehicle for places in (batch.placed, batch.left) for place in places})
        self.fault = None
        self.cache.heard()
