"""What a real API server's refusals mean to the delivery commands."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.test_strays import kubeconfig
from tests.support.kubernetes_cluster import cluster_for_tests

from journeymesh.delivery.cluster import ClusterUnavailable, NoSuchObject, opened_cluster


def test_an_object_that_is_missing_is_told_from_a_server_that_refuses(tmp_path: Path) -> None:
    with closing(cluster_for_tests(tmp_path)), opened_cluster(kubeconfig()) as cluster:
        with pytest.raises(NoSuchObject):
            cluster.ask("GET", "/api/v1/namespaces/there-is-none")
        with pytest.raises(ClusterUnavailable) as refused:
            cluster.ask("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "No Name"}})
        assert not isinstance(refused.value, NoSuchObject)
