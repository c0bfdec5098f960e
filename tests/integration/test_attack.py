"""Every hostile input for a few seconds, seeded: memory stays bounded, and the service answers.

How long ``/livez`` may take is held by ``make attack``, on a machine that does nothing else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.attack.__main__ import MOST_MIB, settled_mib
from tests.attack.inputs import INPUTS, Strength
from tests.attack.measuring import Attacker
from tests.attack.services import Running, running_services

STRENGTH = Strength(float(os.environ.get("JOURNEYMESH_ATTACK_SECONDS", "5")), clients=16, seed=20_240_304)
"""``make attack`` tries each input for a minute."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read as Linux tells it")


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Running, float]]]:
    """Both services, each with the memory that it takes while idle."""
    with running_services(tmp_path_factory.mktemp("attacked")) as found:
        yield {name: (service, settled_mib(service)) for name, service in found.items()}


@pytest.fixture(scope="module")
def attacker() -> Iterator[Attacker]:
    with closing(Attacker()) as begun:
        yield begun


@pytest.mark.parametrize(
    ("service", "name"), [(service, name) for name, sent in INPUTS.items() for service in sent.services]
)
def test_no_input_takes_more_memory_than_its_bound_nor_keeps_others_from_being_answered(
    services: dict[str, tuple[Running, float]], attacker: Attacker, service: str, name: str
) -> None:
    running, idle_mib = services[service]
    outcome = attacker.attack(running, name, idle_mib, STRENGTH)
    assert outcome.grown_mib <= MOST_MIB
    assert outcome.lost == 0
    assert sum(outcome.answers.values()) > 0
    assert "500" not in outcome.answers
