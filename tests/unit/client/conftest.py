"""Both clients behind one way to call them, so that each test holds for both."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from journeymesh.client import AsyncJourneymesh, Journeymesh, Retries
from journeymesh.client.answers import AsyncPages

AT_ONCE = Retries(first_wait_s=0.001)
Call = Callable[[Any], Any]
Either = Callable[..., Any]


def _waiting(url: str, *calls: Call, **options: Any) -> list[Any]:
    with Journeymesh(url, **{"retries": AT_ONCE, **options}) as client:
        return [call(client) for call in calls]


def _awaiting(url: str, *calls: Call, **options: Any) -> list[Any]:
    async def run() -> list[Any]:
        found = []
        async with AsyncJourneymesh(url, **{"retries": AT_ONCE, **options}) as client:
            for call in calls:
                came = call(_Listed(client))
                found.append(await came if inspect.isawaitable(came) else came)
        return found

    return asyncio.run(run())


class _Listed:
    """The async client whose pages can be read as a test reads those of the other: ``list(client.journeys(…))``."""

    def __init__(self, client: AsyncJourneymesh) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def called(*args: Any, **named: Any) -> Any:
            came = method(*args, **named)
            return _Read(came) if isinstance(came, AsyncPages) else came

        return called


class _Read:
    def __init__(self, pages: AsyncPages[Any]) -> None:
        self._pages = pages

    async def listed(self) -> list[Any]:
        return [row async for row in self._pages]

    def to_arrow(self) -> Any:
        return self._pages.to_arrow()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Either:
    """``ask(url, call, …, **options)``: what each call gives, on a client made with the options."""
    return _waiting if request.param == "sync" else _awaiting


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """All rows of pages, of either client."""
    return lambda pages: pages.listed() if isinstance(pages, _Read) else list(pages)
