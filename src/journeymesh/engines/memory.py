"""How this process holds on to memory while it works through batches."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_KEPT_BYTES: Final = 128 * 2**20
_LARGEST_KEPT_BYTES: Final = 32 * 2**20


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
