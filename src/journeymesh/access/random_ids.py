"""Ids that nobody can guess: 128 bits of the system's randomness each, asked of it for many at a time.

Asking for one costs a call of the system, twice in a request that has an id of its own and one of its decision.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final

_AT_ONCE: Final = 256
_BYTES: Final = 16
_ready: Final[deque[str]] = deque()


def random_id() -> str:
    """32 hexadecimal digits that nobody was given before. Safe for several threads."""
    try:
        return _ready.popleft()
    except IndexError:
        made = os.urandom(_BYTES * _AT_ONCE).hex()
        digits = 2 * _BYTES
        _ready.extend(made[first : first + digits] for first in range(digits, len(made), digits))
        return made[:digits]


os.register_at_fork(after_in_child=_ready.clear)  # or a child would give the ids that its parent gives
