"""YAML that people write: read within bounds, variables resolved, converted to a typed value, faults said by place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import yaml

from journeymesh.errors import UsageError

T = TypeVar("T")
try:  # libyaml reads in a tenth of the time; PyYAML may have been built without it
    SafeYaml = yaml.CSafeLoader
except AttributeError:
    SafeYaml = yaml.SafeLoader  # type: ignore[assignment,misc]


class YamlBounds(NamedTuple):
    """What a YAML text may have: characters, values with those that aliases repeat, and values inside of each other."""

    characters: int = 4 * 2**20
    values: int = 200_000
    depth: int = 60


FILES: Final = YamlBounds()
MANIFESTS: Final = YamlBounds(characters=64 * 2**20, values=4_000_000, depth=200)
"""For manifests that Kustomize has put together."""
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class YamlRefused(yaml.YAMLError):
    """A YAML text is beyond its bounds, contains itself by an alias, or has a value that Python cannot represent."""


def load_yaml(text: str, *, loader: type[Any] = SafeYaml, bounds: YamlBounds = FILES) -> Any:
    """The one document of a YAML text; None: there is none.

    Raises:
        yaml.YAMLError: it is not YAML, or beyond the bounds: a few bytes of aliases can stand for more than memory
            holds, and deep nesting for more than the interpreter can follow.
    """
    _check(text, bounds)
    with no_value_but_yaml():
        return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader or one derived from it


def load_all_yaml(text: str, *, loader: type[Any] = SafeYaml, bounds: YamlBounds = FILES) -> list[Any]:
    """The documents of a YAML text.

    Raises:
        yaml.YAMLError: as of ``load_yaml``.
    """
    _check(text, bounds)
    with no_value_but_yaml():
        return list(yaml.load_all(text, Loader=loader))


def compose_all_yaml(text: str, *, bounds: YamlBounds = FILES) -> Iterator[yaml.Node]:
    """The documents of a YAML text as nodes, which know their lines.

    Raises:
        yaml.YAMLError: as of ``load_yaml``.
    """
    _check(text, bounds)
    yield from yaml.compose_all(text, Loader=SafeYaml)


@contextmanager
def no_value_but_yaml() -> Iterator[None]:
    """While values are made: a date of the 45th and a number of 5,000 digits are YAML by their form, and none.

    Raises:
        YamlRefused: in place of what Python says of them.
    """
    try:
        yield
    except (ValueError, OverflowError, RecursionError) as error:
        raise YamlRefused(f"a value cannot be read: {' '.join(str(error).split())[:100]}") from error


def _check(text: str, bounds: YamlBounds) -> None:
    """Raise where the text is beyond the bounds; by its events, so before anything is built or called in itself."""
    if len(text) > bounds.characters:
        raise YamlRefused(f"it is longer than {bounds.characters:,} characters")
    values = 0
    anchors: dict[str, int | None] = {}  # how many values each stands for; None: it is still open
    opened: list[tuple[str | None, int]] = []
    events: Iterator[Any] = yaml.parse(text, Loader=SafeYaml)
    for event in events:
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                anchors[anchor] = values - before
            continue
        if isinstance(event, yaml.AliasEvent):
            stands_for = anchors.get(event.anchor or "", 1)
            if stands_for is None:
                raise YamlRefused(f"a value holds itself, {where}")
            values += stands_for
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, values))
            values += 1
            if event.anchor:
                anchors[event.anchor] = None
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if event.anchor:
                anchors[event.anchor] = 1
        if len(opened) > bounds.depth:
            raise YamlRefused(f"values are nested deeper than {bounds.depth}, {where}")
        if values > bounds.values:
            raise YamlRefused(f"it stands for more than {bounds.values:,} values, {where}")


def read_yaml(
    path: str | Path, kind: type[T], *, called: str, invalid: type[UsageError], see: str, variables: bool = True
) -> T:
    """The file's content as ``kind``, every ``${VARIABLE}`` taken from the environment.

    ``called`` is what such a file is called, ``see`` the page that describes it. Without ``variables``, where what the
    file says is shown to others, a ``${VARIABLE}`` is an error: the environment holds secrets.

    Raises:
        invalid: naming the file, the place in it and what to do.
    """
    where = f"{called} {path}"
    try:
        content = load_yaml(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise invalid(f"{where} does not exist", todo=f"give the path of the {called} file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"{where} cannot be read: {error}", todo="give a YAML file in UTF-8") from error
    except yaml.YAMLError as error:
        raise invalid(f"{where}: not YAML: {' '.join(str(error).split())}", todo="correct the file") from error
    return as_kind(_resolved(content, where, invalid, variables=variables), kind, where, invalid=invalid, see=see)


def as_kind(content: Any, kind: type[T], where: str, *, invalid: type[UsageError], see: str) -> T:
    """What was read of a YAML file, as ``kind``. Raises as ``read_yaml``; ``where`` names the file."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        fault, _, place = str(error).partition(" - at `$")
        at = f"{where}: {place.rstrip('`').lstrip('.')}" if place.strip("`.") else where
        raise invalid(f"{at}: {fault[:1].lower()}{fault[1:]}", todo=f"see {see}") from error


def _resolved(content: Any, where: str, invalid: type[UsageError], *, variables: bool) -> Any:
    """The content with every ``${VARIABLE}`` in its values replaced, or refused wherever it stands."""
    if isinstance(content, dict):
        if not variables:
            for key in content:
                _resolved(key, where, invalid, variables=False)
        return {key: _resolved(value, where, invalid, variables=variables) for key, value in content.items()}
    if isinstance(content, list):
        return [_resolved(value, where, invalid, variables=variables) for value in content]
    if not isinstance(content, str):
        return content
    for name in _VARIABLE.findall(content):
        if not variables:
            raise invalid(f"{where}: ${{{name}}} is not taken from the environment here", todo="write the value")
        if name not in os.environ:
            raise invalid(f"{where}: the environment has no {name}", todo="set it, or write the value")
    return _VARIABLE.sub(lambda found: os.environ[found.group(1)], content)
