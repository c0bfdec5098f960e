"""Both APIs, asked with a viewer's own token and no right of the console's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from journeymesh.client import AsyncJourneymesh, Retries
from journeymesh.client.errors import AccessDenied
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.identity.identity import PLATFORM
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.panels import Missing, Panel, panel
from journeymesh.services.console.sessions import Session
from journeymesh.services.console.viewer import Viewer, flat
from journeymesh.wire.identity import Me, PurposeGiven

T = TypeVar("T")


class IdentityAway(Exception):
    """identityapi does not say what the viewer may do, so nothing can be offered."""

    def __init__(self, missing: Missing) -> None:
        self.missing = missing
        super().__init__(missing.words)


class Apis:
    """The connections to both APIs, shared by all viewers. Used by one event loop."""

    def __init__(self, config: ConsoleConfig, transport: Any = None) -> None:
        self._within_s = config.api_within_s
        self._client = AsyncJourneymesh(
            config.journeyapi,
            identity_url=config.identityapi,
            timeout_s=config.api_within_s,
            connect_s=min(3.0, config.api_within_s),
            retries=Retries(attempts=2),
            plain_http=config.plain_http,
            transport=transport,
        )

    def of(self, session: Session, purpose: str | None = None) -> AsyncJourneymesh:
        """The APIs as this viewer asks them, for this purpose."""
        return self._client.for_token(session.token).for_purpose(purpose)

    def panel(self, answer: Awaitable[T]) -> Awaitable[Panel[T]]:
        """A part of a page: the answer, or why there is none."""
        return panel(answer, self._within_s)

    async def bearer(self, token: str) -> Panel[Me]:
        """Whose token this is.

        Raises:
            SignInNeeded: it does not count.
        """
        return await self.panel(self._client.for_token(token).me())

    async def viewer(self, session: Session) -> Viewer:
        """What the viewer is offered now.

        Raises:
            IdentityAway: identityapi does not say. SignInNeeded: the token no longer counts.
        """
        asked = self.of(session)
        journeys, platform, purposes = await asyncio.gather(
            self.panel(asked.offers(JOURNEYS)), self.panel(asked.offers(PLATFORM)), self.panel(_purposes(asked))
        )
        if journeys.value is None or platform.value is None:
            raise IdentityAway(journeys.missing or platform.missing or Missing("away", ""))
        return Viewer(session.me, journeys.value, platform.value, flat(purposes.value or ()))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def _purposes(asked: AsyncJourneymesh) -> list[PurposeGiven]:
    try:
        return await asked.purposes()
    except AccessDenied:  # they are shown by their ids then
        return []
