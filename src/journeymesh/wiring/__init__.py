"""The only place where a name or a URL becomes an adapter. Nothing connects at import."""

from __future__ import annotations

from journeymesh.wiring.journeys import (
    load_policies,
    open_documents,
    open_fix_writer,
    open_installation,
    open_remover,
    open_source,
    open_store,
    open_vehicle_source,
)

__all__ = [
    "load_policies",
    "open_documents",
    "open_fix_writer",
    "open_installation",
    "open_remover",
    "open_source",
    "open_store",
    "open_vehicle_source",
]
