"""Every page of the console: whose it is, how one gets there, and the structure that assistive technology is given.

A route of the console that is neither a page here nor in ``NO_PAGES`` fails ``test_console_structure.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

from journeymesh.cli.demo_apis import Served
from journeymesh.wiring.access import open_minter
from tests.support.console_processes import SHORT, console_of_journeys

CLAIMS: Final = "claims-handler"
NO_PAGES: Final = {
    "GET /live": "events",
    "GET /basemap.pmtiles": "bytes",
    "GET /sign-in/start": "a redirect",
    "POST /sign-out/everywhere": "an answer to the provider",
    "POST /sign-out": "a redirect",
    "POST /units": "a redirect",
    "POST /approvals/{approval}/{step}": "a redirect, or the page of approvals with an alert as after POST /approvals",
}


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """A page of this route, as ``who`` sees it (None: nobody is signed in).

    ``path`` with ``{policy}``, ``{journey}``, ``{approval}`` and ``{decision}``; ``filled`` and ``sent``: the fields
    that are filled in there, by selector, and what is clicked then. ``structure``: an aria template of what ``main``
    has, in its order.
    """

    name: str
    route: str
    path: str
    structure: str
    who: str | None = CLAIMS
    filled: dict[str, str] = field(default_factory=dict)
    sent: str | None = None


PURPOSE: Final = '- navigation "Purpose":\n  - link "Handling a claim"'


def table(name: str, *headers: str) -> str:
    """The template of a table in the region that scrolls it, with these columns."""
    columns = "\n".join(f'        - columnheader "{each}"' for each in headers)
    return f"- 'region \"Table: {name}\"':\n  - table:\n    - rowgroup:\n      - row:\n{columns}"


def above(name: str) -> str:
    """The template of a paragraph with a link to where this comes from, or goes on."""
    return f'- paragraph:\n  - link "{name}"'


def lines(*parts: str) -> str:
    return "\n".join(parts)


APPROVALS_TABLE: Final = table("Approvals", "Purpose", "Domain", "State", "Requested", "Valid", "Your steps")
REQUEST: Final = """\
- region "Request an approval":
  - heading "Request an approval" [level=2]
  - combobox "Purpose"
  - combobox "Domain"
  - textbox "Reason"
  - button "Request\""""
BOOK: Final = ("Policy", "Product", "From", "Journeys", "Distance (km)", "Night", "Over limit", "Harsh per 100 km",
               "Against declared", "Score", "What moved")  # fmt: skip
FILTERS: Final = """\
- textbox "Number"
- textbox "Product"
- combobox "Status"
- combobox "Period"
- combobox "Sorted by"
- combobox "Order"
- combobox "Only where"
- textbox "from"
- textbox "to"
- button "Show\""""
PROBLEM: Final = '- heading "{title}" [level=1]\n- alert\n- paragraph:\n  - link "Home"'

