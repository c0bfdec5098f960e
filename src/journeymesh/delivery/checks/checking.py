"""Every rule over one tree, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

from journeymesh.delivery.checks.findings import RULES, Fault, Finding, Rule, UnknownRule
from journeymesh.delivery.checks.places import Place, place_in, value_at
from journeymesh.delivery.checks.subject import Rendered, Subject
from journeymesh.delivery.checks.values import value_faults
from journeymesh.delivery.documents import Document

TOPICS: Final = (
    "reading",
    "schemas",
    "images",
    "pods",
    "availability",
    "network",
    "reachability",
    "secrets",
    "certificates",
    "gate",
    "applications",
    "projects",
    "platform",
    "server",
)
"""The modules of rules, in the order in which people read them."""


def rules() -> dict[str, Rule]:
    """Every rule by its id."""
    for topic in TOPICS:
        import_module(f"journeymesh.delivery.checks.rules_{topic}")
    return RULES


def chosen_rules(ids: Iterable[str] = ()) -> list[Rule]:
    """The rules of these ids, all where none is named.

    Raises:
        UnknownRule: naming those that are alike.
    """
    held = rules()
    for id in ids:
        if id not in held:
            near = [name for name in held if set(name.split("-")) & set(id.split("-"))] or list(held)
            raise UnknownRule(f"there is no rule {id}", todo=f"rules are {', '.join(near[:8])}, …")
    return [held[id] for id in dict.fromkeys(ids)] or list(held.values())


def findings(subject: Subject, ids: Iterable[str] = ()) -> list[Finding]:
    """What the rules find, sorted by file and line. A fault that several applications show stands there once."""
    found: dict[tuple[str, int, str, str], Finding] = {}
    for each in chosen_rules(ids):
        for fault in _faults(subject, each):
            one = _finding(subject, each, fault)
            key = (one.path, one.line, one.rule, one.what)
            before = found.get(key)
            if before is not None:
                shown = tuple(dict.fromkeys((*before.applications, *one.applications)))
                one = Finding(*key[:2], *key[2:], one.fix, one.severity, shown)
            found[key] = one
    return sorted(found.values())


def _faults(subject: Subject, each: Rule) -> Iterator[Fault]:
    """What a rule finds. Rules other than ``schema`` take manifests to be of their kind's shape; of one that is not,
    they say that they did not look: the check ends with findings, not with a fault of the program.
    """
    try:
        yield from each.faults(subject)
        yield from value_faults(subject, each.id)
    except (AttributeError, KeyError, TypeError, ValueError):
        malformed = next(rules()["schema"].faults(subject), None)
        if malformed is None:
            raise
        what = f"this rule was skipped, because a manifest does not have the structure of its kind: {malformed.what}"
        yield Fault(malformed.of, what, malformed.at, fix="fix what rule schema finds, then check again")


def _finding(subject: Subject, each: Rule, fault: Fault) -> Finding:
    place = _place(subject, fault)
    shown = (fault.of.unit.application,) if isinstance(fault.of, Rendered) else ()
    return Finding(
        subject.tree.relative(place.path),
        place.line,
        each.id,
        fault.what,
        fault.fix or each.fix,
        each.severity,
        shown,
    )


def _place(subject: Subject, fault: Fault) -> Place:
    match fault.of:
        case Path():
            return Place(fault.of, int(fault.at[0]) if fault.at else 1)
        case Document():
            return place_in(fault.of, fault.at)
        case _:
            sources = subject.sources(fault.of.unit)
            if fault.at[-1:] == ("image",):  # the overlay says which image that is
                pin = sources.pin(str(value_at(fault.of.content, fault.at)))
                if pin is not None:
                    return pin
            return sources.place(fault.of.kind, fault.of.name, fault.at) or sources.top()
