"""``journeymesh warm``: compile the pass now, so that the first result comes at once."""

from __future__ import annotations

from typing import Annotated

import typer

from journeymesh.cli.output import say


def warm(
    ahead: Annotated[
        bool, typer.Option("--ahead", help="Compile for any machine, into the package itself, as a wheel needs it.")
    ] = False,
) -> None:
    """Compile every kernel into its cache. Set-up calls it."""
    from importlib import import_module

    if ahead:
        from journeymesh.kernels.kernel_cache import compile_ahead

        compile_ahead()

    # Importing a kernel's module compiles it, or takes it from the cache.
    for module in (
        "journeymesh.journeys.pipeline",
        "journeymesh.engines.local",
        "journeymesh.sources.mongodump",
        "journeymesh.sources.mongodb",
        "journeymesh.sources.document_places",
        "journeymesh.sources.json_splitter",
        "journeymesh.stores.packing.kernels",
        "journeymesh.fleets.fleet",
        "journeymesh.fleets.writers",
        "journeymesh.reports.page",
    ):
        import_module(module)
    say("compiled")
