"""Policies out of the legacy's own documents, as the mapping's ``policies`` section says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from journeymesh.sources.bson_values import canonical, id_text
from journeymesh.sources.mapping import PolicyMappings
from journeymesh.sources.policy_reading import PolicyInput, UsablePolicies, mapped_policies
from journeymesh.sources.row_keys import RowKeys


def policies_of(documents: Iterable[dict[str, Any]], mapping: PolicyMappings) -> UsablePolicies:
    """The policies in these decoded documents, by number."""
    return mapped_policies(_inputs(documents, mapping.collection), mapping)


def _inputs(documents: Iterable[dict[str, Any]], collection: str) -> Iterator[PolicyInput]:
    keys = RowKeys(collection)
    for at, document in enumerate(documents, 1):
        content = canonical(document)
        if (identity := document.get("_id")) is not None:
            yield PolicyInput(document, f"{collection}/{id_text(identity)}", content)
        else:
            yield PolicyInput(document, f"{collection}:{at}", content, keys.key((content or "").encode(), at))
