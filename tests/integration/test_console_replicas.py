"""Two consoles over one database: whoever is signed in at one is at both, and whoever is not is at neither."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa
import yaml
from tests.support.console_replicas import Replicas, Visitor, replicas_served
from tests.support.rooms_databases import fresh_postgresql

from journeymesh.wiring.access import open_minter

LOST_WITHIN_S = 32.0


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, postgresql_url: str) -> Iterator[Replicas]:
    with (
        fresh_postgresql(postgresql_url) as database,
        replicas_served(tmp_path_factory.mktemp("replicas"), database) as served,
    ):
        yield served


def signed_in(replicas: Replicas, replica: int, who: str = "analyst") -> Visitor:
    browser = replicas.browser()
    answer = browser.post(replica, "/sign-in", token=open_minter(replicas.access).mint(who), after="/")
    assert answer.status_code == 303, answer.text
    return browser


def executed(replicas: Replicas, *statements: str) -> None:
    engine = sa.create_engine(replicas.database.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_signed_in_at_one_is_signed_in_at_the_other_and_signed_out_at_both(replicas: Replicas) -> None:
    browser = signed_in(replicas, 0)
    thief = browser.copied()
    for turn in range(6):
        assert browser.is_signed_in(turn % 2)
    sent = browser.post(1, "/units", form_token=browser.form_token(0), units="miles")
    assert sent.status_code == 303
    assert browser.post(1, "/sign-out", form_token=browser.form_token(0)).status_code == 303
    for replica in (0, 1, 0, 1):
        assert not browser.is_signed_in(replica)
        assert not thief.is_signed_in(replica)


def test_a_page_that_is_open_at_one_is_told_of_signing_out_at_the_other(replicas: Replicas) -> None:
    browser = signed_in(replicas, 0)
    with browser.page_open(0) as page:
        page.until("ready", 30.0)
        out_s = time.monotonic()
        browser.post(1, "/sign-out", form_token=browser.form_token(1))
        print(f"signed out at the other replica: seen after {page.until('ended', 10.0) - out_s:.2f} s")


def test_a_session_goes_on_when_other_sessions_end(replicas: Replicas) -> None:
    first, second = signed_in(replicas, 0), signed_in(replicas, 1)
    first.post(1, "/sign-out", form_token=first.form_token(1))
    assert not first.is_signed_in(0)
    assert second.is_signed_in(0)


def test_a_planted_id_and_a_large_cookie_are_no_session_at_either(replicas: Replicas) -> None:
    for value in ("planted", "x" * 43, "x" * 7_000):
        for replica in (0, 1):
            browser = replicas.browser()
            browser.client.cookies.set("journeymesh", value)
            assert not browser.is_signed_in(replica)
            assert browser.post(replica, "/sign-in", token="garbage").status_code in (403, 429)


def test_where_the_database_does_not_answer_nobody_is_signed_in(replicas: Replicas) -> None:
    browser = signed_in(replicas, 0)
    executed(replicas, "ALTER TABLE console_sessions RENAME TO elsewhere")
    try:
        for replica in (0, 1):
            answer = browser.get(replica, "/")
            assert answer.status_code == 503
            assert "Sessions not available" in answer.text
            assert (
                browser.post(replica, "/sign-in", token=open_minter(replicas.access).mint("analyst")).status_code == 503
            )
            assert "sessions" in readiness(replicas, replica, 503)
    finally:
        executed(replicas, "ALTER TABLE elsewhere RENAME TO console_sessions")
    for replica in (0, 1):
        readiness(replicas, replica, 200)
        assert browser.is_signed_in(replica)


def readiness(replicas: Replicas, replica: int, wanted: int) -> str:
    """What ``/readyz`` says once it says that."""
    ends_s = time.monotonic() + 20
    while (answer := httpx.get(f"{replicas.consoles[replica]}/readyz")).status_code != wanted:
        assert time.monotonic() < ends_s, answer.text
        time.sleep(0.2)
    return answer.text


def test_a_capability_that_was_lost_is_seen_by_open_pages_within_32_s(replicas: Replicas) -> None:
    browser = signed_in(replicas, 0, "analyst")
    people = replicas.access.parent / "people.yaml"
    held = yaml.safe_load(people.read_text("utf-8"))
    with browser.page_open(0) as page, browser.page_open(1) as other:
        page.until("ready", 30.0)
        other.until("ready", 30.0)
        held["people"]["analyst"]["capabilities"]["journeys"] = ["product:read"]
        people.write_text(yaml.safe_dump(held))
        lost_s = time.monotonic()
        seen_s = [each.until("changed", 60.0) - lost_s for each in (page, other)]
    print(f"a capability taken out of the file: seen at the replicas after {seen_s[0]:.1f} and {seen_s[1]:.1f} s")
    assert max(seen_s) <= LOST_WITHIN_S
