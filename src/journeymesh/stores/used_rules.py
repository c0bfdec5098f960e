"""Rules by a name or from a file, and those by which work on a store goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from journeymesh.errors import RulesInvalid
from journeymesh.journeys.rules import BUILT_IN, VERSIONS, JourneyRules, rules_from_mapping
from journeymesh.stores.port import Store
from journeymesh.yaml_files import load_yaml


def rules_for(named: str | None, configured: str, stores: Iterable[Store]) -> JourneyRules:
    """The rules for work on these stores: those named, else those configured. A built-in name that says no version
    means the version that the stores' journeys were made with; the newest where there are none yet.

    Raises:
        RulesInvalid: as ``load_rules``.
    """
    name = named or configured
    if name not in BUILT_IN:
        return load_rules(name)
    profile = BUILT_IN[name].profile
    used = {each.digest for store in stores for each in store.rules()}
    kept = [rules for rules in VERSIONS.values() if rules.digest in used and rules.profile == profile]
    return kept[0] if len(kept) == 1 else BUILT_IN[name]


def load_rules(name_or_path: str) -> JourneyRules:
    """The rules of a built-in name (``always-on``, ``engine-switched``: the newest; ``always-on-2026.1``: that version)
    or of a YAML file.

    Raises:
        RulesInvalid: naming the file and the first wrong key or value.
    """
    if (built_in := BUILT_IN.get(name_or_path) or VERSIONS.get(name_or_path)) is not None:
        return built_in
    import yaml

    try:
        document = load_yaml(Path(name_or_path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join([*BUILT_IN, *VERSIONS])
        raise RulesInvalid(
            f"rules {name_or_path} cannot be read: {_reason(error)}", todo=f"give a YAML file, or one of {known}"
        ) from error
    except yaml.YAMLError as error:
        raise RulesInvalid(f"rules {name_or_path}: not YAML: {_one_line(error)}", todo="correct the file") from error
    if not isinstance(document, dict):
        raise RulesInvalid(f"rules {name_or_path}: expected keys and values", todo="see docs/reference/rules")
    try:
        return rules_from_mapping(document)
    except RulesInvalid as error:
        raise RulesInvalid(f"{name_or_path}: {error.what}", todo=error.todo) from error


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else "it is not UTF-8") or type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
