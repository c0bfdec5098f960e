"""Merging a lake's small files and dropping its superseded rows, without disturbing who reads or writes beside it.

The merged files are put in place of the others by a whole commit. The others stay for a grace period: a reader that
began before goes on. What no commit of that period names is removed by the next compaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from journeymesh.stores.lake_commits import FOLDER, LakeCommits, LakeState
from journeymesh.stores.lake_files import KINDS, LakeFile, remove_files, write_batches
from journeymesh.stores.lake_queries import LakeQueries
from journeymesh.stores.lake_replacing import replace_files

SMALL_ROWS: Final = 500_000
SMALL_BLOCKS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did: files merged into how many, superseded rows dropped, old files removed."""

    merged: int
    made: int
    dropped_rows: int
    removed_files: int


def merge(root: Path, queries: LakeQueries, commits: LakeCommits) -> tuple[int, int, int]:
    """Commit merged files in place of small ones and of those with superseded rows, where there are any.

    Returns how many files were merged, how many made, and how many rows dropped. The writer's turn must be held.

    Raises:
        NumberTaken: another machine's writer committed meanwhile.
    """
    state = commits.current()
    chosen = [group for kind in KINDS for group in _groups(state, kind)]
    if not chosen:
        return 0, 0, 0
    merged = {file.path for files in chosen for file in files}

    def write(made: list[LakeFile]) -> None:
        for files in chosen:
            written = _merged(root, queries, state, files)
            if written.rows:
                made.append(written)
            else:
                remove_files(root, [written])

    left = {path: rows for path, rows in state.removed.items() if path not in merged}
    made = replace_files(root, commits, state, merged, write, lambda _: left)
    return len(merged), len(made), sum(len(state.removed.get(path, ())) for path in merged)


def remove_old(root: Path, commits: LakeCommits, grace_s: float) -> int:
    """Remove what no commit of the grace period names; returns how many Parquet files went.

    The writer's turn must be held: a writer's files are named by no commit yet.
    """
    numbers = commits.numbers()
    if not numbers:
        return 0
    since = datetime.now(UTC) - timedelta(seconds=grace_s)
    oldest, whole = numbers[-1], numbers[-1]
    named: set[str] = set()
    for number in reversed(numbers):  # up to the commit that was current when the period began
        marker = commits.marker(number)
        named.update(file.path for file in marker.added)
        oldest = number
        if marker.written_at < since:
            break
    state = commits.state_at(oldest, numbers)
    named |= state.files.keys()
    for number in reversed([n for n in numbers if n <= oldest]):
        whole = number
        if commits.marker(number).whole:
            break
    for number in [n for n in numbers if n < whole]:  # oldest first, as readers rely on
        (root / FOLDER / f"{number:08d}.json").unlink()
    gone = 0
    for path in _parquet_files(root):
        if str(path.relative_to(root)) not in named and path.stat().st_mtime < since.timestamp():
            path.unlink()
            gone += 1
    for path in (root / FOLDER).glob(".*"):
        if path.stat().st_mtime < since.timestamp():
            path.unlink()
    return gone


def _groups(state: LakeState, kind: str) -> Iterator[list[LakeFile]]:
    """By partition, the files worth merging: several small ones, and all with superseded rows."""
    small_rows = SMALL_BLOCKS if kind == "fixes" else SMALL_ROWS
    parts: dict[str, list[LakeFile]] = {}
    for file in state.of(kind):
        parts.setdefault(file.part, []).append(file)
    for part in sorted(parts):
        files = [file for file in parts[part] if file.rows < small_rows or file.path in state.removed]
        if len(files) > 1 or any(file.path in state.removed for file in files):
            yield files


def _merged(root: Path, queries: LakeQueries, state: LakeState, files: Sequence[LakeFile]) -> LakeFile:
    kind = KINDS[files[0].kind]
    if kind.name == "changes":
        sql = "SELECT vehicle, max(position) AS position FROM {0} GROUP BY vehicle ORDER BY position"
        batches = queries.ask(state, [("changes", files)], sql).cast(kind.schema).to_batches()
        return write_batches(root, kind, "", batches, state.number + 1)
    order = ", ".join(f"{name} NULLS FIRST" for name in kind.order)
    size = min(kind.rows_per_group, 1024 if kind.name == "fixes" else kind.rows_per_group)
    stream = queries.stream(state, kind.name, files, order=order, size=size)
    return write_batches(root, kind, files[0].part, stream, state.number + 1)


def _parquet_files(root: Path) -> Iterator[Path]:
    for kind in KINDS:
        yield from (root / kind).rglob("*.parquet")
