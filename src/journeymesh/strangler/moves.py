"""What a plan asks of the routes as they are recorded: the moves, or why it cannot be followed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, unique

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.plan import LEGACY, Plan, PlanInvalid, SlicePlan
from journeymesh.strangler.routes import Route, Routes
from journeymesh.strangler.slices import Phase, following, may_follow, needs_gates, overlaps


@unique
class MoveKind(StrEnum):
    """What kind of change a move is."""

    BEGIN = "begin"
    """The slice is recorded for the first time."""
    SWAP = "swap"
    """The store that answers becomes the source of a move to another store."""
    STEP = "step"
    """From one phase to the next, or back."""
    FORGET = "forget"
    """A slice that legacy answers, or of which nobody is left, leaves the plan."""


@dataclass(frozen=True, slots=True)
class Move:
    """One change of one route. ``before`` None: the slice is not recorded yet; ``after`` None: it is forgotten."""

    kind: MoveKind
    before: Route | None
    after: Route | None

    @property
    def name(self) -> str:
        """The slice's name."""
        route = self.after or self.before
        assert route is not None
        return route.slice.name

    @property
    def goes_back(self) -> bool:
        """Whether it only gives the slice back: to an earlier phase, with the set that it has."""
        return (
            self.kind is MoveKind.STEP
            and self.before is not None
            and self.after is not None
            and self.before.slice == self.after.slice
            and tuple(Phase).index(self.after.phase) < tuple(Phase).index(self.before.phase)
        )

    @property
    def is_gated(self) -> bool:
        """Whether it has to be proven first that the target may answer."""
        return (
            self.kind is MoveKind.STEP
            and self.before is not None
            and self.after is not None
            and needs_gates(self.before.phase, self.after.phase)
        )


def moves_of(plan: Plan, recorded: Routes, policies: Sequence[Policy] | None, now_us: int) -> list[Move]:
    """The moves that bring the recorded routes to the plan, in the plan's order; empty when they are there. The sets of
    slices are not checked where ``policies`` is None: they cannot be read.

    Raises:
        PlanInvalid: naming the first slice that cannot be followed: it skips a phase, overlaps another, names an
            unknown policy, or changes what may not change in its phase. Nothing is moved then.
    """
    if policies is not None:
        _check_sets(plan, recorded, policies)
    moves = [move for each in plan.slices if (move := _move(each, recorded.get(each.name), now_us)) is not None]
    named = {each.name for each in plan.slices}
    for route in recorded.routes:
        if route.slice.name in named or route.phase is Phase.RETIRED:
            continue
        if route.phase is not Phase.LEGACY and not route.slice.selector.is_nobody:
            raise PlanInvalid(
                f"slice {route.slice.name!r} is recorded as {route.phase} and is not in the plan",
                todo="move it back to legacy first, then leave it out",
            )
        moves.append(Move(MoveKind.FORGET, route, None))
    return moves


def _check_sets(plan: Plan, recorded: Routes, policies: Sequence[Policy]) -> None:
    retired = [r.slice for r in recorded.routes if r.phase is Phase.RETIRED]
    named = {each.name for each in plan.slices}
    slices = [each.slice for each in plan.slices] + [each for each in retired if each.name not in named]
    for one, other, why in overlaps(slices, policies):
        raise PlanInvalid(f"slices {one!r} and {other!r} overlap: {why}", todo="give each policy one slice")
    known = {policy.number for policy in policies}
    for each in plan.slices:
        for number in each.policies.numbers or ():
            if number not in known:
                raise PlanInvalid(
                    f"slice {each.name!r} names policy {number!r}, which is unknown",
                    todo="correct the number, or add the policy first",
                )


