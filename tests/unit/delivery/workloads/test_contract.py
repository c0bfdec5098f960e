"""The stub of a workload's data contract."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from journeymesh.governance.contract import Contracts, load_contract
from journeymesh.governance.purposes import load_purposes
from tests.support.trees import a_tree, begun


def test_the_stub_is_a_contract_that_governance_reads(tmp_path: Path) -> None:
    contract = load_contract(begun(a_tree(tmp_path)) / "contract.odcs.yaml")
    assert (contract.product, contract.version) == ("hello", "0.1.0")
    assert Contracts([contract], load_purposes()).of("hello") is contract
    assert contract.document["status"] == "draft", "nobody has promised anything yet"


def test_the_stub_is_a_valid_odcs_document(tmp_path: Path) -> None:
    package = pytest.importorskip("open_data_contract_standard", reason="open-data-contract-standard is not installed")
    schema = json.loads((resources.files(package) / "schema.json").read_text("utf-8"))
    stub = yaml.safe_load((begun(a_tree(tmp_path)) / "contract.odcs.yaml").read_text("utf-8"))
    faults = list(jsonschema.Draft201909Validator(schema).iter_errors(stub))
    assert [f"{fault.json_path}: {fault.message}" for fault in faults] == []
