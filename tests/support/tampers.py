"""What somebody who can write to the audit's database, or to the checkpoints, could do to hide something."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from journeymesh.ledger.chain import genesis, link

Row = list[Any]
"""writer, number, at_us, kind, key, body, digest."""
Chains = dict[str, list[Row]]
BAD = tuple[str, int]
"""The writer and the number of the first bad record."""


def _any(chains: Chains, rng: random.Random, *, beyond: int = 0) -> tuple[str, list[Row], int]:
    """A writer, its chain, and the index of one of its records with ``beyond`` more after it."""
    writer = rng.choice(sorted(chains))
    return writer, chains[writer], rng.randrange(len(chains[writer]) - beyond)


def _renumber(rows: list[Row]) -> None:
    for number, row in enumerate(rows, 1):
        row[1] = number


def _relink(writer: str, rows: list[Row], begin: int) -> None:
    previous = rows[begin - 1][6] if begin else genesis(writer)
    for row in rows[begin:]:
        row[6] = previous = link(previous, *row[1:6])


def body_changed(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng)
    place = rng.randrange(len(rows[at][5]))
    rows[at][5] = rows[at][5][:place] + bytes([rows[at][5][place] ^ (1 << rng.randrange(8))]) + rows[at][5][place + 1 :]
    return writer, at + 1


def column_changed(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng)
    column, value = rng.choice([(2, rows[at][2] + rng.choice([-1, 1])), (3, "decision.unmade"), (4, None), (4, "x")])
    rows[at][column] = value
    return writer, at + 1


def digest_changed(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng)
    rows[at][6] = rng.choice([rng.randbytes(32), rows[at][6][:-1], b"", rows[at - 1][6]])
    return writer, at + 1


def content_and_its_own_digest_changed(chains: Chains, rng: random.Random) -> BAD:
    """The chain shows it at the record after, or a signed head does."""
    writer, rows, at = _any(chains, rng)
    rows[at][5] = b'{"reason":"nothing"}'
    rows[at][6] = link(rows[at - 1][6] if at else genesis(writer), *rows[at][1:6])
    return writer, at + 1


def swapped(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng, beyond=1)
    other = rng.randrange(at + 1, len(rows))
    rows[at], rows[other] = rows[other], rows[at]
    _renumber(rows)
    return writer, at + 1


def deleted_amid(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng, beyond=1)
    del rows[at]
    if rng.random() < 0.5:
        _renumber(rows)
    return writer, at + 1


def _insert(writer: str, rows: list[Row], at: int, digest: bytes) -> None:
    rows.insert(at, [writer, at + 1, rows[at][2], "decision.made", "x", b"{}", digest])
    _renumber(rows)


def inserted(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng)
    _insert(writer, rows, at, rng.choice([rng.randbytes(32), rows[at][6]]))
    return writer, at + 1


def inserted_and_linked(chains: Chains, rng: random.Random) -> BAD:
    """The chain shows it at the record after, or a signed head does."""
    writer, rows, at = _any(chains, rng)
    _insert(writer, rows, at, b"")
    rows[at][6] = link(rows[at - 1][6] if at else genesis(writer), *rows[at][1:6])
    return writer, at + 1


def tail_cut(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng)
    del rows[max(at, 1) :]
    return writer, len(rows) + 1


def rewritten(chains: Chains, rng: random.Random) -> BAD:
    """Everything from a record on, with digests that fit: only signed heads show it."""
    writer, rows, at = _any(chains, rng)
    match rng.randrange(3):
        case 0:
            rows[at][5] = b'{"reason":"nothing"}'
        case 1:
            rows[at][2] += 1
            for row in rows[at:]:
                row[2] = max(row[2], rows[at][2])
        case _:
            rows.insert(at, [writer, 0, rows[at][2], "decision.made", None, b"{}", b""])
            _renumber(rows)
    _relink(writer, rows, at)
    return writer, at + 1


def deleted_and_rewritten(chains: Chains, rng: random.Random) -> BAD:
    writer, rows, at = _any(chains, rng, beyond=1)
    del rows[at]
    _renumber(rows)
    _relink(writer, rows, at)
    return writer, at + 1


def chain_removed(chains: Chains, rng: random.Random) -> BAD:
    writer = rng.choice(sorted(chains))
    del chains[writer]
    return writer, 1


def moved_to_another_chain(chains: Chains, rng: random.Random) -> BAD:
    """A record goes to the end of another chain: missing in the one, not fitting in the other."""
    writer, rows, at = _any(chains, rng)
    other = rng.choice(sorted(set(chains) - {writer}))
    row = rows.pop(at)
    row[0], row[1] = other, len(chains[other]) + 1
    chains[other].append(row)
    return other, row[1]


def planted_without_a_digest(chains: Chains, rng: random.Random) -> BAD:
    """A record that cannot be digested, with nothing as its digest, and the rest linked to that nothing.

    What stands before the next signed head is then of the attacker's making: no digest led to it.
    """
    writer, rows, at = _any(chains, rng)
    rows[at][5] = rng.choice(['{"reason":"nothing"}', None, b'{"reason":"nothing"}'])
    rows[at][6] = rng.choice([b"", None, "", rng.randbytes(31), rng.randbytes(64)])
    previous = rows[at][6] if isinstance(rows[at][6], bytes) else b""
    for row in rows[at + 1 :]:
        row[6] = previous = link(previous, *row[1:6])
    return writer, at + 1


def of_another_type(chains: Chains, rng: random.Random) -> BAD:
    """One value, or one and the digest, of a type that nobody writes."""
    writer, rows, at = _any(chains, rng)
    column, value = rng.choice([(2, None), (3, None), (5, None), (5, "{}"), (6, None), (6, ""), (6, "0" * 32)])
    rows[at][column] = value
    if rng.random() < 0.5:
        rows[at][6] = rng.choice([None, b"", ""])
    return writer, at + 1


LINKED_ANEW = frozenset(
    {content_and_its_own_digest_changed, inserted_and_linked, tail_cut, rewritten, deleted_and_rewritten}
)
"""Those after which every record left may fit the one before: what comes next shows it, or a signed head does."""

CHAIN_TAMPERS: tuple[Callable[[Chains, random.Random], BAD], ...] = (
    body_changed,
    column_changed,
    digest_changed,
    content_and_its_own_digest_changed,
    swapped,
    deleted_amid,
    inserted,
    inserted_and_linked,
    tail_cut,
    rewritten,
    deleted_and_rewritten,
    chain_removed,
    moved_to_another_chain,
    planted_without_a_digest,
    of_another_type,
)
