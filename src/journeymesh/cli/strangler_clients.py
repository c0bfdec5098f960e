"""Who else reads legacy, in words: what an operator wants to know before a slice is retired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from journeymesh.cli.output import say

if TYPE_CHECKING:
    from journeymesh.sources.vehicle_port import OtherClient, OtherClients

_SHOWN: Final = 10


def say_other_clients(found: OtherClients | None) -> None:
    """Say which other clients legacy has, or why that is not known; None: nobody asked."""
    if found is None:
        return
    if found.unknown is not None:
        say("cannot list other clients of legacy:")
        say(f"    {found.unknown}")
        return
    say(f"other clients of legacy now: {len(found.clients) or 'none'}")
    for each in found.clients[:_SHOWN]:
        say(f"    {each.application or 'without a name'} at {each.host}: {_does(each)}")
    if len(found.clients) > _SHOWN:
        say(f"    and {len(found.clients) - _SHOWN:,} more")


def _does(client: OtherClient) -> str:
    told = [f"{count:,} {kind}" for kind, count in client.operations.items()]
    if client.connections:
        told.append(f"{client.connections:,} idle {'connection' if client.connections == 1 else 'connections'}")
    return ", ".join(told)
