"""The Cedar policies: parsed and validated once, asked with the schema every time.

Cedar skips a policy that errs, so that a ``forbid`` over an absent attribute would open the door: what counts is the
engine's Allow with no error in its diagnostics, and anything else that is no plain answer is a fault.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from journeymesh.errors import ExtraMissing, UsageError
from journeymesh.lru import LruCache

if TYPE_CHECKING:
    import cedarpy

SCHEMA_FILE: Final = "schema.cedarschema"
KEPT_VERDICTS: Final = 16_384
"""Verdicts remembered at most; the one unused for longest goes first. About 1.4 kB each."""

LONGEST_KEPT_TENANT: Final = 100
"""A longer tenant is not remembered: it is the one text in a question that a caller can choose at will."""


class CedarInvalid(UsageError):
    """A Cedar policy cannot be used."""


class CedarFault(Exception):
    """Cedar gave no answer that counts. ``what`` is Cedar's own words."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__("Cedar gave no answer that counts")


class Question(msgspec.Struct, frozen=True):
    """All that Cedar is told. Equal questions have equal answers: nothing else, such as the time, plays a part.

    ``policy`` is (number, insurance product, status); None: the question is about the product as a whole.
    ``approval`` is (purpose, tenant, domain). ``reads``: whether anything may be read for the purpose.
    """

    capability: str
    provider: str
    subject: str
    tenant: str
    domains: frozenset[str]
    product: str
    about_tenant: str
    policy: tuple[str, str, str] | None = None
    purpose: str | None = None
    approval: tuple[str, str, str] | None = None
    statuses: frozenset[str] | None = None
    reads: bool = True


@dataclass(frozen=True, slots=True)
class CedarVerdict:
    """Cedar's answer: ``determining`` are the ids of the policies that it followed from, in order; none where nothing
    permits."""

    allowed: bool
    determining: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CedarFile:
    """The text of a file of policies, with the name that errors give."""

    name: str
    text: str


def shipped_schema() -> str:
    """The schema that every policy is held to."""
    return (resources.files("journeymesh.access") / "policies" / SCHEMA_FILE).read_text("utf-8")


def shipped_files() -> list[CedarFile]:
    """The policies that Journeymesh comes with."""
    folder = resources.files("journeymesh.access") / "policies"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".cedar")), key=lambda each: each.name)
    return [CedarFile(each.name, each.read_text("utf-8")) for each in found]


def files_in(folder: Path) -> list[CedarFile]:
    """An operator's ``.cedar`` files, by name.

    Raises:
        CedarInvalid: the folder or a file of it cannot be read.
    """
    if not folder.is_dir():
        raise CedarInvalid(f"{folder} is not a folder", todo="name the folder that holds the .cedar files")
    try:
        return [CedarFile(str(each), each.read_text("utf-8")) for each in sorted(folder.glob("*.cedar"))]
    except (OSError, UnicodeDecodeError) as error:
        todo = "correct their rights, and that they are UTF-8"
        raise CedarInvalid(f"{folder}: its Cedar policies cannot be read", todo=todo) from error


@dataclass(slots=True)
class CedarPolicies:
    """Policies and schema, ready to be asked. Safe for several threads.

    ``version`` differs wherever the policies or the schema do.
    ``kept`` bounds how many verdicts are remembered, by the value of the question; 0: none.
    """

    ids: tuple[str, ...]
    version: str
    _policies: cedarpy.PolicySet
    _schema: cedarpy.Schema
    _named_identities: frozenset[str]
    _named_policies: frozenset[str]
    kept: int = KEPT_VERDICTS
    _verdicts: LruCache[Hashable, CedarVerdict] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._verdicts = LruCache(self.kept)

    @classmethod
    def of(cls, files: Iterable[CedarFile], schema: str | None = None, *, kept: int = KEPT_VERDICTS) -> CedarPolicies:
        """Parse the policies and hold them to the schema (None: the shipped one).

        Raises:
            CedarInvalid: naming the file and the policy, and what to do. ExtraMissing: cedarpy is not installed.
        """
        engine = _engine()
        text = shipped_schema() if schema is None else schema
        try:
            parsed_schema = engine.Schema.from_str(text)
        except ValueError as error:
            raise CedarInvalid(f"the Cedar schema: {_one_line(error)}", todo="correct the schema") from error
        held: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for file in files:
            for name, policy in _policies_of(file, parsed_schema).items():
                if name in origins:
                    raise CedarInvalid(
                        f'{file.name}: the policy @id("{name}") is in {origins[name]} already',
                        todo="give it another id",
                    )
                held[name], origins[name] = policy, file.name
        document = json.dumps({"templates": {}, "staticPolicies": held, "templateLinks": []})
        return cls(
            tuple(held),
            hashlib.blake2b((text + document).encode(), digest_size=12).hexdigest(),
            engine.PolicySet.from_json_str(document),
            parsed_schema,
            frozenset(_named(held, "Identity")),
            frozenset(_named(held, "Policy")),
            kept,
        )

    @property
    def remembered(self) -> int:
        """How many verdicts are remembered now."""
        return len(self._verdicts)

    def judge(self, question: Question) -> CedarVerdict:
        """Cedar's answer, or the remembered one to an equal question.

        Raises:
            CedarFault: no answer that counts.
        """
        if not self.kept or len(question.about_tenant) > LONGEST_KEPT_TENANT:
            return self._asked(question)
        key = self._key(question)
        if (known := self._verdicts.get(key)) is not None:
            return known
        verdict = self._asked(question)
        self._verdicts.put(key, verdict)
        return verdict

    def _key(self, question: Question) -> Hashable:
        """The question with None for ids that no policy names: Cedar compares an id with those written in policies
        and with nothing else, as no attribute holds one."""
        policy: tuple[str | None, str, str] | None = question.policy
        if policy is not None and policy[0] not in self._named_policies:
            policy = (None, policy[1], policy[2])
        subject = question.subject if _identity_id(question) in self._named_identities else None
        return (
            question.capability, question.provider, subject, question.tenant, question.domains, question.product,
            question.about_tenant, policy, question.purpose, question.approval, question.statuses,
            question.reads,
        )  # fmt: skip

    def _asked(self, question: Question) -> CedarVerdict:
        request, entities = _told(question)
        answer = _engine().is_authorized(request, self._policies, msgspec.json.encode(entities).decode(), self._schema)
        return self._verdict(str(answer.decision.value), answer.diagnostics.reasons, answer.diagnostics.errors)

    def _verdict(self, said: str, reasons: Sequence[str], errors: Sequence[str]) -> CedarVerdict:
        if errors or said not in ("Allow", "Deny"):
            raise CedarFault("; ".join(errors) or said)
        if said == "Allow" and not reasons:
            raise CedarFault("an Allow that no policy determined")
        return CedarVerdict(said == "Allow", tuple(sorted(reasons)))


