"""The tree of purposes."""

from pathlib import Path

import pytest

from journeymesh.governance.purposes import PurposesInvalid, load_purposes


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "purposes.yaml"
    path.write_text(text)
    return path


def test_the_shipped_purposes_are_a_tree_with_dpv_iris() -> None:
    purposes = load_purposes()
    assert "claims-handling" in purposes
    assert "nonsense" not in purposes
    assert purposes.by_id["claims-handling"].broader == "service-provision"
    assert [each.id for each in purposes.narrower("pricing")] == ["renewal-pricing"]
    assert all(str(each.dpv).startswith("https://w3id.org/dpv#") for each in purposes)
    above = [each.broader for each in purposes]
    order = [each.id for each in purposes]
    assert all(order.index(broader) < number for number, broader in enumerate(above) if broader)
    assert len(purposes) == len(order) == 9


def test_a_tree_can_be_as_deep_as_it_has_to_be(tmp_path: Path) -> None:
    text = """
version: 1
purposes:
  - {id: a, title: A, description: a, narrower: [
      {id: b, title: B, description: b, narrower: [{id: c, title: C, description: c}]}]}
"""
    purposes = load_purposes(_file(tmp_path, text))
    assert [(each.id, each.broader) for each in purposes] == [("a", None), ("b", "a"), ("c", "b")]


@pytest.mark.parametrize(
    ("purposes", "told"),
    [
        ("[]", "there are none"),
        ("[{id: A, title: A, description: a}]", "'A' is not a valid id: use small letters"),
        ("[{id: a--b, title: A, description: a}]", "'a--b' is not a valid id"),
        ("[{id: a, title: ' ', description: a}]", "'a' has no title"),
        ("[{id: a, title: A, description: a}, {id: a, title: A, description: a}]", "'a' is there twice"),
        ("[{id: a, title: A, description: a, dpv: marketing}]", "dpv 'marketing' is not an IRI"),
        ("[{id: a, title: A}]", r"purposes\[0\]: object missing required field `description`"),
        ("[{id: a, title: A, description: a, parent: b}]", "unknown field `parent`"),
        ("[{id: a, title: A, description: a, narrower: [{id: a, title: A, description: a}]}]", "'a' is there twice"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_place(tmp_path: Path, purposes: str, told: str) -> None:
    with pytest.raises(PurposesInvalid, match=told):
        load_purposes(_file(tmp_path, f"version: 1\npurposes: {purposes}"))


def test_a_purpose_may_be_read_for_unless_it_says_otherwise(tmp_path: Path) -> None:
    text = "[{id: a, title: A, description: a, reads: false, narrower: [{id: b, title: B, description: b}]}]"
    purposes = load_purposes(_file(tmp_path, f"version: 1\npurposes: {text}"))
    assert [(each.id, each.reads) for each in purposes] == [("a", False), ("b", True)]


def test_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PurposesInvalid, match="version 2: this journeymesh reads version 1"):
        load_purposes(_file(tmp_path, "version: 2\npurposes: []"))
