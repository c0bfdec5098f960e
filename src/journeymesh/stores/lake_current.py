"""``current.sql`` and ``current.json``: a lake's newest commit for tools that know Parquet only.

They are written after each commit. A writer killed in between leaves those of the commit before, whose files stay for
a compaction's grace period.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from journeymesh.stores.lake_commits import LakeState
from journeymesh.stores.lake_files import LakeFile, replace_text
from journeymesh.stores.lake_queries import quoted

SHOWN: Final = ("journeys", "refusals", "policies")
_HEAD: Final = "-- The lake as of commit {number}. In the lake's folder: duckdb -init current.sql\n"


def write_current(root: Path, state: LakeState) -> None:
    """Say which files, and which rows of them not, are the lake's content as of this state."""
    listed = {kind: [file.path for file in state.of(kind)] for kind in SHOWN}
    shown = {path for paths in listed.values() for path in paths}
    removed = {path: sorted(rows) for path, rows in state.removed.items() if path in shown}
    told = {"commit": state.number, "position": str(state.position), **listed, "superseded_rows": removed}
    replace_text(root / "current.json", msgspec.json.format(msgspec.json.encode(told), indent=1))
    views = [_view(state, kind, state.of(kind)) for kind in SHOWN if listed[kind]]
    replace_text(root / "current.sql", _HEAD.format(number=state.number) + "".join(views))


def _view(state: LakeState, kind: str, files: Sequence[LakeFile]) -> str:
    names = ",\n  ".join(quoted(file.path) for file in files)
    gone = [
        f"({quoted(file.path)}, {row})" for file in files for row in sorted(state.removed.get(file.path, frozenset()))
    ]
    source = f"read_parquet([\n  {names}\n], filename = true, file_row_number = true, hive_partitioning = false)"
    sql = f"CREATE OR REPLACE VIEW {kind} AS SELECT * EXCLUDE (filename, file_row_number) FROM {source}"  # noqa: S608
    if gone:
        sql += f"\nWHERE (filename, file_row_number) NOT IN (VALUES {', '.join(gone)})"
    return f"{sql};\n"
