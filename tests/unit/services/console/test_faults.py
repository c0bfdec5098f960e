"""An API that is down, slow or answers nonsense takes its own part of a page with it and no other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from journeymesh.services.console.sessions import Session
from tests.support.console_served import World, console_served

FAULTS = ("down", "slow", "nonsense", "fault")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with console_served(tmp_path_factory.mktemp("console"), api_within_s=0.5) as made:
        made.approve("claims-handler", "claims-handling", "claims")
        yield made


@pytest.fixture(autouse=True)
def whole(world: World) -> Iterator[None]:
    yield
    world.network.faults.clear()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("page", ["/policies", "/policies/P-1", "/journeys/x", "/refusals?policy=P-1", "/data"])
def test_without_journeyapi_pages_stand_and_say_what_is_missing(world: World, fault: str, page: str) -> None:
    browser = world.browser("claims-handler")
    world.network.faults["journeyapi"] = fault
    shown = browser.get(page)
    assert shown.status_code == 200
    assert 'class="missing away"' in shown.text
    assert "Sign out" in shown.text
    assert browser.get("/").status_code == browser.get("/approvals").status_code == 200


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("page", ["/", "/policies", "/journeys/x", "/refusals?policy=P-1", "/data", "/approvals"])
def test_without_identityapi_nothing_is_offered(world: World, fault: str, page: str) -> None:
    browser = world.browser("claims-handler")
    world.network.faults["identityapi"] = fault
    shown = browser.get(page)
    assert shown.status_code == 503
    assert "cannot be looked up" in shown.text
    assert "<form" not in shown.text
    world.network.faults.clear()
    assert browser.get(page).status_code == 200


@pytest.mark.parametrize("fault", FAULTS)
def test_nobody_is_signed_in_while_identityapi_is_away(world: World, fault: str) -> None:
    world.network.faults["identityapi"] = fault
    browser = world.browser()
    assert browser.sign_in("claims-handler").status_code == 503
    assert not browser.client.cookies


def test_a_fault_of_the_console_is_a_page_and_names_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("P-1 of northgate")

    monkeypatch.setattr("journeymesh.services.console.charts.week", broken)
    shown = world.browser("claims-handler").get("/policies/P-1")
    assert shown.status_code == 500
    assert "northgate" not in shown.text


def test_a_token_that_ends_meanwhile_leads_to_signing_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = world.browser("claims-handler")
    sessions = world.app.state["sessions"]
    session = world.run(sessions.of(browser.client.cookies["journeymesh"]))
    ended = replace(session, token="ended")
    monkeypatch.setattr(sessions, "of", lambda *_, **__: _soon(ended))
    shown = browser.get("/policies")
    assert shown.status_code == 303
    assert shown.headers["location"].startswith("/sign-in")


async def _soon(session: Session) -> Session:
    return session
