"""The cache that keeps what was used last."""

import sys
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.lru import LruCache

KEYS = st.integers(0, 6)
STEPS = st.lists(
    st.tuples(st.just("put"), KEYS, st.binary(min_size=0, max_size=9))
    | st.tuples(st.sampled_from(["get", "discard"]), KEYS, st.just(b""))
    | st.tuples(st.just("clear"), st.just(0), st.just(b"")),
    max_size=60,
)


class Model:
    """The same, written as a list from the least to the most recently used."""

    def __init__(self, most: int, size_of: Callable[[bytes], int]) -> None:
        self.most, self.size_of, self.entries = most, size_of, list[tuple[int, bytes]]()

    @property
    def size(self) -> int:
        return sum(self.size_of(value) for _, value in self.entries)

    def get(self, key: int) -> bytes | None:
        found = [entry for entry in self.entries if entry[0] == key]
        self.entries = [entry for entry in self.entries if entry[0] != key] + found
        return found[0][1] if found else None

    def put(self, key: int, value: bytes) -> None:
        self.discard(key)
        if self.size_of(value) <= self.most:
            self.entries.append((key, value))
        while self.size > self.most:
            del self.entries[0]

    def discard(self, key: int) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != key]

    def clear(self) -> None:
        self.entries = []


@pytest.mark.parametrize("size_of", [None, len], ids=["entries", "bytes"])
@given(most=st.integers(0, 12), steps=STEPS)
def test_the_least_recently_used_go_beyond_the_bound(
    size_of: Callable[[bytes], int] | None, most: int, steps: list[tuple[str, int, bytes]]
) -> None:
    cache, model = LruCache[int, bytes](most, size_of), Model(most, size_of or (lambda _: 1))
    for what, key, value in steps:
        if what == "get":
            assert cache.get(key) == model.get(key)
        elif what == "put":
            cache.put(key, value)
            model.put(key, value)
        elif what == "discard":
            cache.discard(key)
            model.discard(key)
        else:
            cache.clear()
            model.clear()
        assert (len(cache), cache.size) == (len(model.entries), model.size)
    assert [cache.get(key) for key in range(7)] == [model.get(key) for key in range(7)]


def test_several_threads_keep_the_bound() -> None:
    cache = LruCache[int, int](8)
    failed: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(4_000):
                cache.put((first + number) % 16, number)
                cache.get(number % 16)
                if number % 7 == 0:
                    cache.discard(number % 16)
                if number % 5 == 0:
                    assert all(0 <= key < 16 for key, _ in cache.items())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(often)
    assert not failed
    assert len(cache) == cache.size <= 8
