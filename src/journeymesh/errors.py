"""The one tree of errors. Each says what happened, where, and what to do; each maps to one exit code.

    JourneymeshError                  exit  what it means
    ├── UsageError                    2     the call is wrong: an option, a name, a value
    │   ├── SettingsInvalid           2     a setting in the environment or the TOML file
    │   ├── MappingInvalid            2     a mapping file
    │   ├── RulesInvalid              2     a rules file
    │   ├── PoliciesInvalid           2     a policies file or collection
    │   └── ExtraMissing              2     an optional dependency is not installed
    ├── NotFound                      3     a journey, policy or file that is not there
    │   └── SourceMissing             3     the source named does not exist
    ├── SourceUnreadable              4     the source is there and cannot be read
    ├── StoreUnavailable              5     the store cannot be reached, is full or is locked
    │   └── StoreCorrupt              5     what the store holds contradicts itself
    ├── RulesConflict                 6     two rules versions would mix in one store
    ├── GateClosed                    7     a slice may not move yet (strangler/gates.py)
    ├── PoliciesNotCompared           7     asked for, and not compared to the end (strangler/comparing.py)
    ├── ReleaseRefused                7     an image may not go there (delivery/release/refusal.py)
    ├── OperatorBusy, FeedTaken       8     somebody else is at it (strangler/apply.py, strangler/feeds.py)
    ├── WriterOvertaken               8     another writer went on from here (stores/writers.py)
    ├── TreeRefused                   9     the delivery tree has faults (delivery/checks/findings.py)
    ├── InputUnusable                 10    nothing, or almost nothing, of the input could be used
    ├── OutputUnwritable              11    standard output or a file cannot be written
    ├── ResourcesExhausted            12    memory, threads or open files are used up
    ├── NotPermitted                  13    a file or folder may not be read or written
    └── Interrupted                   130   Ctrl-C; nothing half-written

A room's own errors stand beside what raises them and derive from one of these; the reference lists them all.
Foreign errors are mapped at the adapter that meets them and chained with ``from``.
"""

from __future__ import annotations

from journeymesh.safe_text import urls_shown


class JourneymeshError(Exception):
    """Base of every error that Journeymesh raises on purpose.

    ``what`` states the fault with its place; ``todo`` states the next step. ``str()`` joins both on one line. Whatever
    URL stands in them is without its secrets.
    """

    exit_code = 1

    def __init__(self, what: str, *, todo: str = "") -> None:
        self.what = urls_shown(what)
        self.todo = urls_shown(todo)
        super().__init__(f"{self.what}: {self.todo}" if todo else self.what)


class UsageError(JourneymeshError):
    """The call is wrong: an option, a name or a value."""

    exit_code = 2


class SettingsInvalid(UsageError):
    """A setting in the environment or the TOML file cannot be used."""


class MappingInvalid(UsageError):
    """A mapping file does not say how to read the source."""


class RulesInvalid(UsageError):
    """A rules file is not a valid set of rules."""


class PoliciesInvalid(UsageError):
    """A policies file or collection cannot be used. ``reason`` says why without a value of any policy."""

    def __init__(self, what: str, *, todo: str = "", reason: str = "") -> None:
        super().__init__(what, todo=todo)
        self.reason = reason


class ExtraMissing(UsageError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed", todo=f'install it with: pip install "journeymesh[{extra}]"')


class NotFound(JourneymeshError):
    """What was asked for is not there."""

    exit_code = 3


class SourceMissing(NotFound):
    """The source named does not exist."""


class SourceUnreadable(JourneymeshError):
    """The source is there and cannot be read."""

    exit_code = 4


class StoreUnavailable(JourneymeshError):
    """The store cannot be reached, is full or is locked."""

    exit_code = 5


class StoreCorrupt(StoreUnavailable):
    """What the store holds contradicts itself."""


class RulesConflict(JourneymeshError):
    """Results of two rules versions would mix in one store."""

    exit_code = 6


class InputUnusable(JourneymeshError):
    """Nothing, or almost nothing, of the input could be used; what was usable and the quarantine are written."""

    exit_code = 10


class OutputUnwritable(JourneymeshError):
    """Standard output or a file cannot be written: full, closed or not allowed."""

    exit_code = 11


class ResourcesExhausted(JourneymeshError):
    """Memory, threads or open files are used up."""

    exit_code = 12


class NotPermitted(JourneymeshError):
    """A file or folder may not be read or written."""

    exit_code = 13


class Interrupted(JourneymeshError):
    """The user stopped the work; nothing is half-written."""

    exit_code = 130
