"""What a plan file may say, and how it is refused."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from journeymesh.strangler.plan import PlanInvalid, load_plan, plan_schema, with_phases, with_swap
from journeymesh.strangler.slices import Phase

PLAN = """
version: 1
control: sqlite:///control.db
legacy: {source: "${LEGACY_URL}", mapping: mappings/blackbox.yaml, rules: rules/ours.yaml}
stores:
  embedded: {url: "sqlite:///journeys.db"}
  central: {url: "postgresql://central/journeys", keep_fixes: 400d}
slices:
  - {name: pilot, policies: {hash_percent: [0, 10]}, target: embedded, phase: shadow}
  - {name: rest, policies: {hash_percent: [10, 100]}, target: embedded, phase: legacy}
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEGACY_URL", "mongodb://user:secret@legacy/telematics")
    return tmp_path / "plan.yaml"


def test_a_plan_is_read_with_its_variables_and_with_paths_beside_it(path: Path) -> None:
    path.write_text(PLAN)
    plan = load_plan(path)
    assert plan.legacy.source == "mongodb://user:secret@legacy/telematics"
    assert plan.legacy.mapping == str(path.parent / "mappings/blackbox.yaml")
    assert plan.legacy.rules == str(path.parent / "rules/ours.yaml")
    assert plan.stores["embedded"].url == f"sqlite:///{path.parent}/journeys.db"
    assert plan.control == f"sqlite:///{path.parent}/control.db"
    assert plan.stores["central"].url == "postgresql://central/journeys"
    assert plan.slice("pilot").phase is Phase.SHADOW


def test_the_schema_holds_for_the_plan(path: Path) -> None:
    schema = plan_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(PLAN), schema)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("phase: shadow", "phase: shadows", r"slices\[0\].phase.*invalid enum value 'shadows'"),
        (
            "target: embedded, phase: shadow",
            "target: nowhere, phase: shadow",
            "target 'nowhere' is not one of the stores",
        ),
        ("name: rest", "name: pilot", "'pilot' is defined twice"),
        ("name: pilot", "name: Pilot Slice", "'Pilot Slice': invalid name"),
        ("[0, 10]", "[10, 0]", "not a range within 0 and 100"),
        ("hash_percent: [0, 10]", "numbers: []", "numbers is empty"),
        ("hash_percent: [0, 10]", "brand: x", "unknown field `brand`"),
        ("  embedded:", "  legacy:", "'legacy' is the name of the legacy side"),
        ("${LEGACY_URL}", "${NO_SUCH_VARIABLE}", "the environment has no NO_SUCH_VARIABLE"),
        ("version: 1", "version: 2", "version"),
        ("phase: legacy}", "phase: legacy, source: embedded}", "source and target are both 'embedded'"),
        ("slices:", "gates: {shadow_coverage: 7}\nslices:", "gates.shadow_coverage is 7"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_place(path: Path, old: str, new: str, told: str) -> None:
    assert old in PLAN
    path.write_text(PLAN.replace(old, new, 1))
    with pytest.raises(PlanInvalid, match=told):
        load_plan(path)


def test_a_plan_that_is_no_file_no_yaml_or_no_mapping_is_refused(path: Path) -> None:
    with pytest.raises(PlanInvalid, match="does not exist"):
        load_plan(path)
    path.write_text("a: [")
    with pytest.raises(PlanInvalid, match="not YAML"):
        load_plan(path)
    path.write_text("- a list")
    with pytest.raises(PlanInvalid, match="expected `object`"):
        load_plan(path)


def test_an_operator_may_ask_for_another_phase_or_store(path: Path) -> None:
    path.write_text(PLAN)
    plan = load_plan(path)
    assert with_phases(plan, {"pilot": "legacy"}).slice("pilot").phase is Phase.LEGACY
    swapped = with_swap(plan, "pilot", "central").slice("pilot")
    assert (swapped.source, swapped.target, swapped.phase) == ("embedded", "central", Phase.SHADOW)
    with pytest.raises(PlanInvalid, match="no slice 'other'"):
        with_phases(plan, {"other": "legacy"})
    with pytest.raises(PlanInvalid, match="no phase 'gone'"):
        with_phases(plan, {"pilot": "gone"})
    with pytest.raises(PlanInvalid, match="no store 'lake'"):
        with_swap(plan, "pilot", "lake")


def test_the_example_is_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGACY_URL", "mongodb://legacy/telematics")
    plan = load_plan(Path(__file__).parents[3] / "examples/plans/plan.yaml")
    assert [each.phase for each in plan.slices] == [Phase.SHADOW, Phase.LEGACY]
