"""How far long work is, with its rate and the time left, on standard error and only to a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from journeymesh.engines.port import OnProgress, Progress


@contextmanager
def run_progress() -> Iterator[OnProgress | None]:
    """A callback for the engine; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("reading", total=None, told="")

        def show(progress: Progress) -> None:
            done, total = progress.read_bytes, progress.total_bytes
            if progress.total_fixes:
                done, total = progress.fixes, progress.total_fixes
            elapsed = bars.tasks[0].elapsed or 0.0
            rate = progress.fixes / elapsed if elapsed else 0.0
            told = f"{progress.fixes:,} fixes, {rate:,.0f}/s"
            bars.update(task, description=progress.phase, completed=done, total=total, told=told)

        yield show


@contextmanager
def count_progress(what: str) -> Iterator[Callable[[int], None] | None]:
    """A callback that takes the number done so far; None where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(what)
        yield lambda done: bars.update(task, description=f"{done:,} {what}")
