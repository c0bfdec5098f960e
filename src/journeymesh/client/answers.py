"""Answers in the shape that the caller works with: rows, Arrow, Polars or pandas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

import pyarrow as pa

from journeymesh.client.rows import Row, table_of
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True)
class Rows(Generic[Row]):
    """Rows of one answer. ``schema`` is that of the whole kind; a table has the columns that were answered.

    ``etag`` names the answer; ``after`` is the cursor behind its last row, None at the end.
    """

    rows: list[Row]
    schema: pa.Schema = field(repr=False)
    fields: tuple[str, ...] | None = None
    after: str | None = None
    etag: str | None = None

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]

    def to_arrow(self) -> pa.Table:
        """An Arrow table; instants are ``timestamp[us, UTC]``, local dates ``date32``."""
        return table_of(self.rows, self.schema, self.fields)

    def to_polars(self) -> pl.DataFrame:
        """A Polars data frame.

        Raises:
            UsageError: Polars is not installed.
        """
        return polars_of(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """A pandas data frame with Arrow's types, so that a missing number stays missing.

        Raises:
            UsageError: pandas is not installed.
        """
        return pandas_of(self.to_arrow())


class Pages(Generic[Row]):
    """Rows that come in pages, each asked for when the one before has been read. Every iteration asks again."""

    def __init__(self, page: Callable[[str | None], Rows[Row]]) -> None:
        self._page = page

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page

    def pages(self, after: str | None = None) -> Iterator[Rows[Row]]:
        """The pages behind a cursor (``Rows.after``), or from the first; there is always at least one."""
        while True:
            page = self._page(after)
            yield page
            if (after := page.after) is None:
                return

    def to_arrow(self) -> pa.Table:
        """All of them as one Arrow table."""
        return _joined(list(self.pages())).to_arrow()

    def to_polars(self) -> pl.DataFrame:
        """All of them as a Polars data frame."""
        return polars_of(self.to_arrow())

    def to_pandas(self) -> pd.DataFrame:
        """All of them as a pandas data frame with Arrow's types."""
        return pandas_of(self.to_arrow())


class AsyncPages(Generic[Row]):
    """What ``Pages`` is, for ``async for``."""

    def __init__(self, page: Callable[[str | None], Awaitable[Rows[Row]]]) -> None:
        self._page = page

    async def __aiter__(self) -> AsyncIterator[Row]:
        async for page in self.pages():
            for row in page:
                yield row

    async def pages(self, after: str | None = None) -> AsyncIterator[Rows[Row]]:
        """The pages behind a cursor (``Rows.after``), or from the first; there is always at least one."""
        while True:
            page = await self._page(after)
            yield page
            if (after := page.after) is None:
                return

    async def to_arrow(self) -> pa.Table:
        """All of them as one Arrow table."""
        return _joined([page async for page in self.pages()]).to_arrow()

    async def to_polars(self) -> pl.DataFrame:
        """All of them as a Polars data frame."""
        return polars_of(await self.to_arrow())

    async def to_pandas(self) -> pd.DataFrame:
        """All of them as a pandas data frame with Arrow's types."""
        return pandas_of(await self.to_arrow())


def _joined(pages: list[Rows[Row]]) -> Rows[Row]:
    first = pages[0]
    return Rows([row for page in pages for row in page], first.schema, first.fields)


def polars_of(table: pa.Table) -> pl.DataFrame:
    """The table as a Polars data frame."""
    try:
        import polars as pl
    except ImportError as error:
        raise UsageError("polars is not installed", todo="pip install polars") from error
    frame: Any = pl.from_arrow(table)
    found: pl.DataFrame = frame
    return found


def pandas_of(table: pa.Table) -> pd.DataFrame:
    """The table as a pandas data frame with Arrow's types."""
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError("pandas is not installed", todo="pip install pandas") from error
    found: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return found
