"""The answers' types for the OpenAPI document, made from the Arrow schemas so that they cannot drift apart."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pyarrow as pa

from journeymesh.journeys.fields import python_type
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA, REFUSED_FIX_SCHEMA
from journeymesh.journeys.moves import BOOK_SCHEMA
from journeymesh.journeys.policy_table import LISTED_POLICIES
from journeymesh.wire.journeys import JourneyVersions


def _struct(name: str, schema: Any, told: str) -> type[msgspec.Struct]:
    """A struct with a field for each of the schema's. Any may be absent (not chosen) or null (masked, or none)."""
    fields = [(field.name, _kind(field.name, field.type) | None | msgspec.UnsetType, msgspec.UNSET) for field in schema]
    return msgspec.defstruct(name, fields, module=__name__, namespace={"__doc__": told})


def _kind(name: str, kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return _struct("".join(part.title() for part in name.rstrip("s").split("_")), kind, "")
    if pa.types.is_list(kind):
        return list[_kind(name, kind.value_type)]  # type: ignore[misc]
    return python_type(kind)


Journey: Final = _struct("Journey", JOURNEY_SCHEMA, "One drive of one vehicle. SI units; instants in UTC.")
Summary: Final = _struct(
    "Summary",
    BOOK_SCHEMA,
    "What a policy's journeys add up to in one period of its zone. A sorted book has a row for each of its terms, and"
    " in ``policy_from`` the beginning of the term. ``moved``, where it is asked for: the numbers that changed most"
    " since the period before, the largest change first; null where there is nothing to compare.",
)
Fix: Final = _struct("Fix", FIX_SCHEMA, "One timestamped position report.")
RefusedFix: Final = _struct(
    "RefusedFix",
    REFUSED_FIX_SCHEMA,
    "A fix that was refused: the reason's code and what it means, and when and where the fix said it was. Its position"
    " may be anywhere, or null: not asked for, hidden, or none. Its id is not the quarantine's own.",
)
ListedPolicy: Final = _struct(
    "ListedPolicy", LISTED_POLICIES, "An insurance policy, in force in [valid_from, valid_to)."
)


def _page(row: Any, told: str, following: Any = str | None, name: str = "") -> type[msgspec.Struct]:
    """A page of these rows. ``following``: the type of its ``next``; ``name``: its own, where it is no ``…Page``."""
    fields = [("items", list[row]), ("next", following)]
    return msgspec.defstruct(name or f"{row.__name__}Page", fields, module=__name__, namespace={"__doc__": told})


_GOES_ON: Final = "``next`` is the cursor behind them; null: there are no more."
ListedPolicyPage: Final = _page(ListedPolicy, f"Policies by number. {_GOES_ON}")
JourneyPage: Final = _page(Journey, f"Journeys by start. {_GOES_ON}")
SummaryPage: Final = _page(Summary, "Summaries, the oldest period first; all of them.", None)
SummariesPage: Final = _page(Summary, f"Summaries by policy and period, or by rank. {_GOES_ON}", name="SummariesPage")
FixPage: Final = _page(Fix, "A journey's fixes by time; all of them.", None)
RefusedFixPage: Final = _page(RefusedFix, f"Refused fixes by time. {_GOES_ON}")
JourneyVersionsPage: Final[Any] = JourneyVersions[Journey]  # type: ignore[valid-type]
