"""A control database belongs to one plan: a second plan would move the slices of the first."""

from __future__ import annotations

import sqlalchemy as sa

from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control import plan as owner
from journeymesh.strangler.plan import Plan, PlanInvalid

_PLACE = 1


def claim(control: Control, plan: Plan) -> None:
    """Make the control database this plan's, where it is nobody's yet.

    Raises:
        PlanInvalid: it is another plan's.
    """
    with control.writing() as connection:
        found = connection.execute(sa.select(owner.c.id)).scalar()
        if found is None:
            connection.execute(sa.insert(owner).values(place=_PLACE, id=plan.identity, since_us=now_us()))
        else:
            _check(found, plan)


def check_owner(control: Control, plan: Plan) -> None:
    """Make sure that the control database is not another plan's.

    Raises:
        PlanInvalid: it is.
    """
    with control.reading() as connection:
        found = connection.execute(sa.select(owner.c.id)).scalar()
    if found is not None:
        _check(found, plan)


def _check(found: str, plan: Plan) -> None:
    if found != plan.identity:
        raise PlanInvalid(
            f"the control database belongs to plan {found!r}, and this is plan {plan.identity!r}",
            todo=f"use another control database; or, if it is the same legacy at a new address, set "
            f"`id: {found}` into the plan",
        )
