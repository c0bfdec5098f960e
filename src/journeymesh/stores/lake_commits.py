"""How a lake commits whole batches: a numbered marker, written last, names the files and superseded rows of a commit.

What no marker names is not there. A marker is put under its number by a hard link, which fails where the number is
taken, so that of two writers one commits and the other plans anew. Every hundredth marker, and that of a compaction,
is *whole*: it names everything, and markers before it are no longer needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa

from journeymesh.errors import StoreCorrupt, StoreUnavailable
from journeymesh.stores.lake_files import LakeFile, sync_folder

FOLDER: Final = "_commits"
WHOLE_EVERY: Final = 100
_LOCK: Final = "_writer.lock"


class Marker(msgspec.Struct, frozen=True):
    """What one commit did. ``removed`` has, by file, the rows that it superseded; ``runs`` and ``rules`` are put,
    ``rules_gone`` first taken away."""

    number: int
    written_at: datetime
    position: int
    whole: bool = False
    added: list[LakeFile] = []
    removed: dict[str, list[int]] = {}
    rules: list[tuple[str, str]] = []
    rules_gone: list[tuple[str, str]] = []
    runs: list[tuple[Any, ...]] = []


@dataclass(frozen=True)
class LakeState:
    """All that is committed up to ``number``. Rows ``removed[path]`` of a file are superseded."""

    number: int = 0
    position: int = 0
    files: dict[str, LakeFile] = field(default_factory=dict)
    removed: dict[str, frozenset[int]] = field(default_factory=dict)
    rules: frozenset[tuple[str, str]] = frozenset()
    runs: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def of(self, kind: str, parts: Iterable[str] | None = None) -> list[LakeFile]:
        """The files of a kind, of these partitions (None: of all)."""
        among = None if parts is None else set(parts)
        return [f for f in self.files.values() if f.kind == kind and (among is None or f.part in among)]

    @cached_property
    def removed_rows(self) -> dict[str, pa.Array]:
        """The superseded rows of each file."""
        return {path: pa.array(sorted(rows), pa.int64()) for path, rows in self.removed.items()}

    def after(self, marker: Marker) -> LakeState:
        """The state that a commit made of this one."""
        before = LakeState() if marker.whole else self
        files = before.files | {file.path: file for file in marker.added}
        removed = before.removed | {
            path: before.removed.get(path, frozenset()) | frozenset(rows) for path, rows in marker.removed.items()
        }
        for path in marker.removed:
            if len(removed[path]) >= files[path].rows:  # nothing of it is left
                del files[path], removed[path]
        return LakeState(
            marker.number,
            marker.position,
            files,
            removed,
            (before.rules - frozenset(marker.rules_gone)) | frozenset(marker.rules),
            before.runs | {run[0]: run for run in marker.runs},
        )

    def marker(self) -> Marker:
        """The whole marker of this state."""
        return Marker(
            number=self.number,
            written_at=datetime.now(UTC),
            position=self.position,
            whole=True,
            added=list(self.files.values()),
            removed={path: sorted(rows) for path, rows in self.removed.items()},
            rules=sorted(self.rules),
            runs=list(self.runs.values()),
        )


class NumberTaken(Exception):
    """Another writer committed under this number first."""


class LakeCommits:
    """The markers of one lake."""

    def __init__(self, root: Path, shown: str, busy_timeout_s: float) -> None:
        self._root = root
        self._folder = root / FOLDER
        self._shown = shown
        self._busy_timeout_s = busy_timeout_s
        self._known = LakeState()

    def current(self) -> LakeState:
        """The newest committed state."""
        state = self._known
        if state.number and not self._path(state.number).exists():
            state = LakeState()  # a compaction long ago made it obsolete, and perhaps those behind it
        if state.number == 0:
            numbers = self.numbers()
            state = self.state_at(numbers[-1], numbers) if numbers else state
        while self._path(state.number + 1).exists():
            state = state.after(self.marker(state.number + 1))
        self._known = state
        return state

    def numbers(self) -> list[int]:
        """The commits that have a marker, in order."""
        names = (entry.name for entry in os.scandir(self._folder))
        return sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())

    def state_at(self, number: int, numbers: Sequence[int]) -> LakeState:
        """The state as of one of the commits."""
        markers: list[Marker] = []
        for earlier in reversed([n for n in numbers if n <= number]):
            markers.append(self.marker(earlier))
            if markers[-1].whole:
                break
        state = LakeState()
        for marker in reversed(markers):
            if marker.number != state.number + 1 and not marker.whole:
                raise StoreCorrupt(
                    f"{self._shown}: the marker of commit {state.number + 1} is missing", todo="restore the lake"
                )
            state = state.after(marker)
        return state

    def marker(self, number: int) -> Marker:
        """The marker of a commit."""
        try:
            return msgspec.json.decode(self._path(number).read_bytes(), type=Marker)
        except msgspec.DecodeError as error:
            raise StoreCorrupt(f"{self._shown}: the marker of commit {number} is damaged", todo="restore it") from error

    def commit(self, marker: Marker, before: LakeState) -> LakeState:
        """Put the marker under its number: the one step that makes the commit visible. Returns the state it makes.

        Raises:
            NumberTaken: another writer was first.
        """
        state = before.after(marker)
        stored = state.marker() if marker.number % WHOLE_EVERY == 0 else marker
        temporary = self._folder / f".{marker.number}-{uuid.uuid4().hex[:12]}"
        with open(temporary, "xb") as file:
            file.write(msgspec.json.encode(stored))
            file.flush()
            os.fsync(file.fileno())
        try:
            link_marker(temporary, self._path(marker.number))
        except FileExistsError as error:
            raise NumberTaken from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        sync_folder(self._folder)
        self._known = state
        return state

    def names(self, marker: Marker) -> bool:
        """Whether this very marker, not another writer's under its number, is in."""
        if not self._path(marker.number).exists():
            return False
        held = {file.path for file in self.marker(marker.number).added}
        return {file.path for file in marker.added} <= held

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Let writers of this machine take turns; the kernel ends a killed one's turn.

        Raises:
            StoreUnavailable: another writer is at work for longer than the busy timeout.
        """
        deadline, pause_s = time.monotonic() + self._busy_timeout_s, 0.002
        with open(self._root / _LOCK, "ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise StoreUnavailable(
                            f"{self._shown}: another writer holds it",
                            todo="wait for the other run to end, then run again",
                        ) from error
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.1)
            yield

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}.json"


def link_marker(temporary: Path, path: Path) -> None:
    """Give a whole marker its number, unless it is taken (``FileExistsError``)."""
    os.link(temporary, path)
