"""What the control database forgets of treated terms, and what it keeps of a successor's."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from journeymesh.instants import to_us
from journeymesh.journeys.policies import Policy
from journeymesh.strangler.accepted import content_of
from journeymesh.strangler.control import Control, document_index, metadata, opinions, routes
from journeymesh.strangler.forgetting import ControlForgetting
from journeymesh.strangler.slices import Selector
from tests.support.builders import drive

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


def test_after_a_run_no_table_of_the_control_database_names_it(tmp_path: Path) -> None:
    """A search of every column of every table: what a later version adds to the control database is searched, too."""
    gone = Policy(number="GONE-1", tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle="car-1", device="box-1")
    stays = Policy(number="STAYS-1", tenant="acme", valid_from=BEGAN, vehicle="car-2")
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            for table in metadata.sorted_tables:
                for naming in ("GONE-1", "car-1", "box-1", "STAYS-1"):
                    row = _naming(table, naming)
                    if row is not None:
                        connection.execute(sa.insert(table).values(**row))
        before = _count(control)
        forgetting = ControlForgetting(control, lambda: [gone, stays])
        assert forgetting.forget([gone]) > 0
        assert _naming_rows(control, ("GONE-1", "car-1", "box-1")) == []
        assert len(_naming_rows(control, ("STAYS-1",))) == before["STAYS-1"] > 8
        assert forgetting.forget([gone]) == 0
        [selector] = {row.selector for row in _rows(control, routes)} - {NOBODY}
        assert msgspec.json.decode(selector, type=Selector).numbers == ("STAYS-1",)
        assert {row.selector for row in _rows(control, opinions)} == {
            msgspec.json.decode(each, type=Selector).digest for each in (selector, NOBODY)
        }


def test_a_number_that_another_policy_uses_stays_in_selectors(tmp_path: Path) -> None:
    gone = Policy(number="GONE-1", tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle="car-1")
    others = Policy(number="GONE-1", tenant="other", valid_from=BEGAN, vehicle="car-9")
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            connection.execute(sa.insert(routes).values(**_naming(routes, "GONE-1")))
        ControlForgetting(control, lambda: [gone, others]).forget([gone])
        [row] = _rows(control, routes)
    assert msgspec.json.decode(row.selector, type=Selector).numbers == ("GONE-1",)


@pytest.mark.parametrize(("tenant", "left"), [("acme", ()), ("other", ("GONE-1",)), (None, ())])
def test_a_number_in_another_tenants_slice_is_that_tenants(
    tmp_path: Path, tenant: str | None, left: tuple[str, ...]
) -> None:
    """Also where no store that the run read has a policy of it: legacy or another store may."""
    gone = Policy(number="GONE-1", tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle="car-1")
    selector = Selector(tenant=tenant, numbers=("GONE-1",))
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            row = _naming(routes, "GONE-1") or {}
            content = msgspec.json.encode(selector, order="sorted").decode()
            connection.execute(sa.insert(routes).values(**row | {"selector": content}))
        ControlForgetting(control, lambda: [gone]).forget([gone])
        [found] = _rows(control, routes)
    assert msgspec.json.decode(found.selector, type=Selector).numbers == left


def test_a_number_of_the_tenant_goes_where_another_tenant_uses_it_too(tmp_path: Path) -> None:
    gone = Policy(number="GONE-1", tenant="acme", valid_from=BEGAN, valid_to=ENDED, vehicle="car-1")
    others = Policy(number="GONE-1", tenant="other", valid_from=BEGAN, vehicle="car-9")
    selector = msgspec.json.encode(Selector(tenant="acme", numbers=("GONE-1",)), order="sorted").decode()
    with closing(Control(f"sqlite:///{tmp_path}/control.db")) as control:
        control.migrate()
        with control.writing() as connection:
            row = _naming(routes, "GONE-1") or {}
            connection.execute(sa.insert(routes).values(**row | {"selector": selector}))
        ControlForgetting(control, lambda: [gone, others]).forget([gone])
        [found] = _rows(control, routes)
    assert msgspec.json.decode(found.selector, type=Selector).numbers == ()


NOBODY = msgspec.json.encode(Selector(numbers=()), order="sorted").decode()
_NAMED_BY_OTHERS = {"strangler_heads", "strangler_plan", "strangler_operators", "strangler_reads", "strangler_asks",
                    "strangler_shadow_counts", "strangler_foreign_runs"}  # fmt: skip
"""Tables that name slices, stores, days and processes alone."""


_OF_VEHICLES = {
    "strangler_places", "strangler_refused_documents", "strangler_reconciliations", "strangler_accepted_writes",
}  # fmt: skip


def _naming(table: sa.Table, name: str) -> dict[str, object] | None:
    """A row of the table whose columns name this wherever something of the move could."""
    if table.name in _NAMED_BY_OTHERS or (name == "GONE-1" and table.name in _OF_VEHICLES):
        return None
    number = name if name in ("GONE-1", "STAYS-1") else None
    values: dict[str, object] = {}
    for column in table.columns:
        if isinstance(column.type, sa.Text):
            values[column.name] = f"said of {name}: it is gone"
        elif isinstance(column.type, sa.LargeBinary):
            values[column.name] = content_of(drive((9.0, 60), vehicle=name, start=BEGAN + (ENDED - BEGAN) / 2))
        elif isinstance(column.type, sa.Boolean):
            values[column.name] = True
        else:
            values[column.name] = _ROWS.index(name) + 1
    selector = Selector(numbers=() if number is None else (number,))
    exact: dict[str, object] = {
        "selector": msgspec.json.encode(selector, order="sorted").decode() if table is routes else selector.digest,
        "policy": name, "vehicle": name, "resume": name, "first_us": to_us(BEGAN), "last_us": to_us(BEGAN),
        "source_value": f'{{"policy":"{name}"}}', "target_value": f'"{name}"', "counts": "{}", "classes": "{}",
        "content": values.get("content") if table.name == "strangler_accepted_writes" else None,
        **dict.fromkeys(_NAMES_OF_OTHERS, "x"),
        **dict.fromkeys(_KEYS, f"k-{_ROWS.index(name)}"),
    }  # fmt: skip
    return values | {key: value for key, value in exact.items() if key in values}


_ROWS = ["GONE-1", "car-1", "box-1", "STAYS-1"]
_KEYS = ("slice", "upstream", "cause", "run_id", "key", "kind", "side")
_NAMES_OF_OTHERS = ("source", "target", "phase", "state", "step", "after", "before", "who", "outcome",
                    "owner", "classification", "field", "found_by", "answering", "store_place")  # fmt: skip


def _rows(control: Control, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    with control.reading() as connection:
        return list(connection.execute(sa.select(table)).all())


def _naming_rows(control: Control, names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (table.name, name)
        for table in metadata.sorted_tables
        for row in _rows(control, table)
        for name in names
        if any(name in (each.decode("latin-1") if isinstance(each, bytes) else str(each)) for each in row)
    ]


def _count(control: Control) -> dict[str, int]:
    return {name: len(_naming_rows(control, (name,))) for name in _ROWS}
