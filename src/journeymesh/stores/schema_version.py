"""The version of what stores keep: each migration of the SQL stores begins one, and the other stores have the same."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SCHEMA_VERSION: Final = max(
    path.name[:4] for path in (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
)
"""The newest."""
