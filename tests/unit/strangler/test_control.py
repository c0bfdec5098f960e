"""The control database: its schema, on both kinds of server, and its refusals."""

from contextlib import closing
from pathlib import Path

import pytest

from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.strangler.control import SCHEMA, Control, bump, metadata, revision
from tests.support.rooms_databases import differences, fresh_postgresql


def test_migrations_make_the_tables_on_sqlite(tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path}/control.db")
    control.migrate()
    control.migrate()
    assert differences(control, SCHEMA, metadata) == []
    control.require_schema()


def test_migrations_make_the_tables_on_postgresql(postgresql_url: str) -> None:
    with fresh_postgresql(postgresql_url) as url, closing(Control(url)) as control:
        with pytest.raises(StoreUnavailable, match="nothing is recorded yet"):
            control.require_schema()
        control.migrate()
        assert differences(control, SCHEMA, metadata) == []
        with control.writing() as connection:
            assert [bump(connection), bump(connection), revision(connection)] == [1, 2, 2]


def test_a_database_without_tables_says_what_to_do(tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(StoreUnavailable, match="there is no such file: create it with: journeymesh strangler apply"):
        control.require_schema()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [("mongodb://x/y", "unknown kind"), ("not a url", "is not a URL"), ("sqlite://", "names no file")],
)
def test_another_kind_of_url_is_refused(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Control(url).migrate()


def test_no_password_is_told(tmp_path: Path) -> None:
    control = Control("postgresql://ann:secret@127.0.0.1:1/x?connect_timeout=1")
    with pytest.raises(StoreUnavailable) as refused:
        control.require_schema()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("before", ["0001", "0002", "0003", "0004", "0005"])
def test_a_control_database_of_before_is_migrated_and_keeps_what_it_has(before: str, tmp_path: Path) -> None:
    control = Control(f"sqlite:///{tmp_path}/control.db")
    with control.writing() as connection:
        SCHEMA.upgrade(connection, before)
        bump(connection)
    with pytest.raises(StoreUnavailable, match=before):
        control.require_schema()
    control.migrate()
    assert differences(control, SCHEMA, metadata) == []
    with control.reading() as connection:
        assert revision(connection) == 1
