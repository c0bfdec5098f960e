"""The upgrade of a lake to the columns that journeys have now: files are written anew, put in place by one commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from journeymesh.journeys.fields import INSTANT
from journeymesh.stores.lake_commits import LakeCommits
from journeymesh.stores.lake_files import KINDS, LakeFile, write_batches
from journeymesh.stores.lake_queries import LakeQueries
from journeymesh.stores.lake_replacing import Superseded, replace_files
from journeymesh.stores.term_upgrade import SCHEMA, content_with_term

_TERM = "policy_from"


def upgrade_files(root: Path, queries: LakeQueries, commits: LakeCommits, found: str) -> None:
    """Commit files of journeys with every column in place of those that lack some, from schema ``found`` on.

    What a file does not say is null, but for the beginning of each journey's term, which follows from the policies;
    there history gets it as well. An upgrade that was stopped before the lake's head said so is done again: files that
    have every column stay. The files before stay for a compaction's grace period. The writer's turn must be held.

    Raises:
        NumberTaken: another machine's writer committed meanwhile.
    """
    state = commits.current()
    columns = set(KINDS["journeys"].schema.names)
    old = [file for file in state.of("journeys") if not columns <= set(pq.read_schema(root / file.path).names)]
    history = state.of("history") if found < SCHEMA else []
    if not old and not history:
        return
    held = queries.rows(state, "policies", state.of("policies"), columns=("number", "valid_from_us"))
    begins = dict(zip(*(held[name].to_pylist() for name in ("number", "valid_from_us")), strict=True))
    before = [file.path for file in (*old, *history)]

    def write(made: list[LakeFile]) -> None:
        for file in old:
            made.append(_rewritten(root, file, state.number + 1, _journeys(root, file, begins)))
        for file in history:
            made.append(_rewritten(root, file, state.number + 1, _history(root, file, begins)))

    def superseded(made: list[LakeFile]) -> Superseded:
        paths = dict(zip(before, (file.path for file in made), strict=True))
        return {paths.get(path, path): rows for path, rows in state.removed.items()}

    replace_files(root, commits, state, set(before), write, superseded)


def _rewritten(root: Path, file: LakeFile, number: int, batches: Iterator[pa.RecordBatch]) -> LakeFile:
    """The file with its rows in the order that they had, so that what is superseded of it stays what it was."""
    return write_batches(root, KINDS[file.kind], file.part, batches, number)


def _journeys(root: Path, file: LakeFile, begins: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    schema = KINDS["journeys"].schema
    for batch in _batches(root, file):
        columns = {field.name: pa.nulls(len(batch), field.type) for field in schema if field.nullable}
        columns |= {name: batch[name] for name in batch.schema.names}
        if _TERM not in batch.schema.names:
            numbers = batch["policy"].to_pylist()
            columns[_TERM] = pa.array([begins.get(number) for number in numbers], pa.int64()).cast(INSTANT)
        yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _history(root: Path, file: LakeFile, begins: Mapping[str, int]) -> Iterator[pa.RecordBatch]:
    schema = KINDS["history"].schema
    for batch in _batches(root, file):
        content = [content_with_term(text, begins) for text in batch["content"].to_pylist()]
        columns = {name: batch[name] for name in schema.names} | {"content": pa.array(content, pa.string())}
        yield pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _batches(root: Path, file: LakeFile) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(root / file.path).iter_batches(KINDS[file.kind].rows_per_group)
