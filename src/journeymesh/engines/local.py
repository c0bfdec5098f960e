"""The engine of this machine: its cores, its memory, its disk."""

from __future__ import annotations

from journeymesh.engines.port import OnProgress, RunOptions, RunReport
from journeymesh.sources.port import Source
from journeymesh.stores.port import Store


def run(source: Source, store: Store, options: RunOptions, on_progress: OnProgress | None = None) -> RunReport:
    """Turn a source's fixes into journeys in the store. Idempotent; may be killed and run again.

    Raises:
        RulesConflict: the store holds journeys of other rules and ``allow_mixed_rules`` is off.
        SourceUnreadable, StoreUnavailable: as the adapters say; what was committed before stands.
    """
    raise NotImplementedError
