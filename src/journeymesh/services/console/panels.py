"""Panels: parts of a page that are fetched separately. A panel that cannot be fetched leaves the others as they are,
except where the token is refused: then the whole page asks to sign in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from journeymesh.client.errors import (
    AccessDenied,
    ApiError,
    Conflicting,
    NotThere,
    RateLimited,
    RequestRefused,
    TokenNotAccepted,
)
from journeymesh.services.console.requests import SignInNeeded
from journeymesh.wire.identity import Reason

T = TypeVar("T")
Kind = Literal["denied", "not_there", "busy", "refused", "conflict", "away"]
STATUS: Final[dict[Kind, int]] = {
    "denied": 403, "not_there": 404, "busy": 429, "refused": 400, "conflict": 409, "away": 503,
}  # fmt: skip
"""The status of an answer that is nothing but such a part."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a part of a page is not there.

    ``words``: for people; ``reason`` and ``decision_id``: of a denial; ``retry_after_s``: when to look again.
    """

    kind: Kind
    words: str
    reason: Reason | None = None
    decision_id: str | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Panel(Generic[T]):
    """What was answered, or why it is missing: one of the two."""

    value: T | None = None
    missing: Missing | None = None


async def panel(answer: Awaitable[T], within_s: float) -> Panel[T]:
    """What an API answers, or why there is no answer.

    Raises:
        SignInNeeded: the token no longer counts.
    """
    try:
        return Panel(value=await asyncio.wait_for(answer, within_s))
    except TokenNotAccepted as error:
        raise SignInNeeded("/") from error
    except ApiError as error:
        return Panel(missing=missing_of(error))
    except TimeoutError:
        return Panel(missing=Missing("away", "The service did not answer in time."))


async def nothing() -> None:
    """In place of an answer that is not asked for."""


def missing_of(error: ApiError) -> Missing:
    """An API's refusal or silence in words. What it says itself is kept where it is about the request."""
    said = error.problem.detail or error.problem.title if error.problem else ""
    match error:
        case AccessDenied():
            return Missing("denied", "You may not see this.", _reason(error.reason), error.decision_id)
        case NotThere():
            return Missing("not_there", "There is no such thing, or none that you may know of.")
        case RateLimited():
            return Missing("busy", "Too many requests at once. Wait a moment.", retry_after_s=error.retry_after_s)
        case Conflicting():
            return Missing("conflict", said or "It does not fit what is there now.")
        case RequestRefused():
            return Missing("refused", said or "The request was not understood.")
    logger.warning("an API gives no answer: %s", type(error).__name__)
    return Missing("away", "The service does not answer at this moment.", retry_after_s=error.retry_after_s)


def _reason(said: str | None) -> Reason | None:
    return None if said is None else Reason(said)
