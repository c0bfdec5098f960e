"""The console's pages in Chromium, through the gateway of a running cluster: by the names that people would use."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.bring_up import Bundle, run
from tests.cluster.from_outside import CONSOLE_URL, end_to_end_tests

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
POLICY = "JM-000001-1"


@pytest.fixture(scope="module")
def console(bundle: Bundle) -> str:
    """Where browsers reach it; the gate's tests passed through the gateway, and got their purpose approved."""
    assert " passed" in end_to_end_tests(bundle)
    return run(*CONSOLE_URL)


@pytest.fixture(scope="module")
def browser(bundle: Bundle, console: str) -> Iterator[Any]:
    """A browser for which every name of the environment is the gateway's node port."""
    where, domain = urlsplit(bundle.gateway).netloc, (urlsplit(console).hostname or "").partition(".")[2]
    with playwright_api.sync_playwright() as playwright:
        rule = f"--host-resolver-rules=MAP *.{domain} {where}"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, rule])
        yield browser
        browser.close()


@pytest.fixture
def signed_in(browser: Any, console: str) -> Iterator[Callable[[str], Any]]:
    """The console's page that somebody of the tests is led back to from Keycloak."""
    held = json.loads(run("kubectl", "-n", "dev", "get", "secret", "keycloak-clients", "-o", "json"))["data"]
    context = browser.new_context(ignore_https_errors=True)  # the gateway's certificate is its own

    def led_back(name: str) -> Any:
        page = context.new_page()
        page.goto(console)
        page.click("main >> text=Sign in >> nth=-1")
        page.fill("#username", name)
        page.fill("#password", base64.b64decode(held[name]).decode())
        page.click("#kc-login")
        page.wait_for_url(f"{console}/**")
        return page

    yield led_back
    context.close()


def test_who_signs_in_at_keycloak_is_told_at_home_what_they_may_do(signed_in: Callable[[str], Any]) -> None:
    page = signed_in("e2e-reader")
    assert page.text_content("h1") == "What you can do here"
    assert "summaries:read" in page.text_content("main table")
    assert "tracks:read" in page.text_content("section[aria-labelledby=lacking]")


def test_a_policy_s_page_is_shown_to_whoever_may_and_breaks_no_rule_of_its_own(
    signed_in: Callable[[str], Any], console: str
) -> None:
    page = signed_in("e2e-reader")
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(f"{console}/policies/{POLICY}?purpose=pricing")
    assert answer.status == 200
    assert "journeys since" in page.text_content("section[aria-labelledby=term]")
    page.wait_for_timeout(1_000)  # scripts have run, and the page has asked for its live updates
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).display") != "inline"
    assert complaints == []


def test_who_has_no_capability_is_told_why_not(signed_in: Callable[[str], Any], console: str) -> None:
    page = signed_in("e2e-newcomer")
    page.goto(f"{console}/policies/{POLICY}?purpose=pricing")
    page.click("details.why >> nth=0")
    told = page.text_content("details.why >> nth=0")
    assert "summaries:read" in told
    assert "Ask" in told
    assert page.locator("text=journeys since").count() == 0


def test_signing_out_ends_the_session_at_keycloak_too(signed_in: Callable[[str], Any], console: str) -> None:
    page = signed_in("e2e-newcomer")
    page.click("text=Sign out")
    page.wait_for_url(f"{console}/sign-in**")
    page.click("main >> text=Sign in >> nth=-1")
    page.wait_for_selector("#password")
