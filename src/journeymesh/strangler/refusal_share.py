"""When a share of refused documents is sudden: larger than the share before by more than chance and custom explain.

A legacy collection always has some documents that cannot be used: a receiver without a fix, a clock of 1970. That
share is its custom, and no reason to stop. What has to be seen is a change: an application that writes a field as text
from today on, a mapping that lost a path. So the documents of a window are held against the share before it:

    excess = refused - share before * documents

It is sudden where it is at least ``gates.refused_documents``, so that one broken recorder is none; at least
``gates.refused_share`` of the window's documents; and four standard deviations of what the share before gives by
chance, so that where 40 % are refused by custom a window of 45 % is not called sudden for its smallness.

A target that is filled for the first time has no share before: there it is sudden where more than half of all
documents are refused, as with a wrong mapping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FIRST_SHARE: Final = 0.5
_DEVIATIONS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a share sudden: at least so many documents, and this share of a window of so many seconds."""

    documents: int = 20
    share: float = 0.05
    window_s: float = 3600.0

    @property
    def least_window(self) -> int:
        """Documents of the smallest window in which the share could show."""
        return math.ceil(self.documents / self.share)


@dataclass(frozen=True, slots=True)
class Window:
    """Documents read since an instant, how many more are refused since then, and the share that was refused before;
    None: nothing was read before."""

    documents: int
    refused: int
    share_before: float | None

    @property
    def share(self) -> float:
        """The share of refused documents, 0 to 1."""
        return min(self.refused / self.documents, 1.0) if self.documents else float(self.refused > 0)


def sudden(window: Window, limits: Limits) -> bool:
    """Whether more of the window is refused than the share before explains."""
    documents, before = max(window.documents, window.refused, 0), window.share_before
    return window.refused - (before or 0.0) * documents >= _least(documents, before, limits)


def still_refused(window: Window, refused_now: int, limits: Limits) -> bool:
    """Whether so many of a window that was sudden stand refused that it would still be."""
    return sudden(Window(window.documents, refused_now, window.share_before), limits)


def _least(documents: int, before: float | None, limits: Limits) -> float:
    """The smallest excess that is sudden."""
    share = limits.share if before is not None else max(FIRST_SHARE, limits.share)
    known = min(max(before or 0.0, 0.0), 1.0)
    return max(limits.documents, share * documents, _DEVIATIONS * math.sqrt(documents * known * (1.0 - known)))
