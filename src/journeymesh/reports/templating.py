"""Templates as every page of ours takes them: all values escaped, and none missing without a word."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from journeymesh.reports.units import counted, lasting, percent


def page_environment(folder: Path) -> Environment:
    """The templates of a folder, with the filters that all pages have."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"counted": counted, "lasting": lasting, "percent": percent}
    return environment
