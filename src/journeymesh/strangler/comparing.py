"""Comparing policies that somebody asks for: each is compared to its end, or named with the reason why it was not.

A shadow read of a caller's question may be dropped, because nobody waits for it. These are waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final

from journeymesh.errors import JourneymeshError
from journeymesh.strangler.counts import COMPARED, Outcome
from journeymesh.strangler.policy_book import Member
from journeymesh.strangler.questions import Question
from journeymesh.strangler.routes import Route
from journeymesh.strangler.shadow import ShadowReader

AT_ONCE: Final = 200
TRIES: Final = 3
"""How often a comparison that failed or was dropped is begun: a side that is busy answers the next time."""
_Asked = tuple[str, Question]
_WHY: Final = {
    None: "timed out",
    Outcome.LATE: "the sides differ, and the target's feed is too far behind to tell whether the difference lasts",
    Outcome.DROPPED: "the slice was moved during the comparison",
    Outcome.FAILED: "a side could not be read",
}


class PoliciesNotCompared(JourneymeshError):
    """Some of the policies to compare could not be compared."""

    exit_code = 7


@dataclass(slots=True)
class Compared:
    """What came of comparing policies: how many were compared to the end, and why the others were not."""

    policies: int = 0
    left: dict[str, str] = field(default_factory=dict)
    """Policies that were not compared to the end, each with the reason."""


def compare_policies(
    shadow: ShadowReader,
    route: Route,
    members: Sequence[Member],
    until: float,
    on_done: Callable[[int], None] | None = None,
) -> Compared:
    """Ask both sides for these policies and their journeys and compare; until ``time.monotonic()`` is ``until``."""
    compared = Compared()
    for at in range(0, len(members), AT_ONCE):
        some = members[at : at + AT_ONCE]
        left = _to_their_end(shadow, route, some, until)
        compared.left |= left
        compared.policies += len(some) - len(left)
        if on_done is not None:
            on_done(at + len(some))
    return compared


def _to_their_end(shadow: ShadowReader, route: Route, members: Sequence[Member], until: float) -> dict[str, str]:
    """Compare some policies at once; returns those that were not, each with the reason."""
    left: dict[_Asked, Outcome | None] = {}
    for member in members:
        for question in member.questions():
            left[member.name, question] = None
    for _ in range(TRIES):
        if time.monotonic() >= until:
            break
        again = [asked for asked, outcome in left.items() if outcome is not Outcome.LATE]
        results: SimpleQueue[tuple[_Asked, Outcome]] = SimpleQueue()
        for asked in again:
            shadow.compare(route, *asked, partial(_note, results, asked))
        for _ in again:
            try:
                asked, outcome = results.get(timeout=max(until - time.monotonic(), 0.001))
            except Empty:
                return _reasons(left)
            left[asked] = outcome
            if outcome in COMPARED:
                del left[asked]
    return _reasons(left)


def _note(results: SimpleQueue[tuple[_Asked, Outcome]], asked: _Asked, outcome: Outcome) -> None:
    results.put((asked, outcome))


def _reasons(left: dict[_Asked, Outcome | None]) -> dict[str, str]:
    return {name: _WHY[outcome] for (name, _), outcome in left.items()}
