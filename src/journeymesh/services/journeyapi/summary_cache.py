"""Answers in memory, for as long as the data that they were made of is the present one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from journeymesh.lru import LruCache
from journeymesh.services.http.answers import ReadyAnswer

A = TypeVar("A", bound=ReadyAnswer)
_OVERHEAD: Final = 1_200
"""What an entry holds besides its body, about."""


def _size(answer: ReadyAnswer) -> int:
    return len(answer.body) + _OVERHEAD


@dataclass(slots=True)
class EncodedCache(Generic[A]):
    """Answers by state, which names data, obligations and representation; at most ``most_bytes`` of them,
    the least lately used go. Several who want one that is not there wait for one reading. Belongs to one event loop."""

    most_bytes: int
    _answers: LruCache[str, A] = field(init=False)
    _making: dict[str, asyncio.Future[A]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._answers = LruCache(self.most_bytes, _size)

    def get(self, state: str) -> A | None:
        """The answer; None: it is not there."""
        return self._answers.get(state)

    async def made(self, state: str, make: Callable[[], Awaitable[A]]) -> A:
        """The answer, made by the first who wants it."""
        under_way = self._making.get(state)
        if under_way is not None:
            return await asyncio.shield(under_way)
        self._making[state] = future = asyncio.ensure_future(make())
        future.add_done_callback(lambda done: self._done(state, done))
        return await asyncio.shield(future)

    def _done(self, state: str, made: asyncio.Future[A]) -> None:
        self._making.pop(state, None)
        if made.cancelled() or made.exception() is not None:
            return
        self._answers.put(state, made.result())
