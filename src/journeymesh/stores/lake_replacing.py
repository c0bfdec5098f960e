"""Files of a lake put in place of others by one commit: all of them, or none is left behind."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path

from journeymesh.stores.lake_commits import LakeCommits, LakeState, Marker
from journeymesh.stores.lake_files import LakeFile, remove_files, sync_folders

Superseded = dict[str, frozenset[int]]
"""Rows that no longer count, by their file's path."""


def replace_files(
    root: Path,
    commits: LakeCommits,
    state: LakeState,
    gone: AbstractSet[str],
    write: Callable[[list[LakeFile]], None],
    superseded: Callable[[list[LakeFile]], Superseded],
) -> list[LakeFile]:
    """Commit the files that ``write`` makes in place of those at the paths ``gone``; returns them.

    ``write`` adds each file to the list as soon as it is there, and ``superseded`` says which rows no longer count
    afterwards. Where the commit does not come about, what was written is removed. The writer's turn must be held.

    Raises:
        NumberTaken: another machine's writer committed meanwhile.
    """
    made: list[LakeFile] = []
    marker: Marker | None = None
    try:
        write(made)
        sync_folders(root / file.path for file in made)
        kept = {path: file for path, file in state.files.items() if path not in gone}
        files = kept | {file.path: file for file in made}
        after = LakeState(state.number + 1, state.position, files, superseded(made), state.rules, state.runs)
        marker = after.marker()
        commits.commit(marker, state)
    except BaseException:
        if marker is None or not commits.names(marker):
            remove_files(root, made)
        raise
    return made
