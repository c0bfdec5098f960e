"""Policies out of the legacy's own documents, as the mapping's ``policies`` section says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from journeymesh.sources.bson_values import canonical, decoded, document_id, has_id, id_text, raw_json
from journeymesh.sources.mapping import PolicyMappings
from journeymesh.sources.policy_reading import PolicyInput, UsablePolicies, mapped_policies
from journeymesh.sources.row_keys import RowKeys


def policies_of(documents: Iterable[bytes | dict[str, Any]], mapping: PolicyMappings) -> UsablePolicies:
    """The policies in these documents, decoded ones or BSON, by number. One whose BSON cannot be decoded is refused."""
    return mapped_policies(_inputs(documents, mapping.collection), mapping)


def _inputs(documents: Iterable[bytes | dict[str, Any]], collection: str) -> Iterator[PolicyInput]:
    keys = RowKeys(collection)
    for at, given in enumerate(documents, 1):
        document = decoded(given) if isinstance(given, bytes) else given
        if document is None:
            assert isinstance(given, bytes)
            key = None if has_id(given) else keys.key(given, at)
            yield PolicyInput(None, document_id(given, collection, at), raw_json(given), key)
            continue
        content = canonical(document)
        if (identity := document.get("_id")) is not None:
            yield PolicyInput(document, f"{collection}/{id_text(identity)}", content)
        else:
            yield PolicyInput(document, f"{collection}:{at}", content, keys.key((content or "").encode(), at))
