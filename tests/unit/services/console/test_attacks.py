"""What a stranger, another site or hostile data can try on the console."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeymesh.errors import UsageError
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.requests import local_path
from tests.support.console_served import CONSOLE, World, console_served, policy

SCRIPTS_OF_OTHERS = re.compile(r'<script(?! (defer|type="module") nonce="[\w-]{22}" src="/static/)')
PAGES = ("/", "/policies", "/policies/P-1", "/journeys/x", "/data", "/approvals", "/find?q=x")
POSTS = ("/approvals", "/approvals/x/approve", "/sign-out", "/units")


@pytest.mark.parametrize("page", PAGES)
def test_without_a_session_there_is_nothing_but_the_way_to_sign_in(world: World, page: str) -> None:
    answer = world.browser().get(page)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert not answer.text


@pytest.mark.parametrize("page", [*PAGES, "/sign-in", "/nowhere"])
def test_no_page_may_be_framed_kept_or_run_any_script_but_its_own(world: World, page: str) -> None:
    answer = world.browser("claims-handler").get(page)
    *own, everywhere = answer.headers["content-security-policy"].split(", ")
    rules = dict(part.split(" ", 1) for part in everywhere.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert rules["form-action"] == "'self'"
    assert rules["script-src"] == rules["worker-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    if answer.status_code != 303:
        (nonce,) = re.fullmatch(r"script-src 'nonce-([\w-]{22})'; worker-src 'self'", own[0]).groups()
        scripts = re.findall(r"<script[^>]*>[^<]*</script>", answer.text)
        assert len(scripts) == answer.text.count("<script")
        for script in scripts:
            assert re.fullmatch(rf'<script [^>]*nonce="{nonce}" src="/static/[^"]+"></script>', script), script
        assert nonce not in world.browser("claims-handler").get(page).text
        assert " style=" not in answer.text
        assert not re.search(r"\son\w+=|javascript:", answer.text)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("origin", [None, "null", "http://evil.test", CONSOLE + ".evil.test", "https://console.test"])
def test_a_form_of_another_site_is_refused(world: World, path: str, origin: str | None) -> None:
    browser = world.browser("analyst")
    answer = browser.post(path, {"form_token": browser.form_token()}, origin=origin)
    assert answer.status_code == 403
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("given", ["", "guess", "another's"])
def test_a_form_without_the_sessions_token_is_refused(world: World, path: str, given: str) -> None:
    browser = world.browser("analyst")
    token = world.browser("analyst").form_token() if given == "another's" else given
    assert browser.post(path, {"form_token": token, "purpose": "pricing"}).status_code == 403
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize("origin", [None, "http://evil.test"])
def test_nobody_is_signed_in_by_another_site(world: World, origin: str | None) -> None:
    browser = world.browser()
    answer = browser.post("/sign-in", {"token": world.token("analyst")}, origin=origin)
    assert answer.status_code == 403
    assert not browser.client.cookies


def test_a_session_id_that_somebody_planted_is_not_taken_over(world: World) -> None:
    browser = world.browser()
    browser.client.cookies.set("journeymesh", "planted", domain="console.test")
    given = browser.sign_in("analyst").headers["set-cookie"]
    assert "planted" not in given
    assert len(given.partition("journeymesh=")[2].partition(";")[0]) >= 40
    assert world.browser().get("/", cookie="journeymesh=planted").status_code == 303


def test_signing_in_anew_ends_the_session_before(world: World) -> None:
    browser = world.browser("analyst")
    before = browser.client.cookies["journeymesh"]
    browser.sign_in("claims-handler")
    assert browser.client.cookies["journeymesh"] != before
    assert world.browser().get("/", cookie=f"journeymesh={before}").status_code == 303


def test_after_signing_out_nothing_is_answered_and_the_browser_forgets_its_pages(world: World) -> None:
    browser = world.browser("analyst")
    kept = browser.client.cookies["journeymesh"]
    out = browser.send("/sign-out")
    assert out.status_code == 303
    assert out.headers["clear-site-data"] == '"cache"'
    assert world.browser().get("/", cookie=f"journeymesh={kept}").status_code == 303


def test_a_session_ends_when_nobody_uses_it_and_after_a_day_of_work(world: World) -> None:
    browser = world.browser("analyst")
    world.clock[0] += 29 * 60
    assert browser.get("/").status_code == 200
    world.clock[0] += 31 * 60
    assert browser.get("/").status_code == 303
    busy = world.browser("analyst")
    for _ in range(24):
        world.clock[0] += 19 * 60
        busy.get("/approvals")
    assert busy.get("/").status_code == 200
    world.clock[0] += 25 * 60
    assert busy.get("/").status_code == 303


def test_the_sessions_cookie_is_for_http_alone(world: World) -> None:
    cookie = world.browser().sign_in("analyst").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_over_tls_the_cookie_is_secure_and_of_this_host_alone(tmp_path: Path) -> None:
    with console_served(tmp_path) as world:
        config: ConsoleConfig = world.app.state["console"]
        object.__setattr__(config, "public_url", "https://console.test")
        browser = world.browser()
        cookie = browser.post("/sign-in", {"token": world.token("analyst")}, origin="https://console.test")
        assert cookie.headers["set-cookie"].startswith("__Host-journeymesh=")
        assert "secure" in cookie.headers["set-cookie"].lower()


AWAY = (
    "//evil.test", "/\\evil.test", "\\/evil.test", "http://evil.test", "https:evil.test", "javascript:alert(1)",
    "/%0d%0aset-cookie:x=1\r\nx: y", "/a\nb", " /policies", "", "policies", "/\t/evil.test", "///evil.test",
)  # fmt: skip


@pytest.mark.parametrize("after", AWAY)
def test_signing_in_never_leads_elsewhere(world: World, after: str) -> None:
    answer = world.browser().post("/sign-in", {"token": world.token("analyst"), "after": after})
    assert answer.status_code == 303
    where = answer.headers["location"]
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert "\n" not in where
    assert local_path("/policies?purpose=pricing") == "/policies?purpose=pricing"


@pytest.mark.parametrize("token", ["", "garbage", "a\nb", "ü", "x" * 20_000, "e30.e30.e30"])
def test_what_is_no_token_signs_nobody_in(world: World, token: str) -> None:
    browser = world.browser()
    answer = browser.post("/sign-in", {"token": token})
    assert answer.status_code in (400, 403)
    assert 'role="alert"' in answer.text
    assert not browser.client.cookies


def test_nobody_is_signed_in_by_name_unless_the_console_was_told_so(world: World) -> None:
    assert world.browser().post("/sign-in", {"person": "analyst"}).status_code == 400


@pytest.mark.parametrize("url", ["console.test", "ftp://console.test", "https://a/b", "https://u:p@a", "https://a?x=1"])
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="public URL"):
        ConsoleConfig(journeyapi="http://a", identityapi="http://b", public_url=url)


SCRIPTS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "javascript:alert(1)",
    "{{7*7}}", "{% raw %}", "\u202egnp.exe", "</textarea><script>", "&lt;b&gt;", "a\x1b[31mb",
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    held = [policy(f"P{k} {text}".replace("\x1b", ""), "northgate", f"V{k}") for k, text in enumerate(SCRIPTS)]
    with console_served(tmp_path_factory.mktemp("hostile"), held) as made:
        made.approve("claims-handler", "claims-handling", "claims")
        yield made


def test_hostile_policy_numbers_stay_text_on_every_page(hostile: World) -> None:
    browser = hostile.browser("claims-handler")
    page = browser.get("/policies").text
    for text in ("<script>alert", "<img src=x", "\u202e", "\x1b"):
        assert text not in page
    assert html.escape("<script>alert(1)</script>") in page
    for link in {part.partition('"')[0] for part in page.split('href="/policies/')[1:]}:
        answer = browser.get(f"/policies/{html.unescape(link)}")
        assert answer.status_code == 200
        assert SCRIPTS_OF_OTHERS.search(answer.text) is None
        assert "<img" not in answer.text
        assert "\u202e" not in answer.text


@pytest.mark.parametrize("text", SCRIPTS)
def test_hostile_queries_paths_and_reasons_stay_text(hostile: World, text: str) -> None:
    browser = hostile.browser("claims-handler")
    places = ("/policies", "/approvals", "/data", "/")
    pages = [
        browser.world.run(browser.client.get(place, params={"purpose": text, "product": text})) for place in places
    ]
    sent = browser.send("/approvals", purpose="fraud-detection", domain="claims", reason=text)
    pages += [browser.get("/approvals"), sent]
    for page in pages:
        assert page.status_code in (200, 303, 422), page.status_code
        assert SCRIPTS_OF_OTHERS.search(page.text) is None
        assert "<img src=x" not in page.text
        assert "\u202e" not in page.text
        assert "49" not in page.text.partition(text)[0][-2:]


def test_a_journey_of_another_tenant_is_as_one_that_there_is_not(world: World) -> None:
    answer = world.ask("southerner", "journeyapi", "/v1/policies/S-1/journeys", "claims-handling")
    assert answer.status_code == 403
    world.browser("southerner")
    browser = world.browser("claims-handler")
    assert "There is no such thing" in browser.get("/journeys/0123456789abcdef0123456789").text


def test_a_form_that_is_too_large_is_refused(world: World) -> None:
    browser = world.browser("analyst")
    assert browser.post("/approvals", {"form_token": "x" * 100_000}).status_code == 413


def test_one_address_cannot_try_tokens_without_end(tmp_path: Path) -> None:
    with console_served(tmp_path, sign_ins_burst=5, sign_ins_per_s=0.001) as world:
        browser = world.browser()
        tried = [browser.post("/sign-in", {"token": "garbage"}).status_code for _ in range(8)]
        assert tried == [403] * 5 + [429] * 3


FORMULAS = ("=1+2", "+1+cmd|' //calc'!A0", "-2+3", "@SUM(A1)")


def test_a_policy_number_that_is_a_formula_stays_a_text_in_csv_files(tmp_path: Path) -> None:
    held = [policy(text, "northgate", f"V{k}") for k, text in enumerate(FORMULAS)]
    with console_served(tmp_path, held) as world:
        world.approve("analyst", "pricing", "pricing")
        browser = world.browser("analyst")
        for text in FORMULAS:
            for what in ("journeys", "summary"):
                query = {"policy": text, "format": "csv"}
                got = world.run(browser.client.get(f"/exports/{what}", params=query))
                assert got.status_code == 200, got.text
                rows = list(csv.DictReader(io.StringIO(got.text)))
                assert {row["policy"] for row in rows} == {f"'{text}"}
                assert float(rows[0]["distance_m"]) > 0


@pytest.mark.parametrize("what", ["journeys", "summary"])
@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet", "arrow"])
def test_a_file_of_another_tenants_policy_is_as_of_one_that_there_is_not(world: World, what: str, form: str) -> None:
    browser = world.browser("analyst")
    foreign, unknown = (browser.get(f"/exports/{what}?policy={each}&format={form}") for each in ("S-1", "nowhere"))
    assert foreign.status_code == unknown.status_code != 200
    assert "content-disposition" not in foreign.headers
    texts = [re.sub(r'nonce="[^"]+"', "", each.text) for each in (foreign, unknown)]
    assert texts[0].replace("S-1", "nowhere") == texts[1]


@pytest.mark.parametrize("step", ["approve", "reject", "acknowledge", "revoke", "delete", "../approvals"])
def test_a_step_on_another_tenants_approval_is_as_on_one_that_there_is_not(world: World, step: str) -> None:
    wish = {"purpose": "fraud-detection", "domain": "claims", "reason": "south's own"}
    made = world.ask("southerner", "identityapi", "/v1/approvals", body=wish).json()["id"]
    officer = world.browser("privacy-officer")
    foreign, unknown = (officer.send(f"/approvals/{each}/{step}", why="mine now") for each in (made, "0" * 24))
    assert foreign.status_code == unknown.status_code
    assert foreign.headers.get("location") == unknown.headers.get("location")
    assert "south's own" not in officer.get("/approvals").text + foreign.text
    state = world.ask("southerner", "identityapi", f"/v1/approvals/{made}").json()["approval"]["state"]
    assert state == "requested"


@pytest.mark.parametrize("page", [*PAGES, "/policies?sort=score", "/exports/summary?policy=P-1"])
def test_a_page_that_was_open_answers_nothing_after_signing_out(world: World, page: str) -> None:
    browser = world.browser("claims-handler")
    assert browser.get(page).headers["cache-control"] == "no-store"
    kept = browser.client.cookies["journeymesh"]
    assert browser.send("/sign-out").status_code == 303
    again = world.browser().get(page, cookie=f"journeymesh={kept}")
    assert (again.status_code, again.text) == (303, "")
    assert again.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize(
    "after", ["nonsense", "' OR 1=1", "\u202e", "<script>alert(1)</script>", "0" * 24, "x" * 4_000, "../../", "%00"]
)
@pytest.mark.parametrize("page", ["/approvals", "/policies", "/policies/P-1"])
def test_a_made_up_cursor_tells_nothing(world: World, page: str, after: str) -> None:
    browser = world.browser("analyst")
    shown = world.run(browser.client.get(page, params={"after": after}))
    assert shown.status_code == 200
    assert "<script>alert" not in shown.text
    assert "\u202e" not in shown.text
    assert 'class="missing refused"' in shown.text
