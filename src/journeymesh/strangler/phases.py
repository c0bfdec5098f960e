"""The phases of a slice, which side answers in each, and which phase may follow which.

    legacy ⇄ shadow ⇄ target_with_reverse_shadow ⇄ target → retired

Every step but the last can be taken back. A slice moves one step at a time, or from any phase before ``retired``
straight back to ``legacy``.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final


@unique
class Phase(StrEnum):
    """How far a slice has come."""

    LEGACY = "legacy"
    """The source answers; nothing is kept elsewhere."""
    SHADOW = "shadow"
    """The source answers; the target is filled, kept up and compared."""
    TARGET_WITH_REVERSE_SHADOW = "target_with_reverse_shadow"
    """The target answers; the source is asked too and compared."""
    TARGET = "target"
    """The target answers and is kept up from legacy."""
    RETIRED = "retired"
    """The target answers; the source no longer has the slice. There is no way back."""


@unique
class SideName(StrEnum):
    """One of the two sides of a slice. The source is legacy, or a store that another one replaces."""

    SOURCE = "source"
    TARGET = "target"


_ORDER: Final = tuple(Phase)
_TARGET_ANSWERS: Final = {Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED}


def following(phase: Phase) -> Phase | None:
    """The next phase; None after the last."""
    at = _ORDER.index(phase) + 1
    return _ORDER[at] if at < len(_ORDER) else None


def may_follow(before: Phase, after: Phase) -> bool:
    """Whether a slice may go from one phase to the other in one step."""
    if before is after or before is Phase.RETIRED:
        return False
    step = _ORDER.index(after) - _ORDER.index(before)
    return step == 1 or step < 0


def answering(phase: Phase, target_is_complete: bool) -> SideName:
    """The side that answers.

    A target that is not complete for the slice (its changes were lost and are being found again) does not answer
    as long as the source can.
    """
    if phase is Phase.RETIRED or (phase in _TARGET_ANSWERS and target_is_complete):
        return SideName.TARGET
    return SideName.SOURCE


def is_shadowed(phase: Phase) -> bool:
    """Whether the side that does not answer is asked too and compared."""
    return phase in (Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW)


def is_fed(phase: Phase) -> bool:
    """Whether the target is kept up from legacy."""
    return phase not in (Phase.LEGACY, Phase.RETIRED)


def needs_gates(before: Phase, after: Phase) -> bool:
    """Whether the step lets the target answer, or takes from legacy the right to: it must be proven first."""
    return _ORDER.index(after) > _ORDER.index(before) and after in _TARGET_ANSWERS
