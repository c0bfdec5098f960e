"""The data contract of the product journeys."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
import yaml

from journeymesh.governance.contract import SHIPPED_CONTRACT, ContractInvalid, Contracts, load_contract
from journeymesh.governance.derivations import POSITIONS, TELLS
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.summaries import SUMMARY_SCHEMA
from journeymesh.services.journeyapi.schemas import LISTED_POLICIES

SHIPPED: dict[str, Any] = yaml.safe_load(SHIPPED_CONTRACT.read_text("utf-8"))


def test_the_shipped_contract_says_what_may_be_done_for_which_purpose() -> None:
    contract = load_contract()
    assert (contract.product, contract.version, contract.major) == (JOURNEYS, "1.2.0", 1)
    assert contract.approvers == ("domain:privacy",)
    claims, pricing = contract.purposes["claims-handling"], contract.purposes["pricing"]
    assert claims.rows.statuses == {"active", "lapsed", "cancelled"}
    assert pricing.rows.statuses == {"active"}
    assert {"start_lat_deg", "lat_deg"} <= pricing.mask
    assert contract.purposes["product-development"].minimum_group_size == 20
    assert contract.document["slaProperties"]


def test_the_shipped_contract_and_purposes_fit_each_other() -> None:
    contracts = Contracts([load_contract()], load_purposes())
    assert contracts.of(JOURNEYS) is not None
    assert contracts.of("other") is None
    assert contracts.knows("pricing")
    assert not contracts.knows("nonsense")


def test_every_shipped_purpose_that_masks_positions_hides_the_way_driven() -> None:
    masking = {name: held for name, held in load_contract().purposes.items() if held.mask & POSITIONS}
    assert set(masking) == {"pricing", "renewal-pricing", "product-development"}
    told = {field.name for field in FIX_SCHEMA} - {"vehicle"}
    for obligations in masking.values():
        assert told <= obligations.hidden


def test_every_field_that_tells_of_another_is_one_that_leaves() -> None:
    named = set(TELLS).union(*TELLS.values())
    leaves = {*JOURNEY_SCHEMA.names, *SUMMARY_SCHEMA.names, *FIX_SCHEMA.names, *LISTED_POLICIES.names, "peak_at"}
    assert named - leaves == set()


def test_for_collecting_journeys_nothing_is_read() -> None:
    contracts = Contracts([load_contract()], load_purposes())
    assert [name for name in contracts.purposes.by_id if not contracts.reads(name)] == ["journey-collection"]
    assert not contracts.reads("nonsense")


def test_the_shipped_contract_is_a_valid_odcs_document() -> None:
    package = pytest.importorskip("open_data_contract_standard", reason="open-data-contract-standard is not installed")
    schema = json.loads((resources.files(package) / "schema.json").read_text("utf-8"))
    faults = list(jsonschema.Draft201909Validator(schema).iter_errors(SHIPPED))
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []
    broken = {**SHIPPED, "roles": [{"access": "read"}]}
    assert list(jsonschema.Draft201909Validator(schema).iter_errors(broken)) != []


def _properties(fields: Any) -> list[tuple[str, str, bool, list[Any]]]:
    """Of Arrow fields what a contract says of them."""
    said = []
    for field in fields:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        names = {
            "string": pa.types.is_string,
            "number": pa.types.is_floating,
            "integer": pa.types.is_integer,
            "boolean": pa.types.is_boolean,
            "date": pa.types.is_date,
            "timestamp": pa.types.is_timestamp,
            "array": pa.types.is_list,
        }
        name = next(name for name, fits in names.items() if fits(kind))
        said.append((field.name, name, not field.nullable, _properties(kind.value_type) if name == "array" else []))
    return said


def _promised(properties: list[dict[str, Any]]) -> list[tuple[str, str, bool, list[Any]]]:
    return [
        (
            each["name"],
            each["logicalType"],
            each.get("required", False),
            _promised(each["items"]["properties"]) if "items" in each else [],
        )
        for each in properties
    ]


@pytest.mark.parametrize(
    ("table", "schema"), [("journeys", JOURNEY_SCHEMA), ("summaries", SUMMARY_SCHEMA), ("tracks", FIX_SCHEMA)]
)
def test_the_contract_promises_the_fields_that_there_are(table: str, schema: pa.Schema) -> None:
    (promised,) = (each for each in SHIPPED["schema"] if each["name"] == table)
    assert _promised(promised["properties"]) == _properties(schema)


def _written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "contract.yaml"
    path.write_text(yaml.safe_dump({**SHIPPED, **changes}))
    return path


def _custom(*purposes: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"property": "purposes", "value": list(purposes)}, *({"property": n, "value": v} for n, v in more.items())]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"version": "1.0"}, "version '1.0' is none: write MAJOR.MINOR.PATCH"),
        ({"apiVersion": "v2.2.2"}, "apiVersion: expected `str` matching regex"),
        ({"kind": "Contract"}, "kind: invalid enum value"),
        ({"dataProduct": ""}, "dataProduct: expected `str` of length >= 1"),
        ({"roles": []}, "roles has 0 called consumer"),
        ({"roles": [{"role": "consumer"}]}, "nobody approves purposes"),
        ({"roles": [{"role": "consumer", "firstLevelApprovers": "ann"}]}, "approver 'ann' is none"),
        (
            {"roles": [{"role": "consumer", "firstLevelApprovers": "domain:a", "secondLevelApprovers": "domain:b"}]},
            "there is one level of approval",
        ),
        ({"customProperties": _custom()}, "it allows no purpose"),
        ({"customProperties": []}, "it allows no purpose"),
        ({"customProperties": _custom({"purpose": "a"}, {"purpose": "a"})}, "purpose 'a' is there twice"),
        ({"customProperties": _custom({"purpose": "a", "mask": ["lat"]})}, "masks 'lat', which is not a property"),
        ({"customProperties": _custom({"purpose": "a", "masks": []})}, "unknown field `masks`"),
        ({"customProperties": _custom({"purpose": "a", "minimumGroupSize": 0})}, r"purposes\[0\].minimumGroupSize"),
        ({"customProperties": _custom({"purpose": "a"}, longestApprovalDays=0)}, "longestApprovalDays"),
        ({"customProperties": _custom({"purpose": "a"}) * 2}, "has purposes twice"),
    ],
)
def test_a_contract_that_cannot_be_used_is_refused_by_place(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ContractInvalid, match=told):
        load_contract(_written(tmp_path, **changes))


def test_approvers_are_people_and_domains(tmp_path: Path) -> None:
    roles = [{"role": "consumer", "firstLevelApprovers": "domain:privacy, keycloak:5f3b, static:ann@insurer.example"}]
    contract = load_contract(_written(tmp_path, roles=roles))
    assert contract.approvers == ("domain:privacy", "keycloak:5f3b", "static:ann@insurer.example")


def test_a_purpose_that_there_is_not_cannot_be_allowed(tmp_path: Path) -> None:
    contract = load_contract(_written(tmp_path, customProperties=_custom({"purpose": "marketing"})))
    with pytest.raises(ContractInvalid, match="purpose 'marketing' is not among the purposes"):
        Contracts([contract], load_purposes())
    with pytest.raises(ContractInvalid, match="product journeys has two contracts"):
        Contracts([load_contract(), load_contract()], load_purposes())
