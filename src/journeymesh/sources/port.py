"""The port of a source: batches of fixes, in whatever order the source has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.policy_reading import UsablePolicies


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """A part of a source. ``fixes.origin`` has the source's number of each input, for ``Source.describe``."""

    fixes: Fixes
    refusals: Sequence[Refusal] = ()
    read_bytes: int = 0
    resume: str | None = None
    """Where reading can be taken up after this batch; None where the source has no such position."""
    others: int = 0
    """How many documents or rows the mapping's conditions left to somebody else: read, and neither fix nor refused."""


@dataclass(frozen=True, slots=True)
class SourceSize:
    """How much there is to read, as far as it is known without reading it. Used for progress and for sizing."""

    read_bytes: int | None = None
    fixes: int | None = None


@dataclass(frozen=True, slots=True)
class SourceItem:
    """A file or a collection of a source, and what became of it: read, skipped or refused, and why.

    Of what is read, ``reason`` says what is worth a word: that it ends early, or goes by another name.
    """

    name: str
    state: Literal["read", "skipped", "refused"] = "read"
    reason: str = ""


class Source(Protocol):
    """Where fixes come from. Foreign errors come out as ``SourceMissing`` or ``SourceUnreadable``."""

    name: str
    """What users call it: the path or URL, without credentials."""
    tally: FieldTally | None
    """Counts what each mapped field holds while ``batches`` reads, where one was put here."""

    def size(self) -> SourceSize:
        """How much there is to read."""

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        """Every input once, as fixes or refusals; from ``resume`` on where the source supports it.

        A batch has at most about a million fixes. Calling it again reads the source again.
        """

    def describe(self, origins: I64) -> list[str]:
        """Where each of these inputs is: ``blackbox/5ce70873b6589fc6ab000000``, ``fixes.csv:42``."""

    def items(self) -> list[SourceItem]:
        """Every file or collection that is there, each as read, skipped or refused. What only reading shows, such as
        a file that ends early, is told once it was read."""

    def policies(self) -> UsablePolicies:
        """The policies that the source's mapping names, and the refusals of others; empty where it names none."""

    def close(self) -> None:
        """Release files and connections. Idempotent."""
