"""Cedar policies: the shipped ones, an operator's own, what is refused at loading, and what is remembered."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from journeymesh.access.cedar import (
    CedarFault,
    CedarFile,
    CedarInvalid,
    CedarPolicies,
    Question,
    files_in,
    shipped_files,
    shipped_schema,
)
from journeymesh.identity.capabilities import CAPABILITIES

READ = Question(
    capability="journeys:read",
    provider="keycloak",
    subject="ana",
    tenant="north",
    domains=frozenset({"pricing"}),
    product="journeys",
    about_tenant="north",
    policy=("P-1", "car", "active"),
    purpose="pricing",
    approval=("pricing", "north", "pricing"),
)


def own(text: str) -> CedarPolicies:
    """The shipped policies and an operator's file."""
    return CedarPolicies.of([*shipped_files(), CedarFile("own.cedar", text)])


def test_the_schema_declares_every_capability_and_no_other_in_the_group_that_it_belongs_to() -> None:
    declared = {
        name: group
        for names, group in re.findall(r'action ([^;{]*?) in \["(\w+)"\]', shipped_schema())
        for name in re.findall(r'"([^"]+)"', names)
    }
    assert declared == {each.name: "personal" if each.personal else "open" for each in CAPABILITIES}


def test_an_operators_forbid_wins_over_what_is_shipped() -> None:
    policies = own(
        '@id("no-tracks-for-pricing") forbid (principal, action == Action::"tracks:read", resource)'
        ' when { principal.domains.contains("pricing") };'
    )
    assert policies.judge(READ).allowed
    verdict = policies.judge(replace(READ, capability="tracks:read"))
    assert (verdict.allowed, verdict.determining) == (False, ("no-tracks-for-pricing",))


def test_an_operators_permit_does_not_open_a_fence() -> None:
    policies = own('@id("everything") permit (principal, action, resource);')
    assert not policies.judge(replace(READ, about_tenant="south")).allowed
    assert not policies.judge(replace(READ, purpose=None, approval=None)).allowed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("permit (principal, action", "own.cedar: "),
        ("permit (principal, action, resource);", "own.cedar: policy 1 has no @id"),
        ('@id("a") permit (principal, action, resource) when { principal.age == 3 };', '@id("a"): '),
        ('@id("a") permit (principal, action in Action::"persnal", resource);', '@id("a"): '),
        ('@id("a") forbid (principal, action, resource) when { context.purpose == "x" };', '@id("a"): '),
        ('@id("a") permit (principal == ?principal, action, resource);', "a template"),
        ('@id("tenant-fence") permit (principal, action, resource);', "is in fences.cedar already"),
        ('@id("a") permit (principal, action, resource);@id("a") permit (principal, action, resource);', "given twice"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_at_loading_with_its_file_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(CedarInvalid) as refused:
        own(text)
    assert refused.value.what.startswith("own.cedar")
    assert said in refused.value.what
    assert refused.value.todo
    assert "\n" not in str(refused.value)


def test_files_are_read_from_a_folder_by_name_and_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.cedar").write_text('@id("b") permit (principal, action, resource);')
    (tmp_path / "a.cedar").write_text('@id("a") permit (principal, action, resource);')
    (tmp_path / "notes.txt").write_text("not a policy")
    assert [Path(each.name).name for each in files_in(tmp_path)] == ["a.cedar", "b.cedar"]
    with pytest.raises(CedarInvalid, match="is not a folder"):
        files_in(tmp_path / "absent")
    (tmp_path / "c.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(CedarInvalid, match="cannot be read"):
        files_in(tmp_path)


def test_two_sets_of_policies_that_differ_have_different_versions() -> None:
    assert CedarPolicies.of(shipped_files()).version == CedarPolicies.of(shipped_files()).version
    assert own('@id("a") permit (principal, action, resource);').version != CedarPolicies.of(shipped_files()).version


def test_an_action_that_the_schema_does_not_have_is_a_fault_and_no_answer() -> None:
    with pytest.raises(CedarFault):
        CedarPolicies.of(shipped_files()).judge(replace(READ, capability="journeys:delete"))


def test_an_error_in_the_diagnostics_is_a_fault_even_where_the_engine_allows() -> None:
    policies = own(
        '@id("err") forbid (principal, action, resource) when { principal.domains.contains("pricing")'
        " && 9223372036854775807 + 1 == 0 };"
    )
    with pytest.raises(CedarFault, match="no answer that counts"):
        policies.judge(READ)
    elsewhere = replace(READ, domains=frozenset({"claims"}), approval=("pricing", "north", "claims"))
    assert policies.judge(elsewhere).allowed


def test_odd_characters_are_no_way_out_of_an_id() -> None:
    policies = CedarPolicies.of(shipped_files())
    for text in ('"', "\\", '"}, {"uid"', "\n", "\u202e", "Ω", ""):
        odd = replace(READ, subject=text, policy=(text, text, text), tenant=text, about_tenant=text + "x")
        assert not policies.judge(odd).allowed
        assert policies.judge(replace(odd, about_tenant=text, approval=("pricing", text, "pricing"))).allowed


def test_a_remembered_verdict_is_exact_also_where_policies_name_single_identities_and_policies() -> None:
    text = (
        '@id("hold") forbid (principal, action, resource == Policy::"P-1");'
        '@id("not-eve") forbid (principal == Identity::"keycloak:eve", action, resource);'
    )
    text += '@id("nameless") forbid (principal, action, resource == Policy::"");'
    remembering, forgetful = own(text), CedarPolicies.of([*shipped_files(), CedarFile("own.cedar", text)], kept=0)
    for subject in ("ana", "eve", "ana"):
        for number in ("P-1", "P-2", "", "P-3", "P-1"):
            question = replace(READ, subject=subject, policy=(number, "car", "active"))
            assert remembering.judge(question) == forgetful.judge(question)


def test_what_no_policy_names_is_not_part_of_what_is_remembered() -> None:
    policies = CedarPolicies.of(shipped_files())
    for number in range(50):
        policies.judge(replace(READ, subject=f"s{number}", policy=(f"P-{number}", "car", "active")))
    assert policies.remembered == 1


def test_remembered_verdicts_are_bounded_and_the_one_unused_for_longest_goes_first() -> None:
    policies = CedarPolicies.of(shipped_files(), kept=2)
    for purpose in ("a", "b", "a", "c"):
        policies.judge(replace(READ, purpose=purpose))
    assert policies.remembered == 2


def test_a_text_of_the_callers_own_cannot_fill_the_memory() -> None:
    policies = CedarPolicies.of(shipped_files())
    assert not policies.judge(replace(READ, policy=None, about_tenant="n" * 1_000_000)).allowed
    assert policies.remembered == 0


def test_no_fault_is_remembered() -> None:
    policies = CedarPolicies.of(shipped_files())
    with pytest.raises(CedarFault):
        policies.judge(replace(READ, capability="no:such"))
    assert policies.remembered == 0


def test_threads_that_ask_at_once_get_what_each_alone_would_get() -> None:
    policies, alone = CedarPolicies.of(shipped_files(), kept=2), CedarPolicies.of(shipped_files(), kept=0)
    questions = [replace(READ, about_tenant=tenant, purpose=purpose) for tenant in ("north", "south")
                 for purpose in ("pricing", "other", None)] * 20  # fmt: skip
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(policies.judge, questions)) == [alone.judge(each) for each in questions]
    assert policies.remembered <= 2
