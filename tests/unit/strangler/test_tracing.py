"""What is told to OpenTelemetry: who answered which slice, and no policy, vehicle or position."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from journeymesh.journeys.policies import Policy
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler import tracing
from journeymesh.strangler.door import Door, PolicyRouting
from journeymesh.strangler.journey_index import JourneyIndex, Locator
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.routes import Route, Routes
from journeymesh.strangler.slices import Phase, Selector, Slice

POLICY = Policy(number="SECRET-1", valid_from=datetime(2024, 1, 1, tzinfo=UTC), device="SECRET-V")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_TRACER", trace.get_tracer("test", tracer_provider=provider))
    yield exporter
    provider.shutdown()


def test_an_answer_has_a_span_that_names_slice_side_and_phase_and_nobody(spans: InMemorySpanExporter) -> None:
    store = MemoryStore()
    store.migrate()
    route = Route(Slice("pilot", Selector()), "legacy", "embedded", "legacy", Phase.TARGET, True, None, 1)
    door = Door(
        routing=PolicyRouting(SimpleNamespace(now=lambda: Routes(1, (route,)))),  # type: ignore[arg-type]
        sides=lambda name: store,
        policy_book=PolicyBook(lambda: [POLICY]),
        locator=Locator(JourneyIndex(), lambda: []),
    )
    door.journeys(JourneyQuery(policy="SECRET-1"))
    [told] = spans.get_finished_spans()
    assert told.name == "journeymesh.strangler.ask"
    assert dict(told.attributes or {}) == {
        "journeymesh.what": "journeys",
        "journeymesh.side": "embedded",
        "journeymesh.slice": "pilot",
        "journeymesh.phase": "target",
    }
    assert "SECRET" not in told.to_json()
