"""The mapping: how a legacy document becomes fixes, written in YAML by the people who know the legacy system.

A path is dotted from the document's root: ``loc.coordinates.0`` is the first element of an array. ``[]`` stands for
every element of an array and makes one fix of each: ``samples[].lat``; a path without it is shared by all of them.
``paths`` says how a name with dots or brackets in it is meant.
Units convert once, here: ``to_si`` is the factor from what the document says to metres, seconds and degrees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec.structs import force_setattr, replace

from journeymesh.errors import MappingInvalid
from journeymesh.sources.clock_corrections import read_corrections
from journeymesh.sources.mapping_faults import check_rules, explained
from journeymesh.sources.mapping_fields import (
    AccelField,
    AngleField,
    BaseClock,
    ClockField,
    CoordinateField,
    DistanceField,
    IgnitionField,
    Layout,
    PolicyText,
    SpeedField,
    TextField,
)
from journeymesh.sources.mapping_model import NUMBER_COLUMNS, FieldMappings, Mapping, PolicyMappings, mapped_paths
from journeymesh.sources.mapping_yaml import MappingYaml
from journeymesh.yaml_files import load_yaml

__all__ = [
    "NUMBER_COLUMNS",
    "AccelField",
    "AngleField",
    "BaseClock",
    "ClockField",
    "CoordinateField",
    "DistanceField",
    "FieldMappings",
    "IgnitionField",
    "Layout",
    "Mapping",
    "PolicyMappings",
    "PolicyText",
    "SpeedField",
    "TextField",
    "load_mapping",
    "mapped_paths",
    "mapping_schema",
]


def load_mapping(path_or_text: str | Path) -> Mapping:
    """The mapping in a YAML file, or in a YAML text (a ``str`` with a line break in it).

    Raises:
        MappingInvalid: naming the file, the place in it and what to do.
    """
    if isinstance(path_or_text, str) and "\n" in path_or_text:
        text, where = path_or_text, "mapping"
    else:
        where = f"mapping {path_or_text}"
        try:
            text = Path(path_or_text).read_text("utf-8")
        except FileNotFoundError as error:
            raise MappingInvalid(f"{where} does not exist", todo="give the path of a mapping file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise MappingInvalid(f"{where} cannot be read: {error}", todo="give a YAML file in UTF-8") from error
    try:
        content = load_yaml(text, loader=MappingYaml)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error) or "it cannot be parsed"
        raise MappingInvalid(f"{where}{at}: not YAML: {problem}", todo="correct the line") from error
    try:
        mapping = msgspec.convert(content, Mapping)
    except msgspec.ValidationError as error:
        raise explained(where, content, str(error)) from error
    named = mapping.fields.fixed_at.corrections
    if isinstance(named, str) and named:
        beside = Path(path_or_text).parent if where != "mapping" else Path()
        force_setattr(mapping, "fields", _with_corrections(where, mapping.fields, beside / named))
    check_rules(where, mapping)
    return mapping


def _with_corrections(where: str, fields: FieldMappings, path: Path) -> FieldMappings:
    """The fields with the clock's corrections as they stand in a file."""
    table = read_corrections(f"{where}: fields.fixed_at.corrections", path)
    return replace(fields, fixed_at=replace(fields.fixed_at, corrections=table))


def mapping_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a mapping file."""
    schema = msgspec.json.schema(Mapping)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://journeymesh.example/schemas/mapping-1.json",
        "title": "Journeymesh mapping",
        **schema,
    }
