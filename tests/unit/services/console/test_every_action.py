"""What is offered is what the APIs accept: every action, by every viewer, for every purpose, in every state, both ways.

In full by `make prove`; otherwise a seeded part. A try that changes something is made on a restored copy of the
databases. Refusals by decision are compared by their reason; 409 and 429 say nothing about what one may do.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from journeymesh.stores.port import JourneyQuery
from journeymesh.wiring import open_store
from tests.support.console_actions import (
    READS,
    ROWS,
    STEPS,
    actions_of,
    refusals_of,
    restored_identityapi,
    routes,
    words_of,
)
from tests.support.console_served import PEOPLE, World, console_over, policy, write_databases
from tests.support.proving import times


@dataclass(frozen=True, slots=True)
class Course:
    """What became of an approval that ``by`` requested for the claims domain: who took which step.

    ``lasts_s``: how long it was valid, and it has ended since; None: as long as the contract allows.
    """

    steps: tuple[tuple[str, str], ...] = ()
    by: str = "claims-handler"
    lasts_s: float | None = None


APPROVED = (("privacy-officer", "approve"),)
ACTIVE = (*APPROVED, ("claims-handler", "acknowledge"))
STATES: dict[str, Course | None] = {
    "none": None,
    "requested": Course(),
    "rejected": Course((("privacy-officer", "reject"),)),
    "approved": Course(APPROVED),
    "active": Course(ACTIVE),
    "revoked": Course((*ACTIVE, ("privacy-officer", "revoke"))),
    "withdrawn": Course((*ACTIVE, ("claims-lead", "revoke")), by="claims-lead"),
    "ended": Course(ACTIVE, lasts_s=20.0),
    "ended undecided": Course(lasts_s=5.0),
}
"""Of claims handling's approval for the claims domain. Withdrawn: revoked by who requested it."""
RECORDED = {"withdrawn": "revoked", "ended": "expired", "ended undecided": "expired"}
"""What identityapi calls a state, where it is another name."""
PURPOSES = (None, "claims-handling", "pricing", "product-development", "no-such-purpose")
POLICIES = {"live": "P-1", "ended": "P-2", "of another tenant": "S-1", "unknown": "nowhere"}
SET_APART = (409, 429)
GAPS = {("tracks-only", "approved", "acknowledge")}
"""Who could take a step that no page offers: identityapi asks for ``approvals:request`` alone and for the approval's
id, which nobody without ``approvals:read`` is shown."""
AWAY = '<div class="missing away"'
CELLS = [(state, who, purpose) for state in STATES for who in PEOPLE for purpose in PURPOSES]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A live policy, one that has ended, and one of another tenant; pricing is approved for the analyst's domain."""
    folder = tmp_path_factory.mktemp("databases")
    ended = policy("P-2", "northgate", "V3", valid_to=datetime.now(UTC) - timedelta(hours=20), status="lapsed")
    write_databases(folder, [policy("P-1", "northgate", "V1"), policy("S-1", "south", "V2"), ended])
    with console_over(folder) as world:
        world.approve("analyst", "pricing", "pricing")
    return folder


@contextmanager
def in_state(databases: Path, tmp_path: Path, state: str) -> Iterator[World]:
    folder = tmp_path / state
    copytree(databases, folder)
    course = STATES[state]
    with console_over(folder) as world:
        if course is not None:
            _made(world, "claims-handling", state, course)
    with console_over(folder) as world:  # anew: both services know it from the beginning
        yield world


def _made(world: World, purpose: str, state: str, course: Course) -> str:
    """An approval of the purpose for the claims domain that is in this state now."""
    ends_at = None if course.lasts_s is None else datetime.now(UTC) + timedelta(seconds=course.lasts_s)
    wish = {"purpose": purpose, "domain": "claims", "reason": state}
    wish |= {} if ends_at is None else {"valid_to": ends_at.isoformat()}
    answer = world.ask(course.by, "identityapi", "/v1/approvals", body=wish)
    assert answer.status_code == 201, answer.text
    made = str(answer.json()["id"])
    for by, step in course.steps:
        answer = world.ask(by, "identityapi", f"/v1/approvals/{made}:{step}", body={"why": "a test"})
        assert answer.status_code == 200, answer.text
    if ends_at is not None:
        time.sleep(max(0.0, (ends_at - datetime.now(UTC)).total_seconds()))
    now = world.ask("privacy-officer", "identityapi", f"/v1/approvals/{made}").json()["approval"]["state"]
    assert now == RECORDED.get(state, state)
    return made


