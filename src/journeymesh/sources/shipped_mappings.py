"""The mappings that come with the distribution, for formats that many have."""

from __future__ import annotations

from importlib import resources

from journeymesh.errors import NotFound

_ENDING = ".yaml"


def shipped() -> dict[str, str]:
    """Their names, each with what it is for: the first line of the file."""
    return {
        name: shipped_text(name).splitlines()[0].lstrip("# ").removesuffix(" E.g.").rstrip(".") for name in _names()
    }


def shipped_text(name: str) -> str:
    """The YAML of a mapping.

    Raises:
        NotFound: there is none of this name; those that are there are named.
    """
    plain = name.removesuffix(_ENDING)
    if plain not in _names():
        raise NotFound(f"mapping {name} is not among those that come along", todo=f"use one of {', '.join(_names())}")
    return resources.files("journeymesh.sources").joinpath("mappings", plain + _ENDING).read_text("utf-8")


def _names() -> list[str]:
    folder = resources.files("journeymesh.sources").joinpath("mappings")
    return sorted(one.name.removesuffix(_ENDING) for one in folder.iterdir() if one.name.endswith(_ENDING))
