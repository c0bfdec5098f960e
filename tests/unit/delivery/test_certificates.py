"""A certificate that clients would refuse is refused before it is served, and told of where it is already there."""

from __future__ import annotations

import base64
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from journeymesh.cli.main import app
from journeymesh.delivery import sops
from journeymesh.delivery.applications import application
from journeymesh.delivery.certificates import certificate_faults, is_for, validity
from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.findings import Severity
from journeymesh.delivery.checks.subject import Subject
from journeymesh.delivery.cluster import ClusterUnavailable
from journeymesh.delivery.secret_checks import secret_findings
from journeymesh.delivery.secret_values import self_signed
from journeymesh.delivery.secrets import HOLDS, NAMES, CertificateRefused, EnvironmentSecrets
from journeymesh.delivery.served_certificates import served_certificates
from journeymesh.delivery.status import Seen, rows
from journeymesh.delivery.tree import Tree
from tests.support.encrypted_tree import AgeKey, age_key, needs_sops, tree_in
from tests.support.issued_certificates import AUTHORITY, CHAINED, GOOD, GRAVE, OTHER, Issued

ROOT = Path(__file__).parents[3]
PAIR = {"tls.crt": GOOD.pem, "tls.key": GOOD.key_pem()}
needs_kustomize = pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="neither kustomize nor kubectl is on PATH"
)


@pytest.mark.parametrize(("values", "hosts", "says"), GRAVE.values(), ids=GRAVE)
def test_each_kind_of_certificate_that_nobody_takes_is_told(
    values: dict[str, str], hosts: tuple[str, ...], says: str
) -> None:
    grave = [each.what for each in certificate_faults(values, hosts) if each.grave]
    assert len(grave) == 1
    assert re.match(f".*{says}", grave[0])
    assert "hunter2" not in grave[0]


@pytest.mark.parametrize(
    "values",
    [
        PAIR,
        {"tls.crt": CHAINED.pem + AUTHORITY.pem, "tls.key": CHAINED.key_pem()},
        {"server.pem": GOOD.key_pem() + GOOD.pem},
        {"tls.crt": GOOD.pem},
        {"ca.crt": AUTHORITY.pem + OTHER.pem, **PAIR},
        self_signed(("gatewayapi", "127.0.0.1")),
        {"password": "hunter2"},
    ],
    ids=["pair", "chain", "one file", "certificate alone", "beside authorities", "our own", "no certificate"],
)
def test_nothing_is_said_of_what_is_well(values: dict[str, str]) -> None:
    assert certificate_faults(values) == []


@pytest.mark.parametrize(("days", "said"), [(29.9, "in 29 days"), (1.5, "in 1 day"), (0.5, "in 0 days")])
def test_one_that_ends_within_thirty_days_is_a_warning(days: float, said: str) -> None:
    (fault,) = certificate_faults({"tls.crt": Issued("soon", to_days=days).pem})
    assert not fault.grave
    assert fault.what.endswith(said)
    assert certificate_faults({"tls.crt": Issued("later", to_days=30.1).pem}) == []


def test_a_chain_with_a_gap_is_a_warning() -> None:
    (fault,) = certificate_faults({"tls.crt": GOOD.pem + OTHER.pem, "tls.key": GOOD.key_pem()})
    assert (fault.grave, fault.what) == (False, "certificate 2 of tls.crt did not issue the one before it")


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("journeys.example", True),
        ("JOURNEYS.example.", True),
        ("a.wild.example", True),
        ("a.b.wild.example", False),
        ("wild.example", False),
        ("example", False),
    ],
)
def test_names_are_taken_as_clients_take_them(host: str, fits: bool) -> None:
    assert is_for(("journeys.example", "*.wild.example"), host) is fits


def test_what_is_noted_in_the_open_is_the_narrowest_period_of_the_chain() -> None:
    holds = validity({"tls.crt": Issued("long", to_days=300, by=AUTHORITY).pem + AUTHORITY.pem})
    assert holds is not None
    assert timedelta(days=89) < holds.ends - datetime.now(UTC) < timedelta(days=91)
    assert holds.names == ("journeys.example",)
    assert validity({"password": "hunter2"}) is None


# --- in the tree ----------------------------------------------------------------------------------


def _dev(folder: Path, key: AgeKey) -> EnvironmentSecrets:
    """dev without any Secret as yet, and who shall read them."""
    held = EnvironmentSecrets(tree_in(folder), "dev", key.file)
    held.entrust([key.recipient])
    return held


