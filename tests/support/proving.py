"""How often something is tried: in full by ``make prove``, a seeded part of it in every other run."""

from __future__ import annotations

import os


def times(in_full: int, seeded: int) -> int:
    """``in_full`` where ``JOURNEYMESH_PROVE`` is set, else ``seeded``."""
    return in_full if os.environ.get("JOURNEYMESH_PROVE") else seeded
