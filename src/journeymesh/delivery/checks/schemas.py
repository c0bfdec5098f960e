"""The schemas of every kind that the tree may hold, offline, and what an object breaks of its own.

The files in ``schemas/`` are made by docs/make_delivery_schemas.py; each names its source, version and licence.
Unknown fields are faults: the server prunes them without a word, and a ``selfheal`` heals nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any, Final

from journeymesh.delivery.checks.places import Step
from journeymesh.errors import ExtraMissing

_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


@dataclass(frozen=True, slots=True)
class Breach:
    """What an object breaks of its schema, and where."""

    at: tuple[Step, ...]
    what: str


@cache
def _files() -> tuple[dict[str, Any], ...]:
    folder = resources.files(__package__) / "schemas"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".json"))
    return tuple(json.loads((folder / name).read_text("utf-8")) for name in names)


def known_kinds() -> dict[str, str]:
    """Every kind that has a schema, ``group/version/Kind``, and where that comes from."""
    return {kind: held["source"] for held in _files() for kind in held["kinds"]}


@cache
def _definitions() -> dict[str, Any]:
    return {name: held for file in _files() for name, held in file["definitions"].items()}


@cache
def _validator(kind: str) -> Any:
    try:
        from jsonschema import Draft7Validator
    except ImportError as error:
        raise ExtraMissing("jsonschema", "delivery") from error
    schema = (
        next(held["kinds"][kind] for held in _files() if kind in held["kinds"])
        if kind
        else {"$ref": f"#/definitions/{_METADATA}"}
    )
    return Draft7Validator({"allOf": [schema], "definitions": _definitions()})


def breaches(content: dict[str, Any]) -> Iterator[Breach]:
    """What an object breaks of its kind's schema; that its kind is unknown, where it is."""
    kind = f"{content.get('apiVersion')}/{content.get('kind')}"
    if kind not in known_kinds():
        near = [each for each in known_kinds() if each.rpartition("/")[2] == content.get("kind")]
        yield Breach(("apiVersion",), f"{kind} is unknown" + (f"; there is {near[0]}" if near else ""))
        return
    named = content.get("metadata")
    if not isinstance(named, dict) or not named.get("name"):
        yield Breach(("metadata", "name"), "it has no name")
    of_metadata = [
        each for error in _validator("").iter_errors(named or {}) for each in _told(error, named, ("metadata",))
    ]
    of_all = [each for error in _validator(kind).iter_errors(content) for each in _told(error, content, ())]
    yield from dict.fromkeys([*of_metadata, *of_all])  # Kubernetes' own kinds say of metadata the same again


def _told(error: Any, content: Any, before: tuple[Step, ...]) -> Iterator[Breach]:
    """An error of jsonschema's in our words: the place by names, the inner errors of alternatives not at all."""
    at = (*before, *_named_steps(content, tuple(error.absolute_path)))
    where = ".".join(str(step) for step in at) or "the object"
    match error.validator:
        case "additionalProperties":
            allowed = error.schema.get("properties", {})
            for key in sorted(set(error.instance) - set(allowed), key=str):
                near = get_close_matches(str(key), allowed, 1, 0.6)
                meant = f": did you mean {near[0]}?" if near else ""
                yield Breach((*at, str(key)), f"{where} has no field {key}{meant}")
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            yield Breach(at, f"{where} lacks {', '.join(missing)}")
        case "enum":
            values = ", ".join(str(value) for value in error.validator_value)
            yield Breach(at, f"{where} is {error.instance!r}, not one of {values}")
        case "type":
            wanted = error.validator_value
            kinds = " or ".join(wanted) if isinstance(wanted, list) else wanted
            yield Breach(at, f"{where} is {_short(error.instance)}, which is not of type {kinds}")
        case "pattern":
            yield Breach(at, f"{where} is {_short(error.instance)}, which does not match its pattern")
        case "anyOf" | "oneOf" | "not":
            yield Breach(at, f"{where} is {_short(error.instance)}, which none of the allowed forms match")
        case "allOf" | "$ref":
            for inner in error.context:
                yield from _told(inner, content, before)
        case _:
            yield Breach(at, f"{where}: {error.message[:160]}")


def _named_steps(content: Any, path: tuple[Any, ...]) -> Iterator[Step]:
    """A path with the names of list entries instead of their numbers, as sources are searched by."""
    for step in path:
        content = content[step]
        named = content.get("name") if isinstance(step, int) and isinstance(content, dict) else None
        yield named if isinstance(named, str) else step


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
