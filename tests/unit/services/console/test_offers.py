"""A page offers what the APIs accept with the viewer's own token, and nothing else; it explains what it does not."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from journeymesh.services.console.viewer import Viewer
from journeymesh.wire.identity import Offers
from tests.support.console_served import PEOPLE, World, console_served, policy

PURPOSES = (None, "pricing", "claims-handling", "product-development")


def without_nonce(text: str) -> str:
    """A page without what is new each time that it is made."""
    return re.sub(r'nonce="[^"]+"', "", text)


def journey_of(world: World) -> str:
    answer = world.ask("claims-handler", "journeyapi", "/v1/policies/P-1/journeys", "claims-handling")
    return str(answer.json()["items"][0]["journey_id"])


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_part_of_a_page_is_there_exactly_where_its_api_answers(
    world: World, who: str, purpose: str | None
) -> None:
    browser = world.browser(who)
    journey = journey_of(world)
    query = "" if purpose is None else f"?purpose={purpose}"
    used = purpose or used_by_default(who)
    parts = (
        ("/policies", "/v1/summaries?period=term", 'aria-label="Table: Policies"'),
        ("/policies/P-1", "/v1/policies/P-1/summary?period=term", '<div class="figures">'),
        ("/policies/P-1", "/v1/policies/P-1/score", 'aria-label="Table: Parts of the score"'),
        ("/policies/P-1", "/v1/policies/P-1/journeys?order=desc", '<svg class="hours"'),
        ("/policies/P-1", "/v1/policies/P-1/comparison", 'aria-label="Table: Beside the book"'),
        ("/policies/P-1", "/v1/products/journeys", 'aria-label="Table: Quality of the product"'),
        (
            "/policies?sort=distance_m&period=term",
            "/v1/summaries?period=term&sort=distance_m",
            'aria-sort="descending"',
        ),
        ("/policies/P-1", "/v1/policies/P-1/journeys", 'aria-label="Table: Latest journeys"'),
        (f"/journeys/{journey}", f"/v1/journeys/{journey}", '<div class="figures">'),
        (f"/journeys/{journey}", f"/v1/journeys/{journey}/track", '<svg class="track"'),
        (f"/journeys/{journey}", f"/v1/journeys/{journey}/refusals", 'aria-label="Table: Refused fixes"'),
        (f"/journeys/{journey}", f"/v1/journeys/{journey}/versions", 'aria-label="Table: What changed 1"'),
        ("/policies/P-1", "/v1/policies/P-1/refusals", "every entry with its reason</a>"),
        ("/refusals?policy=P-1", "/v1/policies/P-1/refusals", 'aria-label="Table: Refused fixes"'),
        ("/data", "/v1/products/journeys", 'aria-label="Table: Purposes"'),
    )
    for page, api, sign in parts:
        answer = world.ask(who, "journeyapi", api, used or None)
        shown = browser.get(page + (query.replace("?", "&") if "?" in page else query))
        assert shown.status_code == 200
        there = sign in shown.text
        assert there == (answer.status_code == 200), (page, api, answer.status_code, answer.text)
        if answer.status_code == 403 and answer.json()["reason"] != "allowed":  # allowed, and too few to tell of
            assert 'class="why"' in shown.text


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
def test_a_file_is_offered_and_given_exactly_where_the_api_gives_it(
    world: World, who: str, purpose: str | None, form: str
) -> None:
    browser = world.browser(who)
    query = {"policy": "P-1", "format": form, **({} if purpose is None else {"purpose": purpose})}
    got = world.run(browser.client.get("/exports/journeys", params=query))
    shown = browser.get("/policies/P-1" + ("" if purpose is None else f"?purpose={purpose}")).text
    answer = world.ask(who, "journeyapi", "/v1/policies/P-1/journeys", purpose or used_by_default(who), form=form)
    assert got.status_code == answer.status_code, answer.text
    offered = f"/exports/journeys?policy=P-1&amp;purpose={purpose or used_by_default(who)}&amp;format={form}"
    assert (offered in shown) == (got.status_code == 200)
    if got.status_code == 200:
        assert got.headers["content-disposition"].startswith("attachment")
        assert len(got.content) > 100
        if form in ("csv", "ndjson"):
            assert got.content == answer.content
    else:
        assert 'class="why"' in got.text


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
def test_summaries_are_offered_and_given_as_a_file_exactly_where_the_api_gives_them(
    world: World, who: str, form: str
) -> None:
    browser = world.browser(who)
    got = browser.get(f"/exports/summary?policy=P-1&period=week&format={form}")
    shown = browser.get("/policies/P-1?period=week").text
    path = "/v1/policies/P-1/summary?period=week"
    answer = world.ask(who, "journeyapi", path, used_by_default(who), form=form)
    assert got.status_code == answer.status_code, answer.text
    assert (
        f"/exports/summary?policy=P-1&amp;purpose={used_by_default(who)}&amp;period=week&amp;format={form}" in shown
    ) == (got.status_code == 200)
    if form == "csv" and got.status_code == 200:
        assert got.content == answer.content


def test_a_policy_stands_beside_the_book_where_the_book_has_enough_others(world: World, tmp_path: Path) -> None:
    few = world.browser("analyst").get("/policies/P-1").text
    assert "There are fewer than ten other policies that can be compared with and that you may see." in few
    policies = [policy(f"P-{k}", "northgate", f"V{k}") for k in range(11)]
    with console_served(tmp_path, policies) as larger:
        larger.approve("analyst", "pricing", "pricing")
        shown = larger.browser("analyst").get("/policies/P-1?purpose=pricing").text
    assert 'aria-label="Table: Beside the book"' in shown
    assert "beside 10 other policies" in shown


def test_a_masked_column_neither_sorts_nor_filters(world: World) -> None:
    from journeymesh.services.console.policies import BookAsked, sortable

    offers = msgspec.structs.replace
    me = world.ask("analyst", "identityapi", "/v1/me/offers").content
    told = msgspec.json.decode(me, type=Offers)
    masked = offers(told, items=[offers(each, mask=[*each.mask, "score"]) for each in told.items])
    viewer = Viewer(None, masked, Offers(product="platform", approvers=[], items=[]), {})  # type: ignore[arg-type]
    assert "score" not in sortable(viewer, "pricing")
    assert "distance_m" in sortable(viewer, "pricing")
    asked = BookAsked.of({"sort": "score", "bound": "score", "least": "3"}, sortable(viewer, "pricing"))
    assert (asked.sort, asked.bound, asked.least) == (None, None, None)


@pytest.mark.parametrize(
    "query",
    ["sort=score&order=lowest", "bound=distance_m&least=0,1&most=1e9", "policy=P-1", "sort=nonsense&period=day",
     "sort=score&least=nan&most=-1&bound=score", "after=nonsense&sort=score", "status=nonsense", "policy=S-1"],
)  # fmt: skip
def test_every_address_of_the_book_is_answered(world: World, query: str) -> None:
    shown = world.browser("analyst").get(f"/policies?{query}")
    assert shown.status_code == 200
    assert "went wrong" not in shown.text
    assert ("P-1</a>" in shown.text) == ("S-1" not in query and "after" not in query)


def test_a_decision_is_explained_to_those_who_may_know(world: World) -> None:
    denied = world.ask("analyst", "journeyapi", "/v1/policies/P-1/summary", "claims-handling").json()["decision_id"]
    shown = world.browser("auditor").get(f"/decisions/{denied}").text
    assert "Denied" in shown
    assert "approval" in shown
    assert "<dt>Capability</dt><dd><code>decisions:explain</code>" in world.browser("analyst").get("/decisions/x").text
    assert "There is no such thing" in world.browser("auditor").get("/decisions/x").text


def used_by_default(who: str) -> str | None:
    """The first purpose of the contract that a domain of theirs may use and that any capability of theirs needs."""
    domains, capable = PEOPLE[who].get("domains", ()), PEOPLE[who].get("capabilities", {}).get("journeys", ())
    if PEOPLE[who]["tenant"] != "northgate" or not any(name != "product:read" for name in capable):
        return None
    return "claims-handling" if "claims" in domains else "pricing" if "pricing" in domains else None


@pytest.mark.parametrize("who", PEOPLE)
def test_a_form_is_there_exactly_where_its_step_is_accepted(world: World, who: str) -> None:
    browser = world.browser(who)
    shown = browser.get("/approvals").text
    wish = {"purpose": "fraud-detection", "domain": PEOPLE[who].get("domains", ["x"])[0], "reason": "a test"}
    requested = world.ask(who, "identityapi", "/v1/approvals", body=wish)
    assert ('action="/approvals"' in shown) == (requested.status_code == 201), requested.text
    asked = world.ask("analyst", "identityapi", "/v1/approvals", body={**wish, "domain": "pricing"}).json()["id"]
    offered = f'action="/approvals/{asked}/approve"' in browser.get("/approvals").text
    tried = world.ask(who, "identityapi", f"/v1/approvals/{asked}:reject", body={"why": "a test"})
    assert offered == (tried.status_code == 200), tried.text


@pytest.mark.parametrize("who", PEOPLE)
def test_each_refusal_on_the_first_page_names_capability_and_whom_to_ask(world: World, who: str) -> None:
    page = world.browser(who).get("/").text
    for refusal in re.findall(r'<details class="why">.*?</details>', page, re.DOTALL):
        assert re.search(r"<dt>Capability</dt><dd><code>[a-z]+:[a-z]+</code>", refusal)
        assert re.search(r"<dt>Ask</dt><dd>.+?</dd>", refusal)
    requests = "approvals:request" in PEOPLE[who].get("capabilities", {}).get("platform", ())
    may_request = requests and bool(PEOPLE[who].get("domains"))
    lacks_only_approval = "No purpose is approved for you yet" in page
    assert ("#request" in page) == (may_request and lacks_only_approval)
    for href in re.findall(r'href="(/approvals\?purpose=[^"]+)#request"', page):
        form = world.browser(who).get(html.unescape(href)).text
        purpose, capability = parse_qs(urlsplit(html.unescape(href)).query).values()
        assert f'<option value="{purpose[0]}" selected>' in form
        assert f"({capability[0]})." in form.partition("<textarea")[2].partition("</textarea>")[0]


def test_of_what_a_viewer_may_not_know_nothing_is_said(world: World) -> None:
    browser = world.browser("claims-handler")
    known_elsewhere, unknown = browser.get("/policies/S-1"), browser.get("/policies/nowhere")
    assert known_elsewhere.status_code == unknown.status_code == 200
    texts = [without_nonce(each.text) for each in (known_elsewhere, unknown)]
    assert texts[0].replace("S-1", "nowhere") == texts[1]
    assert "There is no such thing, or none that you may know of." in unknown.text


def test_masked_fields_are_said_to_be_hidden(world: World) -> None:
    page = world.browser("analyst").get("/").text
    assert re.search(r"<summary>([2-9]|\d\d+) fields hidden</summary>", page)
    assert "lat_deg" in page


def test_an_approval_goes_from_request_to_use_by_pages_alone(world: World) -> None:
    handler, officer = world.browser("claims-handler"), world.browser("privacy-officer")
    sent = handler.send("/approvals", purpose="service-provision", domain="claims", reason="a portal")
    assert sent.status_code == 303
    (asked,) = re.findall(r'action="/approvals/([^/]+)/approve"', officer.get("/approvals").text)[:1]
    assert f"/approvals/{asked}" in officer.get("/").text
    assert officer.send(f"/approvals/{asked}/approve", why="agreed").status_code == 303
    assert f'action="/approvals/{asked}/acknowledge"' in handler.get("/approvals").text
    assert handler.send(f"/approvals/{asked}/acknowledge", why="").status_code == 303
    ends_at = time.monotonic() + 30  # services follow the book of approvals twice a second
    while 'aria-label="Table: Policies"' not in handler.get("/policies?purpose=service-provision").text:
        assert time.monotonic() < ends_at, "the approval is not seen"
    again = officer.send(f"/approvals/{asked}/approve", why="twice")
    assert again.status_code == 409
    assert 'role="alert"' in again.text


def test_the_approvals_page_leads_through_all_of_them(world: World) -> None:
    browser = world.browser("analyst")
    wish = {"purpose": "fraud-detection", "domain": "pricing", "reason": "one of many"}
    made = {world.ask("analyst", "identityapi", "/v1/approvals", body=wish).json()["id"] for _ in range(101)}
    path, seen, pages = "/approvals", set(), 0
    while path:
        shown = browser.get(path).text
        ids = set(re.findall(r'href="/approvals/([0-9a-f]{24})"', shown))
        assert not ids & seen
        seen, pages = seen | ids, pages + 1
        path = "".join(re.findall(r'rel="next" href="([^"]+)"', shown))
    assert made <= seen
    assert pages >= 3
    assert seen == {each["id"] for each in all_approvals(world)}
    officer = world.browser("privacy-officer").get("/").text
    assert "And more" in officer


def test_an_approvals_own_page_has_its_history_and_its_steps(world: World) -> None:
    wish = {"purpose": "fraud-detection", "domain": "pricing", "reason": "who stole it"}
    made = world.ask("analyst", "identityapi", "/v1/approvals", body=wish).json()["id"]
    shown = world.browser("privacy-officer").get(f"/approvals/{made}").text
    assert "who stole it" in shown
    assert f'action="/approvals/{made}/approve"' in shown
    assert "/approve" not in world.browser("analyst").get(f"/approvals/{made}").text
    assert "<code>approvals:read</code>" in world.browser("tracks-only").get(f"/approvals/{made}").text
    southerner = world.browser("southerner")
    foreign, unknown = (without_nonce(southerner.get(f"/approvals/{each}").text) for each in (made, "0" * 24))
    assert foreign.replace(made, "0" * 24) == unknown
    assert "There is no such thing" in unknown


def all_approvals(world: World) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    after = ""
    while after is not None:
        page = world.ask("analyst", "identityapi", f"/v1/approvals?limit=1000{after and f'&after={after}'}").json()
        found, after = found + page["items"], page["next"]
    return found


@pytest.mark.parametrize("who", PEOPLE)
def test_the_search_finds_what_the_apis_give_and_says_what_it_did_not_search(world: World, who: str) -> None:
    browser, purpose = world.browser(who), used_by_default(who)
    journey = journey_of(world)
    for wanted, api, leads_to in (
        ("P-1", "/v1/policies/P-1/summary", "/policies/P-1"),
        (journey, f"/v1/journeys/{journey}", f"/journeys/{journey}"),
    ):
        found = browser.get(f"/find?q={wanted}")
        given = world.ask(who, "journeyapi", api, purpose).status_code == 200
        assert (found.status_code == 303) == given, (who, wanted)
        if given:
            assert found.headers["location"].startswith(leads_to)
        elif "summaries:read" not in str(PEOPLE[who].get("capabilities")):
            assert "<code>summaries:read</code>" in found.text
    columns = browser.get("/find?q=night").text
    product = world.ask(who, "journeyapi", "/v1/products/journeys").status_code == 200
    assert ('href="/data#t' in columns) == product


def test_the_search_tells_nothing_of_what_a_viewer_may_not_know(world: World) -> None:
    browser = world.browser("claims-handler")
    foreign, unknown = (without_nonce(browser.get(f"/find?q={each}").text) for each in ("S-1", "nowhere"))
    assert foreign.replace("S-1", "nowhere") == unknown
    assert "Nothing is called so" in unknown
    for text in ("<script>alert(1)</script>", "../../etc/passwd", "a/b", "%2e%2e", "\u202ex", "x" * 5_000):
        shown = world.run(browser.client.get("/find", params={"q": text}))
        assert shown.status_code == 200, text
        assert "<script>alert" not in shown.text