@needs_sops
@pytest.mark.parametrize(("values", "hosts", "says"), GRAVE.values(), ids=GRAVE)
def test_none_of_them_gets_into_the_tree(
    values: dict[str, str], hosts: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    held = _dev(tmp_path, age_key(tmp_path))
    *before, (last, value) = values.items()
    for key, good in before:
        held.put("edge", key, good)
    was = held.file("edge").read_bytes() if before else None
    with pytest.raises(CertificateRefused, match=says) as refused:
        held.put("edge", last, value, hosts)
    assert "hunter2" not in str(refused.value)
    assert (held.file("edge").read_bytes() if held.file("edge").exists() else None) == was


@needs_sops
def test_a_pair_is_renewed_at_once_and_half_of_it_is_not(tmp_path: Path) -> None:
    held = _dev(tmp_path, age_key(tmp_path))
    held.put_certificate("edge", GOOD.pem, GOOD.key_pem(), ["journeys.example"])
    with pytest.raises(CertificateRefused, match=r"give both at once: journeymesh delivery secrets certificate edge"):
        held.put("edge", "tls.crt", OTHER.pem)
    held.put_certificate("edge", OTHER.pem, OTHER.key_pem())
    assert held.values("edge") == {"tls.crt": OTHER.pem, "tls.key": OTHER.key_pem()}
    content = yaml.safe_load(held.file("edge").read_text())
    assert content["type"] == "kubernetes.io/tls"
    assert content["metadata"]["annotations"][NAMES] == "journeys.example"


@needs_sops
def test_what_stands_there_ended_hinders_no_other_value(tmp_path: Path) -> None:
    held = _dev(tmp_path, age_key(tmp_path))
    _planted(held, "edge", {"tls.crt": Issued("ended", from_days=-9, to_days=-1).pem})
    held.put("edge", "note", "other")
    assert held.values("edge")["note"] == "other"


@needs_sops
def test_a_renewed_certificate_that_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = _dev(tmp_path, age_key(tmp_path))
    held.make_missing()
    held.renew("gateway-tls", hosts=["drives.example"])
    ended = Issued("ended", from_days=-9, to_days=-1)
    made = {"tls.crt": ended.pem, "tls.key": ended.key_pem()}
    monkeypatch.setattr("journeymesh.delivery.needed_secrets.NeededSecret.renewed", lambda *_: made)
    with pytest.raises(CertificateRefused, match=r"tls\.crt ended on"):
        held.renew("gateway-tls")


def _planted(held: EnvironmentSecrets, name: str, values: dict[str, str], **notes: str) -> None:
    """A Secret as an earlier program, or `sops edit`, may have left it."""
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "dev", "annotations": notes},
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }
    held.folder.mkdir(parents=True, exist_ok=True)
    held.file(name).write_text(sops.encrypted(document, held.recipients()))


@needs_sops
@pytest.mark.parametrize(("days", "rule"), [(-1.0, "certificate-holds"), (20.0, "certificate-ends-soon")])
def test_what_is_in_the_tree_already_is_told_by_both_checks(
    days: float, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    key = age_key(tmp_path)
    held = _dev(tmp_path, key)
    _planted(held, "edge", {"tls.crt": Issued("edge", from_days=-9, to_days=days).pem})
    told = [(each.rule, Path(each.place).name) for each in secret_findings(held) if each.rule != "secret-missing"]
    assert told == [(rule, "edge.enc.yaml")]
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key.file))
    (found,) = [each for each in _certificates(held.tree) if each.path.endswith("edge.enc.yaml")]
    assert (found.rule, found.severity) == (rule, Severity.error if days < 0 else Severity.warning)


def _certificates(tree: Tree) -> list[Any]:
    return findings(Subject(tree, ("dev",)), ["certificate-holds", "certificate-ends-soon"])


# --- without a key, by what is noted in the open --------------------------------------------------


def _noted(root: Path, **notes: str) -> Tree:
    tree = Tree(root)
    folder = root / "customization" / "secrets" / "dev"
    folder.mkdir(parents=True)
    metadata = {"name": "edge", "namespace": "dev", "annotations": notes}
    content = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": {}}
    (folder / "edge.enc.yaml").write_text(yaml.safe_dump(content))
    return tree


def _period(begins: float, ends: float) -> str:
    now = datetime.now(UTC)
    return "/".join(f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (begins, ends))


@pytest.mark.parametrize(
    ("notes", "rule", "says"),
    [
        ({HOLDS: _period(-9, -3)}, "certificate-holds", "Secret edge: its certificate ended on"),
        ({HOLDS: _period(3, 9)}, "certificate-holds", "Secret edge: its certificate is valid only from"),
        ({HOLDS: _period(-9, 9)}, "certificate-ends-soon", "Secret edge: its certificate ends on"),
        ({}, "certificate-ends-soon", "Secret edge: its certificate's expiry is not recorded"),
        ({HOLDS: "soon"}, "certificate-ends-soon", "Secret edge: its certificate's expiry is not recorded"),
    ],
)
def test_a_check_without_any_key_finds_it(notes: dict[str, str], rule: str, says: str, tmp_path: Path) -> None:
    (found,) = _certificates(_noted(tmp_path, **notes))
    assert found.rule == rule
    assert found.what.startswith(says)