PAGES: Final = (
    ConsolePage("home", "GET /", "/", lines(
        '- heading "What you can do here" [level=1]', table("Capabilities", "You can", "For"),
        '- region "Not available to you now":\n  - heading "Not available to you now" [level=2]')),
    ConsolePage("home with work", "GET /", "/", lines(
        '- heading "What you can do here" [level=1]', table("Capabilities", "You can", "For")), who="privacy-officer"),
    ConsolePage("book", "GET /policies", "/policies", lines(
        '- heading "Policies" [level=1]', PURPOSE, FILTERS, table("Policies", *BOOK))),
    ConsolePage("sorted book", "GET /policies", "/policies?sort=distance_m&period=term", lines(
        '- heading "Policies" [level=1]', PURPOSE, FILTERS,
        table("Policies", *("Distance (km) ▼" if each == "Distance (km)" else each for each in BOOK)))),
    ConsolePage("refused book", "GET /policies", "/policies", lines(
        '- heading "Policies" [level=1]', "- group: /Not available/"), who="analyst"),
    ConsolePage("policy with comparison", "GET /policies/{policy}", "/policies/{policy}", lines(
        above("Policies"), '- heading "Policy P-SHORT" [level=1]', PURPOSE,
        '- region "This term":\n  - heading "This term" [level=2]\n  - heading "Score" [level=3]',
        '- region "What the score is made of":\n  - heading "What the score is made of" [level=2]',
        '- region "Beside the book":\n  - heading "Beside the book" [level=2]\n  - \'region "Table: Beside the book"\'',
        '- region "By month":\n  - heading "By month" [level=2]\n  - navigation "Period"\n'
        '  - navigation "What the bars show"\n  - img /Distance by month/\n  - \'region "Table: By month"\'',
        '- region "When it drives":\n  - heading "When it drives" [level=2]\n  - img /Distance by hour of the week/',
        '- region "Latest journeys":\n  - heading "Latest journeys" [level=2]\n  - \'region "Table: Latest journeys"\'',
        '- region "Data quality":\n  - heading "Data quality" [level=2]\n'
        "  - paragraph:\n    - link /Refused fixes of this policy/")),
    ConsolePage("refused policy", "GET /policies/{policy}", "/policies/{policy}", lines(
        '- heading "Policy P-SHORT" [level=1]', '- region "This term":\n  - group: /Not available/'), who="analyst"),
    ConsolePage("journey with versions", "GET /journeys/{journey}", "/journeys/{journey}", lines(
        above("Policy P-SHORT"), "- heading /Journey of/ [level=1]", PURPOSE, '- heading "Figures" [level=2]',
        '- region "Where it went":\n  - heading "Where it went" [level=2]\n'
        '  - region /Map of the track/\n  - button "Zoom in"\n'
        '  - button "Zoom out"\n  - button "Show the whole track"\n  - button "Play"\n'
        '  - slider "Time on the way"\n  - status\n  - img /Speed .* over time/\n  - img /Acceleration .* over time/',
        '- region "Harsh events":\n  - heading "Harsh events" [level=2]\n  - \'region "Table: Harsh events"\'',
        '- region "Refused fixes":\n  - heading "Refused fixes" [level=2]\n  - \'region "Table: Refused fixes"\'',
        '- region "Earlier versions":\n  - heading "Earlier versions" [level=2]\n  - heading /Until/ [level=3]\n'
        '  - \'region "Table: What changed 1"\'')),
    ConsolePage("refused journey", "GET /journeys/{journey}", "/journeys/{journey}", lines(
        '- heading "Journey" [level=1]', '- region "Where it went":\n  - group: /Not available/'), who="analyst"),
    ConsolePage("refused fixes", "GET /refusals", "/refusals?policy={policy}", lines(
        above("Policy P-SHORT"), '- heading "Refused fixes of policy P-SHORT" [level=1]', PURPOSE,
        '- combobox "Reason"\n- button "Show"', table("Refused fixes", "Time", "Reason", "Latitude", "Longitude"))),
    ConsolePage("data", "GET /data", "/data", lines(
        '- heading "Data" [level=1]',
        '- region "What it may be used for":\n  - heading "What it may be used for" [level=2]\n'
        '  - \'region "Table: Purposes"\'')),
    ConsolePage("approvals", "GET /approvals", "/approvals", lines(
        '- heading "Approvals" [level=1]', APPROVALS_TABLE, REQUEST)),
    ConsolePage("request refused", "POST /approvals", "/approvals", lines(
        '- heading "Approvals" [level=1]', "- alert", APPROVALS_TABLE, REQUEST),
        filled={"textarea[name=reason]": " "}, sent="section#request button"),
    ConsolePage("approval", "GET /approvals/{approval}", "/approvals/{approval}", lines(
        above("Approvals"), '- heading "Handling a claim for claims" [level=1]',
        '- region "What was done":\n  - heading "What was done" [level=2]\n  - list'), who="privacy-officer"),
    ConsolePage("decision", "GET /decisions/{decision}", "/decisions/{decision}", lines(
        '- heading "Why it was decided so" [level=1]', "- paragraph:\n  - strong: Denied", "- list"),
        who="privacy-officer"),
    ConsolePage("refused decision", "GET /decisions/{decision}", "/decisions/{decision}", lines(
        '- heading "Why it was decided so" [level=1]', "- group: /Not available/")),
    ConsolePage("found", "GET /find", "/find?q=speed", '- heading "Search" [level=1]\n- list'),
    ConsolePage("nothing found", "GET /find", "/find?q=nowhere", lines(
        '- heading "Search" [level=1]', "- paragraph: /Nothing is called so/")),
    ConsolePage("journeys not exported", "GET /exports/journeys", "/exports/journeys?policy={policy}&format=csv", lines(
        '- heading "Not exported" [level=1]', "- group: /Not available/", above("Policies"))),
    ConsolePage("summary not exported", "GET /exports/summary", "/exports/summary?policy={policy}&format=none",
                PROBLEM.format(title="Not exported")),
    ConsolePage("no such page", "none", "/nowhere", PROBLEM.format(title="No such page"), who=None),
    ConsolePage("sign-in", "GET /sign-in", "/sign-in", lines(
        '- heading "Sign in" [level=1]', '- heading /demo/ [level=2]', '- button "analyst"',
        '- heading "With a token" [level=2]', '- textbox "Token"', '- button "Sign in"'), who=None),
    ConsolePage("sign-in refused", "POST /sign-in", "/sign-in", lines(
        '- heading "Sign in" [level=1]', "- alert", '- textbox "Token"', '- button "Sign in"'),
        who=None, filled={"#token": "garbage"}, sent="button:has-text('Sign in')"),
    ConsolePage("sign-in failed", "GET /sign-in/callback", "/sign-in/callback", lines(
        '- heading "Sign in" [level=1]', "- alert"), who=None),
)  # fmt: skip
FRAME: Final = """\
- link "Skip to the content"
- banner:
  - navigation "Pages":
    - link "Journeymesh"
    - link "Home"
    - link "Policies"
    - link "Data"
    - link "Approvals"
  - search:
    - searchbox "Search policies, journeys and data"
    - button "Find"
  - button "Show miles"
  - button "Sign out\""""
