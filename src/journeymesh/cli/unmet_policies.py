"""What a run says where not one of its fixes is in a policy: most often both call the same vehicle by other names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from journeymesh.engines.port import RunReport
from journeymesh.journeys.policies import Policy
from journeymesh.sources.name_doubts import like_names
from journeymesh.stores.port import JourneyQuery, JourneyStore

_SOME: Final = 1_000
"""So many journeys show what the source calls its vehicles."""
_SHOWN: Final = 3


def unmet_policies(report: RunReport, store: JourneyStore) -> str | None:
    """Why no accepted fix is in one of the store's policies, in words; None where one is, or where there are none."""
    accepted = report.counts["accepted"]
    if not report.counts["policies"] or not accepted or report.counts["outside_policy"] < accepted:
        return None
    policies = store.policies()
    journeys = store.journeys(JourneyQuery(limit=_SOME, in_any_order=True, columns=("vehicle",)))
    return why_unmet(policies, list(dict.fromkeys(map(str, journeys["vehicle"].to_pylist()))))


def why_unmet(policies: Sequence[Policy], vehicles: Sequence[str]) -> str:
    """Why none of the policies is met by these vehicles, in words."""
    insured = list(dict.fromkeys(name for one in policies for name in (one.device, one.vehicle) if name is not None))
    if met := sorted(set(insured) & set(vehicles)):
        return f"no fix is in a policy: those of {_some(met)} lie outside their policies' valid_from and valid_to"
    called = f"no fix is in a policy: policies insure {_some(insured)}, the source calls its vehicles {_some(vehicles)}"
    like = like_names([*insured, *vehicles])
    pair = next((one for one in like if set(one) & set(insured) and set(one) & set(vehicles)), None)
    return called if pair is None else f"{called}; {' and '.join(map(repr, pair[:2]))} may be the same one"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"
