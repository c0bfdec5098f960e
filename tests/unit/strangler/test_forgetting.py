"""What the control database forgets of treated terms, and what it keeps of a successor's."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from journeymesh.instants import to_us
from journeymesh.journeys.policies import Policy
from journeymesh.strangler.control import Control, document_index
from journeymesh.strangler.forgetting import ControlForgetting

BEGAN, ENDED, LATER = (datetime(year, 1, 1, tzinfo=UTC) for year in (2020, 2021, 2022))


def test_of_a_vehicle_that_a_successor_drives_the_later_documents_stay(tmp_path: Path) -> None:
    term = Policy(number="GONE-1", tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle="car-1", device="box-1")
    hour_us = 3_600_000_000
    documents = [
        (1, "car-1", to_us(BEGAN)), (2, "box-1", to_us(BEGAN) + hour_us), (3, "car-1", to_us(ENDED) - hour_us),
        (4, "car-1", to_us(LATER)), (5, "car-2", to_us(BEGAN)),
    ]  # fmt: skip
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            for document, vehicle, at in documents:
                row = {"upstream": "legacy", "target": "new", "document": document, "vehicle": vehicle}
                connection.execute(sa.insert(document_index).values(**row, first_us=at, last_us=at + hour_us))
        forgetting = ControlForgetting(control)
        assert forgetting.forget([term]) == 3
        assert forgetting.forget([term]) == 0
        with control.reading() as connection:
            assert set(connection.execute(sa.select(document_index.c.document)).scalars()) == {4, 5}
