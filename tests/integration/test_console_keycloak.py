"""Signing in to the console at a real Keycloak in a real browser, and out again on both sides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from tests.support.keycloak_server import Keycloak, running_keycloak

from journeymesh.cli.access import write_access
from journeymesh.cli.demo_apis import process_of
from journeymesh.services.http.serving import free_port
from journeymesh.wiring import open_store

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip


@dataclass
class Place:
    console: str
    keycloak: Keycloak
    name: str
    password: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Keycloak with a claims handler, both APIs that believe it, and the console that signs in there."""
    room = tmp_path_factory.mktemp("console")
    with running_keycloak() as keycloak:
        access = write_access(room / "access")
        held = yaml.safe_load(access.read_text("utf-8"))
        held["providers"] = [{"kind": "oidc", "name": "keycloak", "issuer": keycloak.issuer}]
        access.write_text(yaml.safe_dump(held))
        url = f"sqlite:///{room / 'journeys.db'}"
        with closing(open_store(url)) as store:
            store.migrate()
        port = free_port("127.0.0.1", 0)
        console = f"http://127.0.0.1:{port}"
        _let_the_console_in(keycloak, console)
        secret = room / "client-secret"
        secret.write_text(keycloak.secret("console"))
        name, password = keycloak.add_person("/northgate/claims")
        with (
            process_of(room, "identityapi", access) as identityapi,
            process_of(room, "journeyapi", access, "--store", url) as journeyapi,
            process_of(room, "console", None, "--journeyapi", journeyapi, "--identityapi", identityapi,
                       "--issuer", keycloak.issuer, "--client-secret-file", str(secret), "--port", str(port)),
        ):  # fmt: skip
            yield Place(console, keycloak, name, password)


def _let_the_console_in(keycloak: Keycloak, console: str) -> None:
    client = keycloak.admin("GET", "/clients?clientId=console")[0]
    attributes = {**client["attributes"], "backchannel.logout.url": f"{console}/sign-out/everywhere"}
    changed = {**client, "rootUrl": console, "redirectUris": [f"{console}/*"], "attributes": attributes}
    keycloak.admin("PUT", f"/clients/{client['id']}", changed)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


def signed_in(browser: Any, place: Place, path: str = "/") -> Any:
    page = browser.new_context().new_page()
    page.goto(f"{place.console}{path}")
    page.click("text=Sign in >> nth=-1")
    page.fill("#username", place.name)
    page.fill("#password", place.password)
    page.click("#kc-login")
    # The way back leads over /sign-in/callback, which is the console's too: only a page of the session shows its end.
    playwright_api.expect(page.get_by_role("button", name="Sign out")).to_be_visible(timeout=30_000)
    return page


def test_a_person_signs_in_where_they_have_their_account_and_goes_on_where_they_were(
    browser: Any, place: Place
) -> None:
    page = signed_in(browser, place, "/approvals")
    assert page.url == f"{place.console}/approvals"
    assert "northgate" in page.text_content(".who")
    page.goto(place.console)
    playwright_api.expect(page.locator("text=read where a journey went")).to_have_count(1)
    tokens = [each for each in page.context.cookies(place.console) if "." in each["value"]]
    assert tokens == []  # the browser has a name of the session, and no token


def test_signing_out_ends_the_session_at_keycloak_too(browser: Any, place: Place) -> None:
    page = signed_in(browser, place)
    page.click("text=Sign out")
    playwright_api.expect(page).to_have_url(f"{place.console}/sign-in", timeout=30_000)
    page.goto(f"{place.console}/policies")
    assert "/sign-in" in page.url
    page.click("text=Sign in >> nth=-1")
    playwright_api.expect(page.locator("#password")).to_be_visible(timeout=30_000)  # Keycloak asks anew


def test_a_session_that_keycloak_ends_is_over_here_at_once(browser: Any, place: Place) -> None:
    page = signed_in(browser, place)
    place.keycloak.admin("POST", f"/users/{place.keycloak.person_id(place.name)}/logout")
    for _ in range(50):
        page.goto(f"{place.console}/")
        if "/sign-in" in page.url:
            return
    raise AssertionError("the session goes on")


def test_a_token_is_renewed_while_the_session_lasts(browser: Any, place: Place) -> None:
    realm = place.keycloak.admin("GET", "")
    place.keycloak.admin("PUT", "", {**realm, "accessTokenLifespan": 4})
    try:
        page = signed_in(browser, place)
        for _ in range(3):
            page.wait_for_timeout(5_000)
            page.goto(f"{place.console}/")
            assert page.locator("h1").text_content() == "What you can do here"
    finally:
        place.keycloak.admin("PUT", "", {**realm, "accessTokenLifespan": realm["accessTokenLifespan"]})


@pytest.mark.parametrize("query", ["", "?code=x", "?state=x&code=y", "?error=access_denied"])
def test_an_answer_that_belongs_to_no_sign_in_lets_nobody_in(browser: Any, place: Place, query: str) -> None:
    page = browser.new_context().new_page()
    answer = page.goto(f"{place.console}/sign-in/callback{query}")
    assert answer.status == 400
    playwright_api.expect(page.locator("[role=alert]")).to_have_count(1)
    assert [each for each in page.context.cookies() if each["value"]] == []


@pytest.mark.parametrize("token", ["", "garbage", "e30.e30.e30"])
def test_nobody_but_keycloak_ends_sessions_from_outside(browser: Any, place: Place, token: str) -> None:
    page = signed_in(browser, place)
    told = page.context.request.post(f"{place.console}/sign-out/everywhere", form={"logout_token": token})
    assert told.status == 400
    page.goto(place.console)
    assert page.locator("h1").text_content() == "What you can do here"
