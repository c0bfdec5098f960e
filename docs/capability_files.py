"""What is written from the table of capabilities outside docs/reference, around what people wrote in those files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from journeymesh.identity.capabilities import CAPABILITIES, Capability

ROOT = Path(__file__).parents[1]
CEDAR = ROOT / "src/journeymesh/access/policies"
PEOPLE = ROOT / "src/journeymesh/cli/demo_access/people.yaml"
REALM = ROOT / "deploy/keycloak/realm.json"


def capability_files() -> dict[Path, str]:
    """Every such file with the text that it has to have."""
    schema, permits = CEDAR / "schema.cedarschema", CEDAR / "permits.cedar"
    return {
        schema: _with_actions(schema.read_text("utf-8")),
        permits: _with_reads(permits.read_text("utf-8")),
        PEOPLE: _with_people(PEOPLE.read_text("utf-8")),
        REALM: _with_realm(json.loads(REALM.read_text("utf-8"))),
    }


def _with_actions(schema: str) -> str:
    """Cedar's schema: each capability is an action, personal or open."""

    def declared(found: re.Match[str]) -> str:
        group = found[1]
        actions = _quoted(each for each in CAPABILITIES if each.personal == (group == "personal"))
        return f'action {actions} in ["{group}"]'

    return re.sub(r'^action [^;{]* in \["(open|personal)"\]', declared, schema, flags=re.MULTILINE)


def _with_reads(permits: str) -> str:
    """The one permit that names several capabilities: whatever reads personal data."""
    reads = _quoted((each for each in CAPABILITIES if each.personal and each.verb == "read"), "Action::")
    pattern = r'(@id\("read-personal-data"\)\npermit \(\n  principal,\n  action in )\[[^]]*\]'
    return re.sub(pattern, lambda found: f"{found[1]}[{reads}]", permits)


def _quoted(capabilities: Iterable[Capability], before: str = "") -> str:
    return ", ".join(f'{before}"{each.name}"' for each in capabilities)


def _with_people(text: str) -> str:
    """The example's people, each with what the table gives them."""

    def lines(person: str) -> Iterator[str]:
        for product in dict.fromkeys(each.product for each in CAPABILITIES):
            has = [each.name for each in CAPABILITIES if each.product == product and person in each.people.split()]
            if has:
                yield f"      {product}: [{', '.join(has)}]\n"

    pattern = r"^(  ([\w-]+):.*\n(?:    .*\n)*?    capabilities:\n)(?:      .*\n)+"
    return re.sub(pattern, lambda found: found[1] + "".join(lines(found[2])), text, flags=re.MULTILINE)


def _with_realm(realm: dict[str, Any]) -> str:
    """Keycloak's realm: scopes of the resources that are our products, and one permission for each capability."""
    [client] = [client for client in realm["clients"] if "authorizationSettings" in client]
    settings = client["authorizationSettings"]
    settings["scopes"] = [{"name": each.name} for each in CAPABILITIES]
    for resource in settings["resources"]:
        resource["scopes"] = [{"name": each.name} for each in CAPABILITIES if each.product == resource["name"]]
    roles = [policy for policy in settings["policies"] if policy["type"] != "scope"]
    settings["policies"] = [*roles, *map(_permission, CAPABILITIES)]
    return json.dumps(realm, indent=2) + "\n"


def _permission(capability: Capability) -> dict[str, Any]:
    config = {
        "resources": [capability.product],
        "scopes": [capability.name],
        "applyPolicies": capability.roles.split(),
    }
    return {
        "name": f"{capability.name} of {capability.product}",
        "type": "scope",
        "logic": "POSITIVE",
        "decisionStrategy": "AFFIRMATIVE",
        "config": {name: json.dumps(value) for name, value in config.items()},
    }
