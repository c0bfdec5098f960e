"""The console from outside: pages over HTTP as a browser gets them, from signing in at Keycloak to signing out.

Its own address and Keycloak's are public ones that need not resolve here: requests for them go to what is tested, by
the name that browsers use.

CONSOLE_URL         where browsers reach the console; unset: what BASE_URL says, and behind a gateway there is none
KEYCLOAK_URL        where this process reaches Keycloak; BASE_URL where unset, as behind the gateway
READER_PASSWORD     of `e2e-reader`, who reads summaries for an approved purpose
NEWCOMER_PASSWORD   of `e2e-newcomer`, who has no capability
"""

from __future__ import annotations

import html
import os
import re
import ssl
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

REACHED_WITHIN_S = 60.0
HOME = "<h1>What you can do here</h1>"


@pytest.fixture(scope="module")
def console(service: httpx.Client) -> str:
    """Where browsers reach the console, which it tells Keycloak as the place to come back to."""
    if url := os.environ.get("CONSOLE_URL"):
        return url
    if os.environ.get("GATEWAY"):
        pytest.skip("CONSOLE_URL is unset: no console serves here yet; its own tests come with it")
    sent = service.get("/sign-in/start", follow_redirects=False)
    assert sent.is_redirect, f"nobody is sent to an identity provider: {sent.status_code}"
    [back] = parse_qs(urlsplit(sent.headers["location"]).query)["redirect_uri"]
    return back.removesuffix("/sign-in/callback")


