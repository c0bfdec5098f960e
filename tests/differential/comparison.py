"""Runs cases through the decider and the oracle, and counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from tests.differential.cases import Case, Cases, CedarCase
from tests.differential.driven import Driven, agrees, seen
from tests.differential.oracle import Answer, Fault, Oracle, cedar
from tests.differential.world import World, made


@dataclass
class Compared:
    """What was found. ``differences`` keeps the first of them."""

    requests: int = 0
    allows: int = 0
    cedar_questions: int = 0
    disagreements: int = 0
    tokens: set[str] = field(default_factory=set)
    providers: set[str] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Case | CedarCase, object, object]] = field(default_factory=list)

    def differs(self, case: Case | CedarCase, oracle: object, product: object) -> None:
        self.disagreements += 1
        if len(self.differences) < 5:
            self.differences.append((case, oracle, product))


@dataclass(frozen=True)
class Expected:
    """Cases of one world with what the oracle says to them."""

    world: World
    decisions: list[tuple[Case, Answer]]
    verdicts: list[tuple[CedarCase, tuple[bool, tuple[str, ...]] | None]]


@lru_cache(maxsize=2)
def expected(seed: int, requests: int, questions: int = 0) -> Expected:
    """So many requests for decisions, and as many questions to Cedar, in the world of this seed."""
    return expected_in(made(seed), seed, requests, questions)


def expected_in(world: World, seed: int, requests: int, questions: int = 0) -> Expected:
    """The same in this world."""
    oracle, cases = Oracle(world), Cases(world, seed)
    decisions = [(case, oracle.judge(case)) for case in cases.some(requests)]
    return Expected(world, decisions, [(question, _verdict(question)) for question in cases.cedar(questions)])


def compare(driven: Driven, expected: Expected, *, enough: int | None = None) -> Compared:
    """What the decider says, beside what is expected: of every case, or until ``enough`` disagreements were found."""
    found, people = Compared(), expected.world.by_token
    for case, answer in expected.decisions:
        if found.disagreements == enough:
            return found
        product = seen(driven.decide(case))
        found.requests += 1
        found.allows += answer.reason == "allowed"
        found.reasons[answer.reason] += 1
        person = people.get(case.token or "")
        if person is not None:
            found.tokens.add(person.token)
            found.providers.add(person.provider)
        if not agrees(answer, product):
            found.differs(case, answer, product)
    for question, expected_verdict in expected.verdicts:
        if found.disagreements == enough:
            break
        verdict = driven.judge(question)
        found.cedar_questions += 1
        if expected_verdict != verdict:
            found.differs(question, expected_verdict, verdict)
    return found


def _verdict(question: CedarCase) -> tuple[bool, tuple[str, ...]] | None:
    try:
        return cedar(question)
    except Fault:
        return None