def _engine() -> Any:
    try:
        import cedarpy
    except ImportError as error:
        raise ExtraMissing("cedarpy", "services") from error
    return cedarpy


def _told(question: Question) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Cedar's request and entities."""
    principal = {"type": "Identity", "id": _identity_id(question)}
    whose: dict[str, Any] = {"tenant": question.about_tenant}
    if question.policy is None:
        resource = {"type": "Product", "id": question.product}
    else:
        number, product, status = question.policy
        resource = {"type": "Policy", "id": number}
        whose |= {"product": product, "status": status}
    context: dict[str, Any] = {}
    if question.purpose is not None:
        context["purpose"] = question.purpose
    if question.approval is not None:
        context["approval"] = dict(zip(("purpose", "tenant", "domain"), question.approval, strict=True))
    if question.statuses is not None:
        context["statuses"] = sorted(question.statuses)
    if question.purpose is not None:
        context["reads"] = question.reads
    request = {
        "principal": principal,
        "action": {"type": "Action", "id": question.capability},
        "resource": resource,
        "context": context,
    }
    who = {"provider": question.provider, "tenant": question.tenant, "domains": sorted(question.domains)}
    return request, [
        {"uid": principal, "attrs": who, "parents": []},
        {"uid": resource, "attrs": whose, "parents": []},
    ]


def _policies_of(file: CedarFile, schema: Any) -> dict[str, Any]:
    """The file's policies as Cedar's JSON, by their ``@id``."""
    engine = _engine()
    try:
        parsed = json.loads(engine.policies_to_json_str(file.text))
    except ValueError as error:
        raise CedarInvalid(f"{file.name}: {_one_line(error)}", todo="correct the policy's syntax") from error
    if parsed["templates"]:
        raise CedarInvalid(f"{file.name}: a template has nothing to be linked to", todo="write it without ?slots")
    found: dict[str, Any] = {}
    for number, policy in enumerate(_in_order(parsed["staticPolicies"]), start=1):
        name = policy.get("annotations", {}).get("id")
        if not name:
            raise CedarInvalid(f"{file.name}: policy {number} has no @id", todo='write @id("…") before it')
        if name in found:
            raise CedarInvalid(f'{file.name}: @id("{name}") is given twice', todo="give each policy its own id")
        found[name] = policy
    _hold_to(schema, file)
    return found


def _in_order(policies: Mapping[str, Any]) -> list[Any]:
    """The policies as they stand in the text: Cedar numbers them policy0, policy1, …"""
    return [policies[key] for key in sorted(policies, key=lambda key: int(key.removeprefix("policy")))]


def _hold_to(schema: Any, file: CedarFile) -> None:
    result = _engine().validate_policies(file.text, schema)
    if result.validation_passed:
        return
    first = result.errors[0]
    name = result.id_annotations_by_policy_id.get(first.policy_id, first.policy_id)
    said = _one_line(first.error).removeprefix(f"for policy `{first.policy_id}`, ")
    raise CedarInvalid(f'{file.name}: policy @id("{name}"): {said}', todo=f"use what {SCHEMA_FILE} declares")


def _named(policies: Any, kind: str) -> Iterator[str]:
    """Every id of this type of entity that is written anywhere in the policies."""
    if isinstance(policies, dict):
        if policies.get("type") == kind and "id" in policies:
            yield policies["id"]
        for each in policies.values():
            yield from _named(each, kind)
    elif isinstance(policies, list):
        for each in policies:
            yield from _named(each, kind)


def _identity_id(question: Question) -> str:
    return f"{question.provider}:{question.subject}"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
