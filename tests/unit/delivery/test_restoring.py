"""An environment is brought back by whole syncs, in order, whatever state Argo CD was left in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.applications import Application, application
from journeymesh.delivery.cluster import ClusterUnavailable, NoSuchObject
from journeymesh.delivery.restoring import NotRestoredInTime, Restoring, waves_of
from journeymesh.delivery.tree import ENVIRONMENTS, Tree

ROOT = Path(__file__).parents[3]
ROOT_APP = "root-appbundle-app-dev"
WAVES = [["postgres-app-dev"], ["keycloak-app-dev"], ["journeyapi-app-dev"], [ROOT_APP]]
NAMES = ["root-platform-app", *(name for wave in WAVES for name in wave)]


class ArgoCd:
    """A cluster whose namespace was deleted. A whole sync of the platform makes it; services need it."""

    def __init__(self, *, going: int = 0, fails: int = 0, deployed: bool = False) -> None:
        self.going, self.fails, self.deployed = going, fails, deployed
        self.namespace = False
        self.phases = dict.fromkeys(NAMES, ("Failed", True))
        self.did: list[str] = []

    def ask(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        name = path.rpartition("/")[2]
        if path == "/api/v1/namespaces/dev":
            if self.going:
                self.going -= 1
                return {"metadata": {"deletionTimestamp": "2026-05-01T08:00:00Z"}}
            if self.namespace:
                return {"metadata": {}}
        elif self.deployed:
            self.did.append(f"restarted {name}")
            return {}
        raise NoSuchObject(f"{method} {path}: not found", todo="")

    def applications(self) -> list[Application]:
        return [application(self._shown(name)) for name in self.phases]

    def _shown(self, name: str) -> dict[str, Any]:
        phase, partial = self.phases[name]
        sync = {"resources": [{"kind": "Job", "name": "it"}]} if partial else {}
        well = phase == "Succeeded"
        return {
            "metadata": {"name": name},
            "spec": {},
            "status": {
                "sync": {"status": "Synced" if well else "OutOfSync"},
                "health": {"status": "Healthy"},
                "operationState": {"phase": phase, "operation": {"sync": sync}},
            },
        }

    def refresh(self, name: str, *, hard: bool = False) -> None:
        pass

    def end(self, name: str) -> None:
        self.did.append(f"ended {name}")
        self.phases[name] = ("Failed", True)

    def sync_again(self, name: str) -> None:
        assert self.phases[name][0] != "Running", "Argo CD begins none while one is under way"
        self.did.append(f"synced {name}")
        if name == "root-platform-app":
            self.namespace = True
        elif self.fails:
            self.fails -= 1
            self.phases[name] = ("Failed", False)
            return
        assert self.namespace
        self.phases[name] = ("Succeeded", False)


def restored(cluster: ArgoCd, wait_s: float = 5.0) -> list[str]:
    Restoring(cluster, "dev", wait_s, pause_s=0.0).run(WAVES)
    return cluster.did


def test_the_platform_comes_first_and_then_each_wave_as_a_whole() -> None:
    assert restored(ArgoCd()) == [f"synced {name}" for name in NAMES]


def test_nothing_is_begun_while_the_namespace_is_still_going() -> None:
    cluster = ArgoCd(going=3)
    restored(cluster)
    assert cluster.going == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_heal_that_cannot_end_is_ended_first(name: str) -> None:
    cluster = ArgoCd()
    cluster.phases[name] = ("Running", True)
    did = restored(cluster)
    assert did.index(f"ended {name}") < did.index(f"synced {name}")


def test_a_heal_without_hooks_does_not_count_as_brought_back() -> None:
    cluster = ArgoCd()
    cluster.phases = dict.fromkeys(NAMES, ("Succeeded", True))
    assert restored(cluster) == [f"synced {name}" for name in NAMES]


def test_a_sync_that_fails_is_begun_again() -> None:
    did = restored(ArgoCd(fails=2))
    assert did.count("synced postgres-app-dev") == 3


def test_keycloak_is_restarted_between_its_database_and_its_realm() -> None:
    did = restored(ArgoCd(deployed=True))
    order = [did.index(each) for each in ("synced postgres-app-dev", "restarted keycloak", "synced keycloak-app-dev")]
    assert order == sorted(order)


def test_applications_that_are_missing_are_made_by_their_root() -> None:
    cluster = ArgoCd()
    missing = {name: cluster.phases.pop(name) for name in NAMES if name not in ("root-platform-app", ROOT_APP)}
    begin = cluster.sync_again

    def sync_again(name: str) -> None:
        if name == ROOT_APP:
            cluster.phases.update({each: state for each, state in missing.items() if each not in cluster.phases})
        begin(name)

    cluster.sync_again = sync_again  # type: ignore[method-assign]
    assert set(restored(cluster)) == {f"synced {name}" for name in NAMES}


class Unsteady(ArgoCd):
    """An API server that answers only every other call, as after a restart of its node."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.calls = 0

    def _answers(self) -> None:
        self.calls += 1
        if self.calls % 2:
            raise ClusterUnavailable("GET /apis: 504", todo="")

    def ask(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        self._answers()
        return super().ask(method, path, body, form=form)

    def applications(self) -> list[Application]:
        self._answers()
        return super().applications()

    def sync_again(self, name: str) -> None:
        self._answers()
        super().sync_again(name)


def test_an_api_server_that_does_not_answer_for_a_while_is_waited_for() -> None:
    cluster = Unsteady(going=2, deployed=True)
    did = restored(cluster)
    assert [each for each in did if each.startswith("synced")] == [f"synced {name}" for name in NAMES]
    assert did.count("restarted keycloak") == 1
    assert cluster.going == 0


def test_an_api_server_that_never_answers_is_named() -> None:
    cluster = ArgoCd()

    def ask(method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        raise ClusterUnavailable("GET /api: 504", todo="")

    cluster.ask = ask  # type: ignore[method-assign]
    with pytest.raises(NotRestoredInTime, match="until namespace dev is gone; GET /api: 504"):
        restored(cluster, wait_s=0.05)


def test_what_does_not_come_back_in_time_is_named() -> None:
    with pytest.raises(NotRestoredInTime, match="until namespace dev is gone"):
        restored(ArgoCd(going=10**9), wait_s=0.05)
    with pytest.raises(NotRestoredInTime, match="until postgres-app-dev settled"):
        restored(ArgoCd(fails=10**9), wait_s=0.05)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_tree_s_own_waves_bring_data_before_what_reads_it(environment: str) -> None:
    waves = waves_of(Tree(ROOT), environment)
    at = {name.removesuffix(f"-app-{environment}"): index for index, wave in enumerate(waves) for name in wave}
    order = ("secrets", "postgres", "keycloak", "identityapi", "journeyapi", "gatewayapi", "root-appbundle")
    assert set(at) == {*order, "console"}
    assert [at[name] for name in order] == sorted(set(at.values()))
    assert at["console"] == at["gatewayapi"]  # either's tests wait for the other
