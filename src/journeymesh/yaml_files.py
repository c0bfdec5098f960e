"""A YAML file that people write: read, its variables resolved, converted to a typed value, faults said by place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from journeymesh.errors import UsageError

T = TypeVar("T")

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_yaml(path: str | Path, kind: type[T], *, called: str, invalid: type[UsageError], see: str) -> T:
    """The file's content as ``kind``, every ``${VARIABLE}`` taken from the environment.

    ``called`` is what such a file is called, ``see`` the page that describes it.

    Raises:
        invalid: naming the file, the place in it and what to do.
    """
    where = f"{called} {path}"
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except FileNotFoundError as error:
        raise invalid(f"{where} does not exist", todo=f"give the path of the {called} file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"{where} cannot be read: {error}", todo="give a YAML file in UTF-8") from error
    except yaml.YAMLError as error:
        raise invalid(f"{where}: not YAML: {' '.join(str(error).split())}", todo="correct the file") from error
    try:
        return msgspec.convert(_resolved(content, where, invalid), kind)
    except msgspec.ValidationError as error:
        fault, _, place = str(error).partition(" - at `$")
        at = f"{where}: {place.rstrip('`').lstrip('.')}" if place.strip("`.") else where
        raise invalid(f"{at}: {fault[:1].lower()}{fault[1:]}", todo=f"see {see}") from error


def _resolved(content: Any, where: str, invalid: type[UsageError]) -> Any:
    """The content with every ``${VARIABLE}`` replaced."""
    if isinstance(content, dict):
        return {key: _resolved(value, where, invalid) for key, value in content.items()}
    if isinstance(content, list):
        return [_resolved(value, where, invalid) for value in content]
    if not isinstance(content, str):
        return content
    for name in _VARIABLE.findall(content):
        if name not in os.environ:
            raise invalid(f"{where}: the environment has no {name}", todo="set it, or write the value")
    return _VARIABLE.sub(lambda found: os.environ[found.group(1)], content)
