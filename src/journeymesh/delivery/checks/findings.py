"""A finding, and the rules that find: small functions with an id, a severity, a meaning and a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.subject import Rendered, Subject
from journeymesh.delivery.documents import Document
from journeymesh.errors import JourneymeshError, NotFound


class TreeRefused(JourneymeshError):
    """``delivery check`` found faults in the tree."""

    exit_code = 9


class UnknownRule(NotFound):
    """No rule has this id."""


class Severity(StrEnum):
    """What a finding means for a change: an error has to be fixed first, a warning has to be known."""

    error = "error"
    warning = "warning"


@dataclass(frozen=True, slots=True)
class Fault:
    """What a rule found: in which file, manifest or rendered object, and where in it."""

    of: Path | Document | Rendered
    what: str
    at: tuple[Step, ...] = ()
    fix: str = ""
    """The step out of this one fault, where it is not the rule's own."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A fault with its place in the tree. ``path`` is relative to the repository, ``line`` counts from 1."""

    path: str
    line: int
    rule: str
    what: str
    fix: str = field(compare=False)
    severity: Severity = field(compare=False)
    applications: tuple[str, ...] = field(default=(), compare=False)
    """Which of the tree's renderings show it; empty where a file shows it by itself."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold."""

    id: str
    severity: Severity
    topic: str
    meaning: str
    fix: str
    faults: Callable[[Subject], Iterator[Fault]]


RULES: dict[str, Rule] = {}
"""Every rule by its id; filled where the ``rules_*`` modules are imported."""


def rule(
    id: str, meaning: str, *, fix: str, severity: Severity = Severity.error
) -> Callable[[Callable[[Subject], Iterator[Fault]]], Callable[[Subject], Iterator[Fault]]]:
    """Make a rule of a function from the subject to its faults. The topic is the module's, ``rules_<topic>.py``."""

    def made(faults: Callable[[Subject], Iterator[Fault]]) -> Callable[[Subject], Iterator[Fault]]:
        assert id not in RULES, f"two rules are called {id}"
        topic = faults.__module__.rpartition(".rules_")[2]
        RULES[id] = Rule(id, severity, topic, meaning, fix, faults)
        return faults

    return made


def value_rule(topic: str, id: str, meaning: str, *, fix: str, severity: Severity = Severity.error) -> None:
    """A rule that the rows of ``values.VALUES`` hold all of."""
    assert id not in RULES, f"two rules are called {id}"
    RULES[id] = Rule(id, severity, topic, meaning, fix, lambda _: iter(()))