def test_a_check_without_any_key_says_nothing_of_one_that_holds(tmp_path: Path) -> None:
    assert _certificates(_noted(tmp_path, **{HOLDS: _period(-9, 90), NAMES: "journeys.example"})) == []


@needs_kustomize
def test_a_certificate_that_is_not_for_its_listener_s_host_is_found(tmp_path: Path) -> None:
    tree = _noted(tmp_path, **{HOLDS: _period(-9, 90), NAMES: "drives.example,*.wild.example"})
    overlay = tmp_path / "customization/services/edge/overlays/dev"
    overlay.mkdir(parents=True)
    reference = [{"group": "", "kind": "Secret", "name": "edge"}]
    listeners = [
        {"name": name, "hostname": name, "port": 8443, "protocol": "HTTPS", "tls": {"certificateRefs": reference}}
        for name in ("drives.example", "a.wild.example", "journeys.example", "*.example")
    ]
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "edge"}}
    (overlay / "gateway.yaml").write_text(yaml.safe_dump({**gateway, "spec": {"listeners": listeners}}))
    (overlay / "kustomization.yaml").write_text("kind: Kustomization\nresources: [gateway.yaml]\n")
    (found,) = _certificates(tree)
    assert found.what.startswith("Secret edge: its certificate is not for journeys.example, only for drives.example")


@needs_kustomize
def test_an_authority_that_ended_is_found_in_a_config_map(tmp_path: Path) -> None:
    overlay = tmp_path / "customization/services/edge/overlays/dev"
    overlay.mkdir(parents=True)
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "trusted"}}
    data = {"bundle": Issued("ended", from_days=-9, to_days=-1).pem, "other": "x"}
    (overlay / "trusted.yaml").write_text(yaml.safe_dump({**held, "data": data}))
    (overlay / "kustomization.yaml").write_text("kind: Kustomization\nresources: [trusted.yaml]\n")
    (found,) = _certificates(Tree(tmp_path))
    assert found.what.startswith("ConfigMap trusted: bundle ended on")


# --- in the cluster -------------------------------------------------------------------------------


class Cluster:
    """Answers for a cluster's API server; what it does not have is refused."""

    def __init__(self, **listings: list[dict[str, Any]]) -> None:
        self.listings = listings

    def items(self, path: str) -> list[dict[str, Any]]:
        kind = path.rpartition("/")[2]
        if kind not in self.listings:
            raise ClusterUnavailable(f"GET {path}: forbidden", todo="check the cluster and its RBAC")
        return self.listings[kind]


def _secret(values: dict[str, str], kind: str = "kubernetes.io/tls") -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": "edge", "namespace": "dev"}, "type": kind, "data": data}


def _gateway(host: str = "journeys.example") -> dict[str, Any]:
    notes = {"argocd.argoproj.io/tracking-id": "edge-app-dev:gateway.networking.k8s.io/Gateway:dev/edge"}
    listener = {"hostname": host, "tls": {"certificateRefs": [{"name": "edge"}]}}
    return {"metadata": {"name": "edge", "annotations": notes}, "spec": {"listeners": [listener]}}


def _words(cluster: Cluster) -> tuple[str, ...]:
    shown = {"metadata": {"name": "edge-app-dev"}, "spec": {"destination": {"namespace": "dev"}}, "status": {}}
    shown["spec"]["syncPolicy"] = {"automated": {"selfHeal": True}}
    shown["status"] = {"sync": {"status": "Synced"}, "health": {"status": "Healthy"}}
    (found,) = rows(Seen([application(shown)], certificates=served_certificates(cluster, "dev")))
    return found.words


@pytest.mark.parametrize(("values", "hosts", "says"), GRAVE.values(), ids=GRAVE)
def test_the_status_says_what_is_wrong_with_a_certificate_that_is_served(
    values: dict[str, str], hosts: tuple[str, ...], says: str
) -> None:
    host = hosts[0] if hosts else "journeys.example"
    words = _words(Cluster(gateways=[_gateway(host)], secrets=[_secret(values, "Opaque")]))
    assert [each for each in words if re.match(f"certificate edge: .*{says}", each)]


