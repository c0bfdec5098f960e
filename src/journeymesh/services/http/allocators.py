"""What a service's process keeps of the memory that it frees: little, for a few large bodies would make it the
process's for good. Imports nothing that loads Arrow."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Of glibc's ``mallopt``."""
_LARGE_BYTES: Final = 1 << 20
_ARENAS: Final = 2
_ARROWS_POOL: Final = "ARROW_DEFAULT_MEMORY_POOL"
_AFTER_S: Final = 0.2


def give_back_large_blocks() -> bool:
    """From now on a block of 1 MiB or more goes back to the system when it is freed, threads share two heaps, and Arrow
    takes its memory there, too. Whether all could be told: glibc can, others do as they do; Arrow looks at the
    environment when it is loaded, so that this has to come before. What is set there already stands."""
    mallopt = _of_libc("mallopt")
    told = mallopt is not None and all([mallopt(_MMAP_THRESHOLD, _LARGE_BYTES), mallopt(_ARENA_MAX, _ARENAS)])
    if "pyarrow" in sys.modules:
        return False
    os.environ.setdefault(_ARROWS_POOL, "system")
    return told


class _GivingBack:
    """Lets the allocators give free memory back to the system a moment after a large body is done with."""

    def __init__(self) -> None:
        self._waiting = False
        self._lock = threading.Lock()
        self._trim = _of_libc("malloc_trim")

    def soon(self) -> None:
        """Do it, once for all who ask meanwhile."""
        with self._lock:
            if self._waiting:
                return
            self._waiting = True
        timer = threading.Timer(_AFTER_S, self._now)
        timer.daemon = True
        timer.start()

    def _now(self) -> None:
        with self._lock:
            self._waiting = False
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
        if self._trim is not None:
            self._trim(0)


def _of_libc(name: str) -> Callable[..., Any] | None:
    """The C library's function; None where it has none of that name."""
    try:
        found: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError, TypeError):
        return None
    return found


give_back_soon: Final = _GivingBack().soon
"""Give memory back in a fifth of a second, once for all who ask meanwhile."""
