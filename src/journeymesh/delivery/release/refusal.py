"""The one answer of this room that is no: a release that may not go on."""

from __future__ import annotations

from collections.abc import Sequence

from journeymesh.errors import JourneymeshError


class ReleaseRefused(JourneymeshError):
    """An image may not go where it was sent; the message names every reason."""

    exit_code = 7


def refuse_if(reasons: Sequence[str], what: str, todo: str) -> None:
    """Raise with all the reasons there are.

    Raises:
        ReleaseRefused: there is at least one.
    """
    if reasons:
        raise ReleaseRefused(f"{what}: {'; '.join(reasons)}", todo=todo)
