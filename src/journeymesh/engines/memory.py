"""How this process holds on to memory while it works through batches. Imports nothing that loads Arrow."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 128 * 2**20
_LARGEST_KEPT_BYTES: Final = 32 * 2**20
_ARROWS_JEMALLOC: Final = "JE_ARROW_MALLOC_CONF"
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000


@cache
def keep_freed_memory() -> bool:
    """Let the C library keep what one batch frees for the next, instead of giving it back to the system and having
    every page of it cleared again. Whether it could be told: glibc can, others do as they do."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    told = [mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES), mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)]
    return all(told)


def keep_decoded_memory() -> bool:
    """Let Arrow's jemalloc, which batches are decoded into, keep what one frees for the next. It is told by the
    environment, and reads that when Arrow is loaded: whether this came before. What is set there already stands."""
    if "pyarrow" in sys.modules:
        return False
    os.environ.setdefault(_ARROWS_JEMALLOC, "dirty_decay_ms:-1")
    return True


@cache
def collect_seldom() -> None:
    """Let Python look for cycles after so many new objects. Rows are made by the thousand and hardly ever in a cycle,
    and its usual 700 would go through all of them again and again; what is loaded by now is not looked through."""
    if not gc.get_freeze_count():
        gc.freeze()
    often, *others = gc.get_threshold()
    gc.set_threshold(max(often, _OBJECTS_BETWEEN_COLLECTIONS) if often else 0, *others)