class Rerouted(httpx.BaseTransport):
    """Sends requests where their host is to be reached here; they go on naming it."""

    def __init__(self, console: str, base_url: str, trusted: ssl.SSLContext | bool) -> None:
        self._network = httpx.HTTPTransport(verify=trusted)
        self._console = urlsplit(console).netloc
        self._here = httpx.URL(base_url)
        self._keycloak = httpx.URL(os.environ.get("KEYCLOAK_URL") or base_url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        to = self._here if request.url.netloc.decode() == self._console else self._keycloak
        url = request.url.copy_with(scheme=to.scheme, host=to.host, port=to.port)
        sent = httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        return self._network.handle_request(sent)

    def close(self) -> None:
        self._network.close()


@pytest.fixture(scope="module")
def stranger(console: str, service: httpx.Client, trusted: ssl.SSLContext | bool) -> Iterator[httpx.Client]:
    """A browser in which nobody has signed in, once the console's pages are reached."""
    with browser(console, service, trusted) as client:
        end = time.monotonic() + REACHED_WITHIN_S
        while client.get("/sign-in").status_code != 200 and time.monotonic() < end:
            time.sleep(0.5)  # console and gateway may come up at once, and a gateway takes a moment to learn of a route
        yield client


@pytest.fixture(scope="module")
def reader(
    console: str,
    stranger: httpx.Client,
    service: httpx.Client,
    trusted: ssl.SSLContext | bool,
    analyst: dict[str, str],
) -> Iterator[httpx.Client]:
    with browser(console, service, trusted) as client:
        sign_in(client, "e2e-reader", os.environ["READER_PASSWORD"])
        yield client


@pytest.fixture(scope="module")
def newcomer(
    console: str,
    stranger: httpx.Client,
    service: httpx.Client,
    trusted: ssl.SSLContext | bool,
) -> Iterator[httpx.Client]:
    with browser(console, service, trusted) as client:
        sign_in(client, "e2e-newcomer", os.environ["NEWCOMER_PASSWORD"])
        yield client


def browser(console: str, service: httpx.Client, trusted: ssl.SSLContext | bool) -> httpx.Client:
    transport = Rerouted(console, str(service.base_url), trusted)
    return httpx.Client(base_url=console, transport=transport, follow_redirects=True, timeout=20)


def sign_in(client: httpx.Client, name: str, password: str, after: str = "/") -> httpx.Response:
    """The page that somebody gets after they gave their password to Keycloak; it is the console's again."""
    form = client.get("/sign-in/start", params={"after": after})
    action = re.search(r'<form[^>]+action="([^"]+)"', form.text)
    assert action is not None, f"no form to sign in at {form.url.host}{form.url.path}: {form.status_code}"
    page = client.post(html.unescape(action[1]), data={"username": name, "password": password})
    assert page.status_code == 200, f"{page.url.host}{page.url.path}: {page.status_code}"
    assert page.url.host == client.base_url.host, f"not led back, but to {page.url.host}{page.url.path}"
    return page


def text_of(page: httpx.Response) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def test_it_says_that_it_lives_and_is_ready_to_the_inside_alone(stranger: httpx.Client) -> None:
    wanted = 404 if os.environ.get("GATEWAY") else 200
    for path in ("/livez", "/readyz", "/metrics"):
        assert stranger.get(path).status_code == wanted, path


@pytest.mark.parametrize("path", ["/", "/policies", "/approvals", "/data"])
def test_who_has_not_signed_in_is_led_to_signing_in(stranger: httpx.Client, path: str) -> None:
    page = stranger.get(path)
    assert (page.status_code, page.url.path) == (200, "/sign-in")
    assert HOME not in page.text


def test_pages_allow_no_script_of_others_and_no_frame(stranger: httpx.Client) -> None:
    policy = stranger.get("/sign-in").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_what_pages_are_made_with_is_served(stranger: httpx.Client) -> None:
    style = stranger.get("/static/console.css")
    assert (style.status_code, style.headers["content-type"].partition(";")[0]) == (200, "text/css")


def test_home_says_what_one_may_do(reader: httpx.Client) -> None:
    page = reader.get("/")
    assert HOME in page.text
    may, _, may_not = text_of(page).partition("Not available to you now")
    assert "summaries:read" in may
    assert "tracks:read" in may_not
    assert "e2e" in may


def test_the_browser_holds_no_token(reader: httpx.Client) -> None:
    held = [each for each in reader.cookies.jar if each.domain.lstrip(".") == reader.base_url.host]
    assert held
    assert [each.name for each in held if "." in (each.value or "")] == []
    assert all(each.secure for each in held) or reader.base_url.scheme == "http"


def test_a_policy_is_shown_to_whoever_may(reader: httpx.Client, policy: str) -> None:
    page = reader.get(f"/policies/{quote(policy)}", params={"purpose": "pricing"})
    assert page.status_code == 200
    term = re.search(r'<section aria-labelledby="term">(.*?)</section>', page.text, re.DOTALL)
    assert term is not None
    assert "Distance" in term[1]
    assert re.search(r"[1-9]\d* journeys? since", term[1]), "no journeys of the policy are shown"
    assert "Not available" not in term[1]


def test_who_is_not_capable_is_told_why_not_and_whom_to_ask(newcomer: httpx.Client, policy: str) -> None:
    may, _, may_not = text_of(newcomer.get("/")).partition("Not available to you now")
    assert "summaries:read" not in may
    assert "summaries:read" in may_not
    page = newcomer.get(f"/policies/{quote(policy)}", params={"purpose": "pricing"})
    told = text_of(page)
    assert re.search(r"Not available: .+ Capability .+ Ask ", told), told[:500]
    assert "journeys since" not in told


def test_a_form_of_another_site_does_nothing(reader: httpx.Client) -> None:
    for headers in ({}, {"Origin": "https://stranger.example"}):
        assert reader.post("/sign-out", headers=headers).status_code == 403
    assert HOME in reader.get("/").text


def test_signing_out_ends_the_session_here_and_at_keycloak(
    console: str, stranger: httpx.Client, service: httpx.Client, trusted: ssl.SSLContext | bool
) -> None:
    assert stranger.get("/sign-in").status_code == 200
    with browser(console, service, trusted) as client:
        home = sign_in(client, "e2e-newcomer", os.environ["NEWCOMER_PASSWORD"])
        assert HOME in home.text
        fields = form_of(home, "/sign-out")
        left = client.post("/sign-out", data=fields, headers={"Origin": console})
        assert left.url.path == "/sign-in", f"{left.url.host}{left.url.path}: {left.status_code}"
        assert client.get("/").url.path == "/sign-in"
        assert 'name="password"' in client.get("/sign-in/start").text  # Keycloak asks anew


def form_of(page: httpx.Response, action: str) -> dict[str, Any]:
    """The fields that a page's form sends."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert form is not None, f"no form for {action}"
    inputs = re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form[1])
    return {name: html.unescape(value) for name, value in inputs}
