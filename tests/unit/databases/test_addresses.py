"""Passwords are shown nowhere."""

from __future__ import annotations

import pytest

from journeymesh.databases.addresses import shown_url, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:p@w:/x@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=pw&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("mongodb://me:p%40w@h1:1,h2:2/db?replicaSet=rs0", "mongodb://me:***@h1:1,h2:2/db?replicaSet=rs0"),
        ("mongodb+srv://me:pw@h/db", "mongodb+srv://me:***@h/db"),
    ],
)
def test_a_shown_url_has_no_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_drivers_message_is_one_line_without_the_password() -> None:
    said = 'connection failed: "me:p@w"\nIs the server running?'
    assert without_secrets(said, "postgresql://me:p%40w@host/db") == 'connection failed: "me:***"'
