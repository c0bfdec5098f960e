"""Questions to the files of a lake's snapshot, put to DuckDB."""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from journeymesh.errors import ExtraMissing, StoreCorrupt, StoreUnavailable
from journeymesh.stores.lake_commits import LakeState
from journeymesh.stores.lake_files import KINDS, LakeFile

_BATCH_ROWS: Final = 16_384


class LakeQueries:
    """Reads Parquet files through one DuckDB database in memory. Safe for threads; opens lazily."""

    def __init__(self, root: Path, shown: str) -> None:
        self._root = root
        self._shown = shown
        self._database: Any = None
        self._opening = threading.Lock()

    def rows(
        self,
        state: LakeState,
        kind: str,
        files: Sequence[LakeFile],
        where: str = "true",
        values: Sequence[Any] = (),
        *,
        order: str = "",
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        among: pa.Table | None = None,
    ) -> pa.Table:
        """The live rows of these files that meet the condition (``?`` stands for a value), in the kind's schema.

        ``among``: only rows that agree with one of its rows in the columns it has.
        """
        options: dict[str, Any] = {"order": order, "limit": limit, "columns": columns, "among": among}
        batches = list(self.stream(state, kind, files, where, values, **options))
        return pa.Table.from_batches(batches, _schema(kind, columns))

    def located(
        self, state: LakeState, kind: str, files: Sequence[LakeFile], among: pa.Table, columns: Sequence[str]
    ) -> list[tuple[str, int, dict[str, Any]]]:
        """(file, row, columns) of the live rows that agree with one of ``among``'s rows in the columns it has."""
        if not files or not len(among):
            return []
        chosen = [*columns, "filename", "file_row_number"]
        sql = self._select(state, kind, files, "true", chosen, "", None, True)
        known = {str(self._root / file.path): file.path for file in files}
        with self._asking(state, files, among) as cursor:
            found = cursor.sql(sql).to_arrow_table().to_pylist()
        return [(known[row.pop("filename")], row.pop("file_row_number"), row) for row in found]

    def stream(
        self,
        state: LakeState,
        kind: str,
        files: Sequence[LakeFile],
        where: str = "true",
        values: Sequence[Any] = (),
        *,
        order: str = "",
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        among: pa.Table | None = None,
        size: int = _BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Like ``rows``, batch by batch."""
        if not files or limit == 0 or (among is not None and not len(among)):
            return
        schema = _schema(kind, columns)
        sql = self._select(state, kind, files, where, schema.names, order, limit, among is not None)
        with self._asking(state, files, among) as cursor:
            reader = cursor.sql(sql, params=list(values)).to_arrow_reader(size)
            for batch in reader:
                yield pa.RecordBatch.from_arrays(
                    [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)],
                    schema=schema,
                )

    def ask(
        self, state: LakeState, parts: Sequence[tuple[str, Sequence[LakeFile]]], sql: str, *values: Any
    ) -> pa.Table:
        """Any question; ``{0}``, ``{1}``, … in it stand for the live rows of the parts' files (at least one each)."""
        every = [file for _, files in parts for file in files]
        sources = [self._source(state, kind, files, KINDS[kind].schema.names) for kind, files in parts]
        with self._asking(state, every, None) as cursor:
            return cursor.sql(sql.format(*sources), params=list(values)).to_arrow_table()

    def close(self) -> None:
        """Close the database. Idempotent."""
        with self._opening:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _select(
        self,
        state: LakeState,
        kind: str,
        files: Sequence[LakeFile],
        where: str,
        columns: Sequence[str],
        order: str,
        limit: int | None,
        among: bool,
    ) -> str:
        source = self._source(state, kind, files, [*KINDS[kind].schema.names, "filename", "file_row_number"])
        semi = f" SEMI JOIN wanted USING ({', '.join(KINDS[kind].key)})" if among else ""
        sql = f"SELECT {', '.join(columns)} FROM {source} AS held{semi} WHERE {where}"  # noqa: S608
        sql += f" ORDER BY {order}" if order else ""
        return sql if limit is None else f"{sql} LIMIT {limit}"

    def _source(self, state: LakeState, kind: str, files: Sequence[LakeFile], columns: Sequence[str]) -> str:
        """The live rows of the files, as SQL. Only files with superseded rows pay for leaving them out."""
        clean = [file for file in files if file.path not in state.removed]
        dirty = [file for file in files if file.path in state.removed]
        chosen, parts = ", ".join(columns), []
        if clean:
            parts.append(f"SELECT {chosen} FROM {self._scan(clean)}")  # noqa: S608
        if dirty:
            gone = "SELECT 1 FROM removed WHERE removed.file = f.filename AND removed.gone = f.file_row_number"
            parts.append(f"SELECT {chosen} FROM {self._scan(dirty)} AS f WHERE NOT EXISTS ({gone})")  # noqa: S608
        assert parts, kind
        return f"({' UNION ALL '.join(parts)})"

    def _scan(self, files: Sequence[LakeFile]) -> str:
        names = ", ".join(quoted(str(self._root / file.path)) for file in files)
        return f"read_parquet([{names}], filename = true, file_row_number = true, hive_partitioning = false)"

    @contextmanager
    def _asking(self, state: LakeState, files: Sequence[LakeFile], wanted: pa.Table | None) -> Iterator[Any]:
        with lake_faults(self._shown):
            cursor = self._open().cursor()
            try:
                gone = [(file.path, state.removed_rows[file.path]) for file in files if file.path in state.removed]
                if gone:
                    cursor.register("removed", self._removed(gone))
                if wanted is not None:
                    cursor.register("wanted", wanted)
                yield cursor
            finally:
                cursor.close()

    def _removed(self, gone: Sequence[tuple[str, pa.Array]]) -> pa.Table:
        files = [
            pa.repeat(pa.scalar(str(self._root / path)), len(rows)).dictionary_encode().cast(pa.string())
            for path, rows in gone
        ]
        return pa.table({"file": pa.chunked_array(files), "gone": pa.chunked_array([rows for _, rows in gone])})

    def _open(self) -> Any:
        with self._opening:
            if self._database is None:
                require_duckdb()
                import duckdb

                offline = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
                spill = str(Path(tempfile.gettempdir()) / "journeymesh-lake")
                self._database = duckdb.connect(":memory:", config={**offline, "temp_directory": spill})
                self._database.execute("SET TimeZone = 'UTC'")
                self._database.execute("SET parquet_metadata_cache = true")  # a file never changes
            return self._database


def require_duckdb() -> None:
    """Refuse to go on without DuckDB.

    Raises:
        ExtraMissing: naming the extra.
    """
    if importlib.util.find_spec("duckdb") is None:
        raise ExtraMissing("duckdb", "lake")


@contextmanager
def lake_faults(shown: str) -> Iterator[None]:
    """Raise ``StoreUnavailable`` (or ``StoreCorrupt``) for what DuckDB and the file system raise, chained."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoreUnavailable(
            f"{shown}: a file of it is gone", todo="ask again: it may have been compacted"
        ) from error
    except OSError as error:
        raise StoreUnavailable(
            f"{shown}: {error.strerror or error}", todo="check the folder, its permissions and its free space"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
            raise
        said = (str(error).strip().splitlines() or [""])[0]
        if "No files found" in said or "Cannot open file" in said or "No such file" in said:
            raise StoreUnavailable(
                f"{shown}: a file of it is gone", todo="ask again: it may have been compacted"
            ) from error
        if type(error).__name__ == "InvalidInputException":
            raise StoreCorrupt(f"{shown}: {said}", todo="restore the file that it names") from error
        raise StoreUnavailable(f"{shown}: {said}", todo="check the lake, then run again") from error


def quoted(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _schema(kind: str, columns: Sequence[str] | None) -> pa.Schema:
    whole = KINDS[kind].schema
    return whole if columns is None else pa.schema([whole.field(name) for name in columns])
