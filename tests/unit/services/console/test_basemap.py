"""What lies below tracks: refused where it would reach further than a basemap has to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from journeymesh.errors import UsageError
from journeymesh.services.console.basemap import MOST_BYTES, PATH, TrackBasemap
from tests.support.console_served import World, console_served

TILES = "https://tiles.insurer.test/{z}/{x}/{y}.png"
CONTENT = b"PMTiles\x03" + bytes(range(200))


@pytest.mark.parametrize("given", [
    "http://tiles.test/{z}/{x}/{y}.png", "https://tiles.test/", "https://u@tiles.test/{z}/{x}/{y}", "ftp://t/{z}{x}{y}",
    "https:///{z}/{x}/{y}", "https://a;script-src *{z}/{x}/{y}", "https://a.test 'unsafe-inline'/{z}/{x}/{y}",
])  # fmt: skip
def test_a_url_that_is_no_basemaps_is_refused(given: str) -> None:
    with pytest.raises(UsageError):
        TrackBasemap.of(given)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some").write_bytes(b"no archive")
    for name in ("some", "nowhere"):
        with pytest.raises(UsageError):
            TrackBasemap.of(str(tmp_path / name))


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("basemap")
    (folder / "town.pmtiles").write_bytes(CONTENT)
    with console_served(folder, basemap=TrackBasemap.of(str(folder / "town.pmtiles"), "a town")) as made:
        yield made


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ("bytes=0-6", 206, b"PMTiles"),
        ("bytes=200-900", 206, CONTENT[200:]),
        (f"bytes=0-{MOST_BYTES * 2}", 206, CONTENT),
        ("bytes=900-901", 416, b""),
        ("bytes=5-4", 416, b""),
        ("bytes=-5", 416, b""),
        ("bytes=0-1,3-4", 416, b""),
        ("bytes=0-" + "9" * 30, 416, b""),
        ("", 416, b""),
    ],
)
def test_the_archive_is_given_by_ranges(mapped: World, asked: str, status: int, content: bytes) -> None:
    answer = mapped.browser("bare").get(PATH, range=asked)
    assert (answer.status_code, answer.content) == (status, content)


def test_the_archive_is_for_who_is_signed_in(mapped: World) -> None:
    assert mapped.browser().get(PATH, range="bytes=0-6").status_code == 303


def test_browsers_may_ask_the_configured_origin_and_no_other(tmp_path: Path, mapped: World) -> None:
    assert "connect-src 'self';" in mapped.browser().get("/sign-in").headers["content-security-policy"]
    with console_served(tmp_path, basemap=TrackBasemap.of(TILES)) as made:
        policy = made.browser().get("/sign-in").headers["content-security-policy"]
    assert "connect-src 'self' https://tiles.insurer.test;" in policy
    assert policy.count("https:") == 1
