"""The console in customization/: its pages are routed and nothing else is, and overlays agree on addresses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeymesh.delivery.tree import ENVIRONMENTS
from journeymesh.services.console.app import PROBES, ROUTES

SERVICES = Path(__file__).parents[3] / "customization/services"


def is_routed(path: str) -> bool:
    """Whether the gateway leads this path to the console, as Gateway API matches paths."""
    route = yaml.safe_load((SERVICES / "console/base/route.yaml").read_text("utf-8"))
    [rule] = route["spec"]["rules"]
    matches = [each["path"] for each in rule["matches"]]
    return any(
        path == each["value"] or (each["type"] == "PathPrefix" and path.startswith(f"{each['value']}/"))
        for each in matches
    )


@pytest.mark.parametrize("path", sorted({path for route in ROUTES for path in route.paths}))
def test_every_page_is_reached_through_the_gateway(path: str) -> None:
    assert is_routed(path)


def test_so_is_what_pages_are_made_with() -> None:
    assert is_routed("/static/console.css")


@pytest.mark.parametrize("path", sorted(probe.path for probe in PROBES))
def test_probes_and_metrics_are_for_the_inside(path: str) -> None:
    assert not is_routed(path)


def literals(service: str, environment: str, name: str) -> dict[str, str]:
    """What an overlay's ConfigMap of this name holds."""
    path = SERVICES / service / "overlays" / environment / "kustomization.yaml"
    content: Any = yaml.safe_load(path.read_text("utf-8"))
    [made] = [each for each in content["configMapGenerator"] if each["name"] == name]
    return dict(each.split("=", 1) for each in made["literals"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_overlays_agree_on_where_keycloak_and_the_console_are(environment: str) -> None:
    keycloak = literals("keycloak", environment, "keycloak-addresses")
    console = literals("console", environment, "console-addresses")
    issuer = f"{keycloak['hostname']}/realms/journeymesh"
    assert (console["console"], console["issuer"]) == (keycloak["console"], issuer)
    for service in ("identityapi", "journeyapi"):
        assert literals(service, environment, f"{service}-addresses")["issuer"] == issuer
    assert all(re.match(r"https://[a-z.]+$", each) for each in (keycloak["hostname"], keycloak["console"]))


def test_keycloak_and_the_console_let_each_other_in() -> None:
    """No manifest's variable tells that Keycloak calls the console, so that no rule of `delivery check` sees it."""
    policies = [
        each
        for service in ("keycloak", "console")
        for each in yaml.safe_load_all((SERVICES / service / "base/network-policy.yaml").read_text("utf-8"))
    ]
    of = {each["metadata"]["name"]: each["spec"] for each in policies}
    out = [peer["podSelector"]["matchLabels"] for rule in of["keycloak"]["egress"] for peer in rule["to"]]
    assert {"app.kubernetes.io/name": "console", "journeymesh.io/track": "stable"} in out
    let_in = [str(peer) for rule in of["console"]["ingress"] for peer in rule["from"]]
    assert any("'keycloak'" in each for each in let_in)
