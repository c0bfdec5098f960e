from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.console_served import World, console_served


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The console with pricing approved for the analyst's domain, and claims-handling for the claims handler's."""
    with console_served(tmp_path_factory.mktemp("console")) as made:
        made.approve("analyst", "pricing", "pricing")
        made.approve("claims-handler", "claims-handling", "claims")
        yield made
        made.network.faults.clear()
