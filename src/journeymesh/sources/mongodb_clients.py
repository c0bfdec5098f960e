"""Who else uses a MongoDB's database, as the server tells it at one instant: for whoever is about to take it away.

``$currentOp`` shows operations under way and cursors that are open with their database; of connections that do nothing
just now it knows the client alone. A client that opens a connection once a night is seen at night only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from journeymesh.sources.vehicle_port import OtherClient, OtherClients

if TYPE_CHECKING:
    from pymongo import MongoClient

OWN_APPLICATION: Final = "journeymesh"
"""The name under which this program connects."""
_UNAUTHORIZED: Final = 13
_PORT: Final = re.compile(r":\d+$")


def other_clients(client: MongoClient[dict[str, Any]], database: str) -> OtherClients:
    """Who else has operations on this database, or a connection. Raises nothing: what the server says against it is
    in the answer."""
    from pymongo.errors import OperationFailure, PyMongoError

    of_database = {"ns": {"$regex": f"^{re.escape(database)}\\."}}
    shown = dict.fromkeys(("ns", "op", "type", "active", "client", "client_s", "appName"), 1)
    pipeline: list[dict[str, Any]] = [
        {"$currentOp": {"allUsers": True, "idleConnections": True, "idleCursors": True}},
        {"$match": {"$or": [of_database, {"active": False}]}},
        {"$project": shown},
    ]
    try:
        return clients_in(client.admin.aggregate(pipeline), database)
    except OperationFailure as error:
        if error.code == _UNAUTHORIZED:
            return OtherClients(unknown="the account may not see others' operations: it needs the privilege inprog")
        return OtherClients(unknown=plain_text(error))
    except PyMongoError as error:
        return OtherClients(unknown=plain_text(error))


def plain_text(error: Exception) -> str:
    """The first line of a driver's text, without the topology it appends."""
    return str(error).split(", Timeout:")[0].split(", full error:")[0].splitlines()[0][:200]


def clients_in(operations: Iterable[Mapping[str, Any]], database: str) -> OtherClients:
    """The clients in an answer of ``$currentOp``, without this program and without the server's own threads."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    idle: Counter[tuple[str, str]] = Counter()
    for operation in operations:
        address = operation.get("client") or operation.get("client_s")
        application = str(operation.get("appName") or "")
        if not address or application == OWN_APPLICATION:
            continue
        key = application, _PORT.sub("", str(address))
        if str(operation.get("ns") or "").startswith(f"{database}."):
            is_cursor = operation.get("type") == "idleCursor"
            found[key]["open cursor" if is_cursor else str(operation.get("op") or "command")] += 1
        elif operation.get("active") is False:
            idle[key] += 1
    clients = [OtherClient(*key, dict(sorted(found[key].items())), idle[key]) for key in {*found, *idle}]
    clients.sort(key=lambda each: (-sum(each.operations.values()), each.application, each.host))
    return OtherClients(tuple(clients))
