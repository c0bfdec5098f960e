"""The stub of a workload's data contract: a valid document that says what its owner still has to say."""

from __future__ import annotations

from typing import Final

from journeymesh.delivery.workloads.score import Workload
from journeymesh.delivery.workloads.yaml_text import yaml_text

CONTRACT_FILE: Final = "contract.odcs.yaml"
_HEAD: Final = """\
# The data contract of {name}, an Open Data Contract Standard document (https://bitol.io). Begun by
# `journeymesh workload new` and yours from there: nothing writes over it. It is a draft until it names its owner, what
# its answers hold and for which purposes they may be used.
"""


def contract_stub(workload: Workload) -> str:
    """The contract as it is begun."""
    name = workload.name
    return _HEAD.format(name=name) + yaml_text(
        {
            "apiVersion": "v3.1.0",
            "kind": "DataContract",
            "id": f"workload-{name}",
            "name": name,
            "version": "0.1.0",
            "status": "draft",
            "domain": "platform",
            "dataProduct": name,
            "tags": ["workload"],
            "description": {
                "purpose": f"What {name} answers.",
                "usage": f"Through the gateway, under /w/{name}/.",
                "limitations": "A draft: its owner has made no commitments yet.",
            },
            "roles": [
                {
                    "role": "consumer",
                    "description": "Uses the product for one approved purpose.",
                    "access": "read",
                    "firstLevelApprovers": "domain:privacy",
                }
            ],
            "schema": [
                {
                    "name": "answer",
                    "logicalType": "object",
                    "dataGranularityDescription": f"One answer of {workload.answers}.",
                    "properties": [{"name": "name", "logicalType": "string", "required": True}],
                }
            ],
            "customProperties": [
                {"property": "longestApprovalDays", "value": 365},
                {"property": "purposes", "value": [{"purpose": "service-provision", "policyStatuses": ["active"]}]},
            ],
        }
    )
