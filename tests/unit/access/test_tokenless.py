"""Refusals without a token, recorded by their count."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.support.access_twins import Twins

from journeymesh.access.decision import Ask
from journeymesh.access.explain import explain
from journeymesh.access.record import TokenlessRefusals
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.wire.identity import Reason


class Records:
    def __init__(self, fault: Exception | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.fault = fault

    def append(self, kind: str, body: dict[str, Any], *, key: str) -> Future[None]:
        if self.fault is not None:
            raise self.fault
        assert (kind, key) == ("decision", body["decision_id"])
        self.bodies.append(body)
        return Future()


def refusals(records: Records, interval_s: float = 3600.0) -> TokenlessRefusals:
    return TokenlessRefusals(records, Pseudonyms(b"k" * 32), interval_s)  # type: ignore[arg-type]


def test_however_many_there_are_in_a_while_they_are_one_record_with_their_count() -> None:
    records = Records()
    counting = refusals(records)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: counting.count(), range(5_000)))
    assert records.bodies == []
    counting.write()
    counting.write()
    (body,) = records.bodies
    assert (ids, body["count"], body["reason"]) == ({body["decision_id"]}, 5_000, "token_missing")
    assert body["from_us"] <= body["to_us"]
    assert "It stands for 5000 requests without a token." in explain(body).lines
    assert counting.count() not in ids
    counting.write()
    assert [each["count"] for each in records.bodies] == [5_000, 1]


def test_the_record_is_written_by_itself_after_the_interval() -> None:
    records = Records()
    counting = refusals(records, 0.02)
    counting.count()
    assert counting._timer is not None
    counting._timer.join(10)
    assert [body["count"] for body in records.bodies] == [1]


def test_an_audit_that_takes_no_record_is_logged_and_keeps_nobody_from_being_refused(caplog: Any) -> None:
    counting = refusals(Records(OSError("no")))
    counting.count()
    counting.write()
    assert "1 refusals without a token are not recorded: OSError" in caplog.text
    counting.count()
    counting.write()


def test_the_decider_denies_without_a_token_and_writes_when_it_is_closed() -> None:
    twins = Twins()
    decider = twins.decider()
    denied = [decider.without_token(Ask(product="journeys", capability="journeys:read")) for _ in range(3)]
    assert {each.reason for each in denied} == {Reason.TOKEN_MISSING}
    assert all(each.recorded.done() and not each.allowed for each in denied)
    before = len(twins.audit.records)
    decider.close()
    assert len(twins.audit.records) == before + 1