def _move(wanted: SlicePlan, held: Route | None, now_us: int) -> Move | None:
    if held is None:
        if wanted.phase not in (Phase.LEGACY, Phase.SHADOW):
            raise _skips(wanted, Phase.LEGACY)
        # A slice is first recorded where nothing is kept elsewhere; what it is fed from is its source.
        return Move(MoveKind.BEGIN, None, _begun(wanted, wanted.source, now_us, True))
    if held.slice.selector != wanted.policies and held.phase is not Phase.LEGACY:
        raise PlanInvalid(
            f"slice {wanted.name!r} is in phase {held.phase} and its set of policies changed",
            todo="put the added policies into another slice, or move this one back to legacy first",
        )
    if (held.source, held.target) != (wanted.source, wanted.target):
        return _redirected(wanted, held, now_us)
    if held.phase is wanted.phase:
        if held.slice.selector == wanted.policies:
            return None
        return Move(MoveKind.STEP, held, replace(held, slice=wanted.slice, complete=False, since_us=now_us))
    if held.phase is Phase.RETIRED:
        raise PlanInvalid(
            f"slice {wanted.name!r} is retired: {held.source} no longer has it; this cannot be undone",
            todo="write phase: retired, or swap its target for another store",
        )
    if not may_follow(held.phase, wanted.phase):
        raise _skips(wanted, held.phase)
    after = replace(held, slice=wanted.slice, phase=wanted.phase, since_us=now_us)
    if wanted.phase is Phase.LEGACY or held.phase is Phase.LEGACY:
        after = replace(after, complete=False, detail="not filled yet")
    return Move(MoveKind.STEP, held, after)


def _redirected(wanted: SlicePlan, held: Route, now_us: int) -> Move:
    """Another source or target: a swap of stores begins, ends or is taken back, or nothing was filled yet."""
    asked = (wanted.source, wanted.target, wanted.phase)
    begins = wanted.phase in (Phase.LEGACY, Phase.SHADOW)
    if wanted.source == held.target and held.phase in (Phase.TARGET, Phase.RETIRED) and begins:
        # While legacy lives it feeds both stores; once it is gone, the store that answers feeds the other.
        upstream = held.target if held.phase is Phase.RETIRED else held.upstream
        return Move(MoveKind.SWAP, held, _begun(wanted, upstream, now_us, held.complete))
    if held.source != held.upstream:
        if held.phase is Phase.TARGET and asked == (held.upstream, held.target, Phase.TARGET):
            after = replace(held, source=held.upstream, since_us=now_us, source_complete=True)
            return Move(MoveKind.SWAP, held, after)
        if held.phase is Phase.LEGACY and asked == (held.upstream, held.source, Phase.TARGET):
            after = replace(
                held, source=held.upstream, target=held.source, phase=Phase.TARGET, since_us=now_us,
                complete=held.source_complete, source_complete=True, detail=None,
            )  # fmt: skip
            return Move(MoveKind.SWAP, held, after)
    if held.phase is Phase.LEGACY and wanted.source == held.source:
        if not begins:
            raise _skips(wanted, held.phase)
        return Move(MoveKind.STEP, held, _begun(wanted, held.upstream, now_us, held.source_complete))
    raise PlanInvalid(
        f"slice {wanted.name!r} moves from {held.source} to {held.target} (phase {held.phase}); the plan says from "
        f"{wanted.source} to {wanted.target} (phase {wanted.phase})",
        todo=f"move it back to legacy first; or, to swap stores, reach phase target and begin with "
        f"source: {held.target}, phase: shadow",
    )


def _begun(wanted: SlicePlan, upstream: str, now_us: int, source_complete: bool) -> Route:
    """The route of a slice whose target holds nothing that counts yet."""
    return Route(
        slice=wanted.slice,
        source=wanted.source,
        target=wanted.target,
        upstream=upstream,
        phase=wanted.phase,
        complete=False,
        detail="not filled yet",
        since_us=now_us,
        source_complete=source_complete,
    )


def _skips(wanted: SlicePlan, held: Phase) -> PlanInvalid:
    return PlanInvalid(
        f"slice {wanted.name!r} is in phase {held} and the plan asks for {wanted.phase}: a phase is skipped",
        todo=f"ask for {following(held)} next",
    )


def has_legacy(routes: Sequence[Route]) -> bool:
    """Whether legacy still answers, feeds or is compared for any of the routes."""
    return any(route.phase is not Phase.RETIRED and LEGACY in (route.source, route.upstream) for route in routes)
