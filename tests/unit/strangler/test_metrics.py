"""The move as metrics: unknown lag has no sample, and nobody's policy or vehicle is in a label."""

from prometheus_client import generate_latest

from journeymesh.errors import StoreUnavailable
from journeymesh.strangler.metrics import StranglerMetrics, registry_of
from journeymesh.strangler.status import BackfillStatus, FeedStatus, SliceStatus

SLICE = SliceStatus(
    slice="pilot", phase="shadow", planned="shadow", since_s=5.0, answering="legacy", source="legacy",
    target="embedded", upstream="legacy", policies=7, complete=False, detail=None, lag_state="running", lag_s=0.5,
    backfill=BackfillStatus(
        state="running", vehicles=10, vehicles_done=4, fixes=100, fixes_per_s=10.0, throttled_s=0.0, eta_s=3.0
    ),
    shadow_reads={"equal": 41, "explained": 1}, shadow_coverage=0.5, open_mismatches=2, writes_waiting=0,
    third_opinions=(),
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
        'journeymesh_strangler_gates_closed{slice="pilot"} 2.0',
        'journeymesh_strangler_backfill_vehicles_done{slice="pilot"} 4.0',
        'journeymesh_strangler_shadow_reads_total{outcome="equal",slice="pilot"} 41.0',
        'journeymesh_strangler_lag_seconds{target="embedded",upstream="legacy"} 0.5',
        'journeymesh_strangler_feed_state{state="running",target="embedded",upstream="legacy"} 1.0',
        'journeymesh_strangler_events_total{target="embedded",upstream="legacy"} 12.0',
    ):
        assert line in lines


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
