"""What the pages about decisions say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from journeymesh.access.cedar import CedarFile, CedarInvalid, CedarPolicies, shipped_files
from journeymesh.access.reasons import REASONS
from journeymesh.wire.identity import Reason

DOCS = Path(__file__).parents[3] / "docs"
EXPLANATION = (DOCS / "explanation" / "decisions.md").read_text("utf-8")
HOW_TO = (DOCS / "how-to" / "add-a-cedar-policy.md").read_text("utf-8")


def test_every_shipped_policy_is_in_the_table_with_its_effect() -> None:
    text = "".join(file.text for file in shipped_files())
    effects = dict(re.findall(r'@id\("([\w-]+)"\)\n(permit|forbid)', text))
    told = dict(re.findall(r"^\| `([\w-]+)` \| (permit|forbid) \|", EXPLANATION, re.MULTILINE))
    assert told == effects
    assert set(effects) == set(CedarPolicies.of(shipped_files()).ids)


def test_every_reason_has_words_and_its_place_among_the_guards() -> None:
    assert set(REASONS) == set(Reason)
    guards = set(re.findall(r"\| `(\w+)` \|$", EXPLANATION, re.MULTILINE))
    assert guards == {reason.value for reason in Reason} - {Reason.ALLOWED, Reason.FAULT}


def test_the_policies_that_are_shown_can_be_used_together_with_the_shipped_ones() -> None:
    shown = re.findall(r"```cedar\n(.*?)```", HOW_TO, re.DOTALL)
    assert len(shown) >= 3
    CedarPolicies.of([*shipped_files(), *(CedarFile(f"{n}.cedar", text) for n, text in enumerate(shown))])


def test_the_refusal_that_is_shown_is_what_is_said() -> None:
    wrong = '@id("no-tracks-for-pricing") forbid (principal, action == Action::"tracks:read", resource)'
    file = CedarFile("cedar/tracks.cedar", f'{wrong} when {{ context.purpose == "pricing" }};')
    with pytest.raises(CedarInvalid) as refused:
        CedarPolicies.of([*shipped_files(), file])
    assert f"error: {refused.value}" in HOW_TO