def test_the_status_warns_of_one_that_ends_soon_and_says_nothing_of_a_good_one() -> None:
    soon = Issued("soon", to_days=20.5)
    held = {"tls.crt": soon.pem, "tls.key": soon.key_pem()}
    (word,) = _words(Cluster(gateways=[_gateway()], secrets=[_secret(held)]))
    assert word.startswith("certificate edge: tls.crt ends on")
    assert _words(Cluster(gateways=[_gateway()], secrets=[_secret(PAIR)])) == ()


def test_the_status_says_so_where_a_certificate_cannot_be_read_or_is_not_there() -> None:
    assert _words(Cluster(gateways=[_gateway()]))[0].startswith("the expiry of certificates cannot be read: GET")
    assert _words(Cluster(gateways=[_gateway()], secrets=[])) == ("certificate edge: there is no such Secret",)
    assert _words(Cluster()) == ()


# --- by an alarm ----------------------------------------------------------------------------------


def test_alarms_go_off_thirty_days_ahead_at_the_end_and_where_nothing_is_known() -> None:
    groups = yaml.safe_load((ROOT / "docs/runbooks/alerts.yaml").read_text("utf-8"))["groups"]
    rules = {each["alert"]: each for group in groups for each in group["rules"] if "Certificate" in each["alert"]}
    assert set(rules) == {"GatewayCertificateEndsSoon", "GatewayCertificateEnded", "GatewayCertificateUnknown"}
    newest = "max by (namespace, cn, sans) (traefik_tls_certs_not_after)"
    assert rules["GatewayCertificateEndsSoon"]["expr"] == f"{newest} - time() < 30 * 86400"
    assert rules["GatewayCertificateEnded"]["expr"] == f"{newest} - time() <= 0"
    for each in rules.values():
        assert (ROOT / "docs" / f"{each['annotations']['runbook']}.md").is_file()


@needs_kustomize
@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
def test_prometheus_reaches_the_metrics_that_the_alarms_are_about(environment: str, tmp_path: Path) -> None:
    from journeymesh.delivery.rendering import rendered_objects

    for folder in ("services", "components"):
        shutil.copytree(ROOT / "customization" / folder, tmp_path / folder)
    path = tmp_path / "services/gatewayapi/overlays" / environment / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    content.setdefault("components", []).append("../../../../components/gateway-monitor")
    path.write_text(yaml.safe_dump(content))
    held = {(each["kind"], each["metadata"]["name"]): each for each in rendered_objects(path.parent)}
    (container,) = held["Deployment", "gatewayapi"]["spec"]["template"]["spec"]["containers"]
    pods = held["Deployment", "gatewayapi"]["spec"]["template"]["metadata"]["labels"]
    service = held["Service", "gatewayapi-metrics"]
    monitor = held["ServiceMonitor", "gatewayapi"]["spec"]
    policy = held["NetworkPolicy", "gatewayapi-metrics"]["spec"]
    assert "--metrics.prometheus.entrypoint=traefik" in container["args"]
    assert {"name": "ping", "containerPort": 8082} in container["ports"]
    (port,) = service["spec"]["ports"]
    (rule,) = policy["ingress"]
    assert port["targetPort"] == rule["ports"][0]["port"] == "ping"
    assert service["spec"]["selector"].items() <= pods.items()
    assert policy["podSelector"]["matchLabels"].items() <= pods.items()
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == port["name"]


# --- on the command line --------------------------------------------------------------------------


@needs_sops
def test_the_command_line_refuses_and_takes_the_same(tmp_path: Path) -> None:
    held = _dev(tmp_path, age_key(tmp_path))
    ended = Issued("ended", from_days=-9, to_days=-1)
    files = {"crt": GOOD.pem, "key": GOOD.key_pem(), "ended.crt": ended.pem, "ended.key": ended.key_pem()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    common = ["--env", "dev", "--tree", str(held.tree.root), "--key-file", str(held.key_file)]
    runner = CliRunner()

    def run(*argv: str, given: str | None = None) -> Any:
        return runner.invoke(app, ["delivery", "secrets", *argv, *common], input=given)

    refused = run("set", "edge", "tls.crt", given=ended.pem)
    assert isinstance(refused.exception, CertificateRefused)
    pair = ("--certificate", str(tmp_path / "ended.crt"), "--key", str(tmp_path / "ended.key"))
    assert isinstance(run("certificate", "edge", *pair).exception, CertificateRefused)
    pair = ("--certificate", str(tmp_path / "crt"), "--key", str(tmp_path / "key"))
    wrong = run("certificate", "edge", *pair, "--host", "drives.example")
    assert isinstance(wrong.exception, CertificateRefused)
    assert run("certificate", "edge", *pair, "--host", "journeys.example").exit_code == 0
    assert held.values("edge") == {"tls.crt": GOOD.pem, "tls.key": GOOD.key_pem()}
