"""Which services stand behind a gate, and what the gate consists of."""

from __future__ import annotations

from typing import Final

from journeymesh.delivery.checks.subject import Rendered, Subject, Unit

UNGATED: Final = ("gatewayapi", "keycloak", "postgres")
"""Services of others, configured here: a candidate beside them would be a second gateway, provider, database."""
TRACK: Final = "journeymesh.io/track"


def gated(service: str) -> bool:
    """Whether a candidate of this service has to pass its tests before the stable one changes."""
    return bool(service) and service not in UNGATED


def is_candidate(held: Rendered) -> bool:
    """Whether this object is a candidate's."""
    return held.labels.get(TRACK) == "candidate" or held.name.endswith("-candidate")


def rendered_as(subject: Subject, unit: Unit, kind: str, name: str) -> Rendered | None:
    """The unit's object of this kind and name."""
    return next((each for each in subject.objects(unit) if each.kind == kind and each.name == name), None)


def gate_of(subject: Subject, unit: Unit) -> Rendered | None:
    """The Job that tests the candidate of a service behind a gate."""
    return rendered_as(subject, unit, "Job", f"{unit.service}-e2e-candidate") if gated(unit.service) else None