def test_every_route_of_the_console_has_its_row() -> None:
    assert routes() == set(ROWS)


@pytest.mark.timeout(3600)
def test_what_is_shown_is_what_journeyapi_accepts(databases: Path, tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{databases / 'journeys.db'}")) as store:
        journeys = {row["policy"]: row["journey_id"] for row in store.journeys(JourneyQuery()).to_pylist()}
    assert set(journeys) == {"P-1", "P-2", "S-1"}
    chosen = random.Random(20261201).sample(CELLS, times(len(CELLS), 12))
    counts: Counter[str] = Counter()
    wrong: list[Any] = []
    for state in STATES:
        cells = [(who, purpose) for at, who, purpose in chosen if at == state]
        if not cells:
            continue
        with in_state(databases, tmp_path, state) as world:
            for who, purpose in cells:
                wrong += [(state, who, purpose, *each) for each in _compared(world, journeys, who, purpose, counts)]
        print(f"{state}: {len(cells)} viewers × purposes, {len(wrong)} differences so far: {dict(counts)}", flush=True)
    print(f"{len(chosen)} of {len(CELLS)} states × viewers × purposes, {len(wrong)} differences: {dict(counts)}")
    assert counts["accepted"] > 10
    assert counts["refused"] > 10
    assert wrong == []


def _compared(
    world: World, journeys: dict[str, str], who: str, purpose: str | None, counts: Counter[str]
) -> Iterator[tuple[Any, ...]]:
    browser, used = world.browser(who), purpose or _by_default(world, who)
    pages: dict[str, str] = {}
    for number in POLICIES.values():
        journey = journeys.get(number, "0" * 26)
        names = {"policy": number, "journey": journey, "used": used or ""}
        for each in READS:
            if "{" not in each.page and number != POLICIES["live"]:
                continue
            path = each.page.format(**names)
            address = path + ("" if purpose is None else f"{'&' if '?' in path else '?'}purpose={purpose}")
            if address not in pages:
                pages[address] = _again(lambda at=address: browser.get(at), lambda page: AWAY not in page.text).text
                counts["pages"] += 1
                unknown = actions_of(pages[address]) - set(ROWS)
                if unknown:
                    yield (address, "leads to what has no row", unknown)
            shown = pages[address]
            path = each.api.format(**names)
            answer = _again(
                lambda at=path, form=each.form: world.ask(who, "journeyapi", at, used, form=form),
                lambda given: given.status_code != 503,
            )
            if answer.status_code in SET_APART:
                counts["set apart"] += 1
                continue
            if answer.status_code == 404 and each.form and not _reads(who):
                counts["files of what its viewer may not look at"] += 1  # whether it is there is not told by any page
                continue
            offered, accepted = each.sign.format(**names) in shown, answer.status_code == 200
            counts["accepted" if accepted else "refused"] += 1
            if offered != accepted:
                yield (address, each.capability, each.form, f"offered {offered}", answer.status_code, answer.text[:200])
            if answer.status_code == 403:
                reason = answer.json()["reason"]
                if (words_of(reason, used), each.capability) not in refusals_of(shown):
                    yield (address, each.capability, reason, refusals_of(shown))


def _again(ask: Callable[[], Any], is_answer: Callable[[Any], bool]) -> Any:
    """An answer. What is away, as an approval that a busy machine cannot look up in time, says nothing: it is asked
    again, five times at most."""
    for _ in range(5):
        given = ask()
        if is_answer(given):
            return given
    raise AssertionError(given.text)


def _reads(who: str) -> bool:
    return "journeys:read" in PEOPLE[who].get("capabilities", {}).get("journeys", ())


def _by_default(world: World, who: str) -> str | None:
    """The purpose that a page without one is for: the first that identityapi offers anything of the product for."""
    items = world.ask(who, "identityapi", "/v1/me/offers").json()["items"]
    return next((each["purpose"] for each in items if each["allowed"] and each["purpose"]), None)


@pytest.fixture(scope="module")
def approvals(databases: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Databases with an approval of fraud detection in each state, by its state."""
    folder = tmp_path_factory.mktemp("approvals") / "all"
    copytree(databases, folder)
    made: dict[str, str] = {}
    with console_over(folder) as world:
        for state, course in STATES.items():
            if course is not None:
                made[state] = _made(world, "fraud-detection", state, course)
    return folder, made


@pytest.mark.parametrize("who", random.Random(20261201).sample(list(PEOPLE), times(len(PEOPLE), 4)))
def test_a_step_is_offered_exactly_where_it_is_accepted_on_a_restored_copy(
    approvals: tuple[Path, dict[str, str]], tmp_path: Path, who: str
) -> None:
    folder, made = approvals
    with console_over(folder) as world:
        browser, token = world.browser(who), world.token(who)
        listed = browser.get("/approvals").text
        pages = {state: browser.get(f"/approvals/{each}").text for state, each in made.items()}
        for page in (listed, *pages.values()):
            assert actions_of(page) <= set(ROWS)
        counts: Counter[str] = Counter()
        differs = set()
        for state, approval in made.items():
            for step in STEPS:
                form = f'action="/approvals/{approval}/{step}"'
                path, body = f"/v1/approvals/{approval}:{step}", {"why": "a test"}
                answer = _tried(world, folder, tmp_path / f"{state}-{step}", token, path, body)
                counts[str(answer.status_code)] += 1
                offered = form in listed, form in pages[state]
                if offered != (answer.status_code == 200,) * 2:
                    differs.add((who, state, step))
    print(f"{who}: {dict(counts)}")
    assert differs == {each for each in GAPS if each[0] == who}


@pytest.mark.parametrize("who", random.Random(20261202).sample(list(PEOPLE), times(len(PEOPLE), 4)))
def test_an_approval_can_be_requested_exactly_where_the_form_is_on_a_restored_copy(
    approvals: tuple[Path, dict[str, str]], tmp_path: Path, who: str
) -> None:
    folder, _ = approvals
    with console_over(folder) as world:
        browser, token = world.browser(who), world.token(who)
        page, data = browser.get("/approvals").text, browser.get("/data").text
        form = page.partition('action="/approvals" ')[2].partition("</form>")[0]
        in_use = {
            each["purpose"]
            for each in world.ask(who, "identityapi", "/v1/me/offers").json()["items"]
            if each["allowed"]
        }
        for purpose in ("claims-handling", "pricing", "fraud-detection", "no-such-purpose"):
            for domain in (*PEOPLE[who].get("domains", ()), "a-domain-of-others"):
                wish = {"purpose": purpose, "domain": domain, "reason": "a test"}
                answer = _tried(world, folder, tmp_path / f"{purpose}-{domain}", token, "/v1/approvals", wish)
                offered = f'value="{purpose}"' in form and f"<option>{domain}</option>" in form
                if answer.status_code in SET_APART or purpose in in_use:  # one that is in use need not be requested
                    continue
                assert offered == (answer.status_code == 201), (purpose, domain, answer.text)
                if domain != "a-domain-of-others" and f'href="/approvals?purpose={purpose}' in data:
                    assert answer.status_code == 201, answer.text
        if not form:
            assert 'href="/approvals?purpose=' not in data
            assert 'href="/approvals?purpose=' not in browser.get("/").text


def _tried(world: World, folder: Path, copy: Path, token: str, path: str, body: dict[str, str]) -> Any:
    """What identityapi says to this, over databases in which it is the first thing that happens."""
    with restored_identityapi(folder, copy) as client:
        headers = {"authorization": f"Bearer {token}"}
        return world.run(client.post(path, headers=headers, json=body))