"""What every page has before ``main`` where somebody is signed in."""


@dataclass
class Visit:
    """The console of journeys in a browser, with somebody's page each. ``names``: what pages are about."""

    console: str
    names: dict[str, str]
    browser: Any
    pages: dict[str | None, Any] = field(default_factory=dict)

    def by(self, who: str | None) -> Any:
        """The page of somebody who is signed in; None: of nobody."""
        if who not in self.pages:
            page = self.pages[who] = self.browser.new_context().new_page()
            if who is not None:
                page.goto(self.console)
                page.click(f"button[value={who}]")
                page.wait_for_selector("button:has-text('Sign out')")
        return self.pages[who]

    @contextmanager
    def to(self, shown: ConsolePage) -> Iterator[Any]:
        """The page, loaded, with its map where it has one."""
        page = self.by(shown.who)
        page.goto(self.console + shown.path.format(**self.names))
        for selector, text in shown.filled.items():
            page.fill(selector, text)
        if shown.sent is not None:
            with page.expect_navigation():
                page.click(shown.sent)
        if page.locator("#replay").count():
            page.wait_for_selector("#replay[data-ready]", timeout=120_000)
        yield page


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Visit]:
    """The console of journeys, with claims handling approved by people on pages."""
    from tests.integration.test_console_pages import approved  # which needs playwright

    with console_of_journeys(tmp_path_factory.mktemp("journeys"), others=10) as at:
        approved(browser, at.console)
        found = Visit(at.console, {"policy": SHORT}, browser)
        page = found.by(CLAIMS)
        page.goto(f"{at.console}/policies/{SHORT}")
        journey = page.locator("a[href*='/journeys/']").first.get_attribute("href")
        page.goto(f"{at.console}/approvals")
        approval = page.locator("main a[href^='/approvals/']").first.get_attribute("href")
        for name, address in (("journey", journey), ("approval", approval)):
            found.names[name] = address.rpartition("/")[2].partition("?")[0]
        found.names["decision"] = denied_decision(at)
        yield found
        for page in found.pages.values():
            page.context.close()


def denied_decision(at: Served) -> str:
    """The id of a decision that denied the analyst something."""
    token = open_minter(at.access).mint("analyst")
    headers = {"authorization": f"Bearer {token}", "data-purpose": "pricing"}
    answer = httpx.get(f"{at.journeyapi}/v1/policies/{SHORT}/summary", headers=headers, timeout=60)
    assert answer.status_code == 403, answer.text
    return str(answer.json()["decision_id"])
