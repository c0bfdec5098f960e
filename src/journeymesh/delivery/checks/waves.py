"""Hooks and sync waves of a rendered object."""

from __future__ import annotations

from typing import Final

from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.subject import Rendered

WAVE: Final = "argocd.argoproj.io/sync-wave"
HOOK: Final = "argocd.argoproj.io/hook"
HOOK_DELETE: Final = "argocd.argoproj.io/hook-delete-policy"
AT_WAVE: Final[tuple[Step, ...]] = ("metadata", "annotations", WAVE)
AT_HOOK: Final[tuple[Step, ...]] = ("metadata", "annotations", HOOK)


def wave(held: Rendered) -> int:
    """Its sync wave, 0 where it has none or none that is a number."""
    try:
        return int(held.annotations.get(WAVE, 0))
    except (TypeError, ValueError):
        return 0


def hooks(held: Rendered) -> tuple[str, ...]:
    """The phases of the sync in which it runs as a hook."""
    return tuple(part.strip() for part in str(held.annotations.get(HOOK, "")).split(",") if part.strip())
