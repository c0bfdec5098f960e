"""Who else uses a MongoDB is read from what the server tells, and where it tells nothing that is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from journeymesh.sources.mongodb_clients import clients_in, other_clients
from journeymesh.sources.vehicle_port import OtherClient, OtherClients

ANSWER: list[dict[str, Any]] = [
    {"type": "op", "active": True, "client": "10.0.0.7:54", "appName": "reports", "ns": "fleet.trips", "op": "query"},
    {"type": "op", "active": True, "client": "10.0.0.7:55", "appName": "reports", "ns": "fleet.trips", "op": "query"},
    {"type": "op", "active": True, "client": "10.0.0.7:56", "appName": "reports", "ns": "fleet.$cmd", "op": "command"},
    {"type": "op", "active": False, "client": "10.0.0.7:51237", "appName": "reports", "op": "none"},
    {"type": "idleCursor", "client": "[2001:db8::1]:40000", "ns": "fleet.policies"},
    {"type": "op", "active": False, "client": "10.0.0.9:4", "appName": "backup", "ns": "", "op": "none"},
    {"type": "op", "active": True, "client": "10.0.0.8:1", "appName": "journeymesh", "ns": "fleet.a", "op": "getmore"},
    {"type": "op", "active": True, "client": "10.0.0.6:1", "appName": "shop", "ns": "fleet2.orders", "op": "query"},
    {"type": "op", "active": True, "desc": "TTLMonitor", "ns": "fleet.trips", "op": "remove"},
]  # fmt: skip


class Server:
    """A server with this answer, or none."""

    def __init__(self, answer: list[dict[str, Any]] | Exception) -> None:
        self.answer, self.asked = answer, list[Any]()
        self.admin = self

    def aggregate(self, pipeline: list[Any]) -> Iterator[dict[str, Any]]:
        self.asked += pipeline
        if isinstance(self.answer, Exception):
            raise self.answer
        return iter(self.answer)


def test_clients_of_the_database_come_first_and_without_us_and_their_ports() -> None:
    assert clients_in(ANSWER, "fleet") == OtherClients(
        (
            OtherClient("reports", "10.0.0.7", {"command": 1, "query": 2}, 1),
            OtherClient("", "[2001:db8::1]", {"open cursor": 1}, 0),
            OtherClient("backup", "10.0.0.9", {}, 1),
        )
    )


def test_the_server_is_asked_for_everybodys_operations_on_this_database_and_for_idle_connections() -> None:
    server = Server(ANSWER)
    assert other_clients(server, "fl.t") == clients_in(ANSWER, "fl.t")  # type: ignore[arg-type]
    assert server.asked[0] == {"$currentOp": {"allUsers": True, "idleConnections": True, "idleCursors": True}}
    assert server.asked[1] == {"$match": {"$or": [{"ns": {"$regex": r"^fl\.t\."}}, {"active": False}]}}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (OperationFailure("not authorized on admin", 13), "it needs the privilege inprog"),
        (OperationFailure("Unrecognized pipeline stage name: '$currentOp'", 40324), "Unrecognized pipeline stage name"),
        (ServerSelectionTimeoutError("gone, Timeout: 5s, Topology Description: <T>"), "gone"),
    ],
)
def test_a_server_that_does_not_tell_is_said_not_to(fault: Exception, said: str) -> None:
    found = other_clients(Server(fault), "fleet")  # type: ignore[arg-type]
    assert found.clients == ()
    assert said in (found.unknown or "")
    assert "Topology" not in (found.unknown or "")
