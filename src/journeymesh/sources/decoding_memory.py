"""The memory that columns are decoded into, batch after batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pyarrow as pa


@contextmanager
def decoding_memory() -> Iterator[None]:
    """What is opened in this context decodes into memory by jemalloc, where Arrow has it. Arrow's default, mimalloc,
    takes what batches need as huge pages, gives them back between two batches and has them cleared again: that cost
    as much as the decoding itself, and more memory."""
    usual = pa.default_memory_pool()
    with suppress(NotImplementedError):
        pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(usual)
