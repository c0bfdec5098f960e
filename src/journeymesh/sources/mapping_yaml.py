"""YAML as mappings are written in it."""

from __future__ import annotations

import re

import yaml


class MappingYaml(yaml.SafeLoader):
    """YAML 1.2's booleans and numbers: ``on`` and ``off`` are texts (and keys of ``ignition``), 1e-7 is a number."""


MappingYaml.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
MappingYaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
MappingYaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
