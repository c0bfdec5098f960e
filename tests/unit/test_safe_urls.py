"""What is secret in a URL is shown nowhere: not in names, messages, errors and logs."""

from __future__ import annotations

import io
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.cli.main import outcome
from journeymesh.errors import UsageError
from journeymesh.safe_text import place_of, shown_url, urls_shown, without_secrets
from journeymesh.services.http.logs import structured_log

SECRET = "Zq7xW"
SCHEMES = (
    "mongodb",
    "mongodb+srv",
    "postgresql",
    "postgres",
    "postgresql+psycopg",
    "amqp",
    "https",
    "s3",
    "ssh",
    "git",
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("lake:////srv/a@b", "lake:////srv/a@b"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("/srv/data", "/srv/data"),
        ("git@git.example:a.git", "git@git.example:a.git"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://me:pw@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:p@w:/x@host/db", "postgresql://me:***@host/db"),
        (
            "postgresql://host/db?user=me&password=pw&sslmode=off",
            "postgresql://host/db?user=me&password=***&sslmode=off",
        ),
        ("postgresql://host/db?PASSWORD=a@b", "postgresql://host/db?PASSWORD=***"),
        ("mongodb://me:p%40w@h1:1,h2:2/db?replicaSet=rs0", "mongodb://me:***@h1:1,h2:2/db?replicaSet=rs0"),
        ("mongodb+srv://me:pw@h/db", "mongodb+srv://me:***@h/db"),
        ("https://token@git.example/a.git", "https://git.example/a.git"),
        ("https://h/x?X-Amz-Signature=s&version=1#access_token=t", "https://h/x?X-Amz-Signature=***&version=1#***"),
    ],
)
def test_a_shown_url_has_no_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_a_drivers_message_is_one_line_without_the_password() -> None:
    said = 'connection failed: "me:p@w"\nIs the server running?'
    assert without_secrets(said, "postgresql://me:p%40w@host/db") == 'connection failed: "me:***"'


_SIGNS = st.text(st.sampled_from("abc/?#@:&=%+;[]!$*()~"), max_size=6)
_PARAMETERS = st.one_of(
    st.sampled_from(["password", "Password", "passwd", "token", "sig", "key", "passfile", "authMechanismProperties"]),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4, max_size=12).map("q{}".format),
)


@st.composite
def secret_urls(draw: st.DrawFn) -> str:
    """A URL with one secret: its password, escaped or not, or a parameter's value."""
    scheme, path = draw(st.sampled_from(SCHEMES)), draw(st.sampled_from(["", "/", "/db", "/a/b.git"]))
    if draw(st.booleans()):
        parameter = f"{draw(_PARAMETERS)}={SECRET}"
        before = draw(st.sampled_from(["", "replicaSet=rs0&", "sslmode=require&"]))
        user = draw(st.sampled_from(["", "me@"]))
        return f"{scheme}://{user}host{path}?{before}{parameter}{draw(st.sampled_from(['', '&w=1', '@b']))}"
    password = draw(_SIGNS) + SECRET + draw(_SIGNS)
    written = quote(password, safe="") if draw(st.booleans()) else password
    return f"{scheme}://me:{written}@host{path}{draw(st.sampled_from(['', '?w=1', '?a=b@c']))}"


@given(secret_urls())
def test_no_url_shows_its_secret_whatever_signs_are_in_it(url: str) -> None:
    for shown in (shown_url(url), place_of(url), urls_shown(f"store {url}: gone"), str(UsageError(f"store {url}: x"))):
        assert SECRET not in shown
    to = io.BytesIO()
    structured_log("test", to).error("failed", store=url)
    assert SECRET not in to.getvalue().decode()
    json.loads(to.getvalue())


@given(secret_urls())
def test_no_drivers_message_repeats_it(url: str) -> None:
    assert SECRET not in without_secrets(f"cannot parse {url} here", url)


@pytest.mark.parametrize("scheme", [*SCHEMES, "mysql", "lake", "file"])
@pytest.mark.parametrize("option", ["--store", "--source"])
@pytest.mark.parametrize("form", ["{0}://me:a/{1}@127.0.0.1:1/db", "{0}://127.0.0.1:1/db?password={1}", "{0}://me:{1}"])
def test_no_command_tells_it(
    scheme: str, option: str, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme in ("s3", "https", "ssh", "git", "amqp") and option == "--source":
        pytest.skip("would ask a network")
    url = form.format(scheme, SECRET)
    if "?" in url and scheme.startswith("mongodb"):
        url += "&serverSelectionTimeoutMS=50"
    command = ["summary", "--all"] if option == "--store" else ["mapping", "check"]
    assert outcome([*command, option, url]) != 0
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
