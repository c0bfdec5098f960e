"""What became of each file or collection of a source, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from journeymesh.sources.port import SourceItem

_NAMED: Final = 5


def item_lines(items: Sequence[SourceItem]) -> list[str]:
    """Nothing where one was read and nothing is to be said of it; else the counts, and a line per state and reason."""
    if all(one.state == "read" and one.reason in ("", "policies") for one in items) and len(items) <= 2:
        return []
    states = {state: sum(one.state == state for one in items) for state in ("read", "skipped", "refused")}
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items() if count)
    lines = [f"source          {counted}"]
    groups: dict[tuple[str, str], list[str]] = {}
    for one in items:
        groups.setdefault((one.state, one.reason), []).append(one.name)
    for (state, reason), names in sorted(groups.items()):
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        why = f": {reason}" if reason else ""
        lines.append(f"  {state:<14}{', '.join(names[:_NAMED])}{more}{why}")
    return lines
