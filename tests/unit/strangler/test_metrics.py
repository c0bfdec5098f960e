"""The move as metrics: unknown lag has no sample, and nobody's policy or vehicle is in a label."""

import re
from pathlib import Path

import yaml
from prometheus_client import generate_latest

from journeymesh.errors import StoreUnavailable
from journeymesh.strangler.metrics import StranglerMetrics, registry_of
from journeymesh.strangler.refusals import Refusals
from journeymesh.strangler.status import BackfillStatus, FeedStatus, SliceStatus

ROOT = Path(__file__).parents[3]
SLICE = SliceStatus(
    slice="pilot", phase="shadow", planned="shadow", since_s=5.0, answering="legacy", source="legacy",
    target="embedded", upstream="legacy", policies=7, unusable_policies=None, complete=False, detail=None,
    foreign_runs=("a1",), other_clients=None,
    lag_state="running", lag_s=0.5,
    backfill=BackfillStatus(
        state="running", vehicles=10, vehicles_done=4, fixes=100, fixes_per_s=10.0, throttled_s=0.0, eta_s=3.0
    ),
    shadow_reads={"equal": 41, "explained": 1}, shadow_coverage=0.5, open_mismatches=2, writes_waiting=0,
    third_opinions=(),
    refusals=Refusals(
        documents=1_000, refused=52, window_s=60.0, window_documents=100, window_refused=41, share_before=0.012,
        question="cause", accepted=None,
    ),
    next="target_with_reverse_shadow", closed_gates=("a", "b"),
)  # fmt: skip
FEED = FeedStatus(
    upstream="legacy", target="embedded", state="running", lag_s=0.5, events=12, owner="host/1/2/x", fault=None
)


def text_of(metrics: StranglerMetrics) -> list[str]:
    lines = generate_latest(registry_of(metrics)).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_slices_and_feeds_are_told() -> None:
    lines = text_of(StranglerMetrics(lambda: [SLICE], lambda: [FEED]))
    for line in (
        "journeymesh_strangler_control_up 1.0",
        'journeymesh_strangler_slice_phase{phase="shadow",slice="pilot"} 1.0',
        'journeymesh_strangler_slice_phase{phase="target",slice="pilot"} 0.0',
        'journeymesh_strangler_target_complete{slice="pilot"} 0.0',
        'journeymesh_strangler_open_mismatches{slice="pilot"} 2.0',
        'journeymesh_strangler_documents_read{slice="pilot"} 1000.0',
        'journeymesh_strangler_documents_refused{slice="pilot"} 52.0',
        'journeymesh_strangler_window_documents_read{slice="pilot"} 100.0',
        'journeymesh_strangler_window_documents_refused{slice="pilot"} 41.0',
        'journeymesh_strangler_refused_before_ratio{slice="pilot"} 0.012',
        'journeymesh_strangler_refusals_questioned{slice="pilot"} 1.0',
        'journeymesh_strangler_gates_closed{slice="pilot"} 2.0',
        'journeymesh_strangler_backfill_vehicles_done{slice="pilot"} 4.0',
        'journeymesh_strangler_shadow_reads_total{outcome="equal",slice="pilot"} 41.0',
        'journeymesh_strangler_lag_seconds{target="embedded",upstream="legacy"} 0.5',
        'journeymesh_strangler_feed_state{state="running",target="embedded",upstream="legacy"} 1.0',
        'journeymesh_strangler_events_total{target="embedded",upstream="legacy"} 12.0',
    ):
        assert line in lines


def test_every_metric_that_an_alarm_asks_about_is_told() -> None:
    groups = yaml.safe_load((ROOT / "docs/runbooks/alerts.yaml").read_text("utf-8"))["groups"]
    (rules,) = (group["rules"] for group in groups if group["name"] == "journeymesh-strangler")
    asked = {name for rule in rules for name in re.findall(r"journeymesh_strangler_\w+", rule["expr"])}
    lines = text_of(StranglerMetrics(lambda: [SLICE], lambda: [FEED]))
    assert asked <= {re.split(r"[{ ]", line)[0] for line in lines}
    for rule in rules:
        assert (ROOT / "docs" / f"{rule['annotations']['runbook']}.md").is_file()


def test_an_unknown_lag_is_absent() -> None:
    unknown = FeedStatus(
        upstream="legacy", target="embedded", state="never_started", lag_s=None, events=0, owner=None, fault=None
    )
    lines = text_of(StranglerMetrics(list, lambda: [unknown]))
    assert not any("lag_seconds" in line for line in lines)
    assert any('state="never_started"' in line for line in lines)


def test_an_unreadable_control_database_is_told_by_itself() -> None:
    def unreadable() -> list[SliceStatus]:
        raise StoreUnavailable("gone", todo="bring it back")

    assert text_of(StranglerMetrics(unreadable, list)) == ["journeymesh_strangler_control_up 0.0"]
