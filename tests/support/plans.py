"""Plans for tests."""

from journeymesh.strangler.plan import Gates, LegacySource, Plan, SlicePlan, TargetStore


def plan_of(*slices: SlicePlan, control: str = "sqlite:///control.db", gates: Gates | None = None) -> Plan:
    """A plan with these slices and two stores."""
    return Plan(
        version=1,
        control=control,
        legacy=LegacySource(source="mongodb://legacy/telematics", mapping="mapping.yaml"),
        stores={
            "embedded": TargetStore(url="sqlite:///journeys.db"),
            "central": TargetStore(url="postgresql://central/journeys"),
        },
        slices=slices,
        gates=gates or Gates(),
    )
