"""YAML as mappings, policies and other small files of people are written in it."""

from __future__ import annotations

import re

from journeymesh.yaml_files import SafeYaml


class MappingYaml(SafeYaml):
    """YAML 1.2's booleans and numbers: ``on`` and ``off`` are texts (and keys of ``ignition``), 1e-7 is a number.

    ``0123`` is an identifier as it stands. To YAML 1.1 it is 83, ``1_000`` is 1000 and ``12:30:45`` is 45,045.
    """


_NUMBERS = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


MappingYaml.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in found if tag not in _NUMBERS]
    for sign, found in SafeYaml.yaml_implicit_resolvers.items()
}
MappingYaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
MappingYaml.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
MappingYaml.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"
        r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
