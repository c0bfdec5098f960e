"""The map of a journey as its pixels: the track in light and in dark, over a basemap of either kind, and over one that
never comes."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import write
from tests.integration.test_console_pages import approved, browser, playwright_api, pytestmark, signed_in
from tests.integration.test_console_scripts import journey_of
from tests.support.console_processes import SHORT, console_of_journeys

from journeymesh.cli.demo_apis import Served, process_of

__all__ = ["browser", "playwright_api", "pytestmark"]  # the browser is a fixture, the rest holds for these tests too
SHADES = [f"--v{k}" for k in range(7)]
GREY = 60
WORKER = "**/maplibre-gl-worker.mjs*"
SEEN_WITHIN_S = 60.0
"""A picture of the map is waited for so long: others use this machine too."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Served]:
    with console_of_journeys(tmp_path_factory.mktemp("journeys")) as at:
        approved(browser, at.console)
        yield at


@contextmanager
def console_over(served: Served, folder: Path, basemap: str) -> Iterator[str]:
    """Another console of the same services, with this basemap."""
    apis = ("--journeyapi", served.journeyapi, "--identityapi", served.identityapi, "--sign-in-as", str(served.access))
    with process_of(folder, "console", None, *apis, "--basemap", basemap) as console:
        yield console


@contextmanager
def grey_tiles() -> Iterator[str]:
    """A server of pictures that are grey all over; its URL."""
    made = io.BytesIO()
    Image.new("RGB", (256, 256), (GREY, GREY, GREY)).save(made, "PNG")

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("access-control-allow-origin", "*")
            self.end_headers()
            self.wfile.write(made.getvalue())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Tiles) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{{z}}/{{x}}/{{y}}.png"
        server.shutdown()


def write_sea(path: Path) -> None:
    """A PMTiles archive of one vector tile: water, all over the world."""
    square = bytes([9, 0, 0, 26, 0x80, 0x40, 0, 0, 0x80, 0x40, 0xFF, 0x3F, 0, 15])  # to 4096, 4096 and back, closed
    feature = b"\x18\x03" + b"\x22" + bytes([len(square)]) + square
    layer = b"\x0a\x05water" + b"\x12" + bytes([len(feature)]) + feature + b"\x28\x80\x20" + b"\x78\x02"
    world = {"min_lon_e7": -1_800_000_000, "min_lat_e7": -850_000_000, "max_lon_e7": 1_800_000_000,
             "max_lat_e7": 850_000_000, "center_zoom": 0, "center_lon_e7": 0, "center_lat_e7": 0}  # fmt: skip
    kinds = {"tile_type": TileType.MVT, "tile_compression": Compression.GZIP}
    with write(str(path)) as archive:
        archive.write_tile(zxy_to_tileid(0, 0, 0), gzip.compress(b"\x1a" + bytes([len(layer)]) + layer))
        archive.finalize(world | kinds, {"vector_layers": [{"id": "water", "fields": {}}]})


def rgb(page: Any, name: str) -> tuple[int, int, int]:
    """A colour of the page's style sheet, as it is now."""
    found: str = page.evaluate("(n) => getComputedStyle(document.documentElement).getPropertyValue(n).trim()", name)
    digits = found[1:] if len(found) == 7 else "".join(2 * each for each in found[1:])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def of_colour(page: Any, colour: tuple[int, int, int]) -> tuple[int, float]:
    """How many pixels of the map have this colour, and their share."""
    seen = np.asarray(Image.open(io.BytesIO(page.locator("#replay .map").screenshot())).convert("RGB"), dtype=int)
    alike = (np.abs(seen - np.array(colour)) <= 3).all(axis=2)
    return int(alike.sum()), float(alike.mean())


def track_pixels(page: Any) -> int:
    return sum(of_colour(page, rgb(page, name))[0] for name in SHADES)


def wait_for_ground(page: Any, colour: tuple[int, int, int]) -> None:
    """Until most of the map has this colour."""
    until_s = time.monotonic() + SEEN_WITHIN_S
    while (share := of_colour(page, colour)[1]) < 0.7:
        assert time.monotonic() < until_s, f"{share:.0%} of the map has the colour {colour}"
        page.wait_for_timeout(200)


def open_journey(page: Any, console: str) -> None:
    page.goto(console + journey_of(page, console, SHORT))
    page.wait_for_selector("#replay[data-ready]")


def kept_waiting(page: Any, urls: str) -> list[Any]:
    """The requests for these URLs, as they come; none is answered."""
    waiting: list[Any] = []

    def keep(route: Any) -> None:
        waiting.append(route)

    page.route(urls, keep)
    return waiting


def test_the_map_turns_dark_with_the_screen_while_it_is_open(browser: Any, served: Served) -> None:
    with signed_in(browser, served.console, "claims-handler", color_scheme="light") as page:
        open_journey(page, served.console)
        light = rgb(page, "--card"), rgb(page, "--v3")
        wait_for_ground(page, light[0])
        assert track_pixels(page) > 300
        assert of_colour(page, light[1])[0] > 20
        page.emulate_media(color_scheme="dark")
        dark = rgb(page, "--card")
        assert dark != light[0]
        wait_for_ground(page, dark)
        until_s = time.monotonic() + SEEN_WITHIN_S
        while track_pixels(page) <= 300:
            assert time.monotonic() < until_s, "the track is not on the dark map"
            page.wait_for_timeout(200)
        assert of_colour(page, light[1])[0] == 0
        page.emulate_media(color_scheme="light")
        wait_for_ground(page, light[0])


def test_a_pmtiles_archive_is_seen_under_the_track(browser: Any, served: Served, tmp_path: Path) -> None:
    write_sea(tmp_path / "sea.pmtiles")
    with (
        console_over(served, tmp_path, str(tmp_path / "sea.pmtiles")) as console,
        signed_in(browser, console, "claims-handler") as page,
    ):
        open_journey(page, console)
        wait_for_ground(page, rgb(page, "--q1"))
        assert track_pixels(page) > 300


def test_pictures_by_a_url_are_seen_under_the_track(browser: Any, served: Served, tmp_path: Path) -> None:
    with (
        grey_tiles() as tiles,
        console_over(served, tmp_path, tiles) as console,
        signed_in(browser, console, "claims-handler", also=tiles.partition("{")[0]) as page,
    ):
        open_journey(page, console)
        white = rgb(page, "--card")[0]
        seen = round(0.7 * GREY + 0.3 * white)  # of pictures, 0.7 is seen
        wait_for_ground(page, (seen, seen, seen))
        assert track_pixels(page) > 300


def test_a_basemap_that_never_comes_keeps_no_track_from_the_map(browser: Any, served: Served, tmp_path: Path) -> None:
    nowhere = "https://tiles.insurer.test/"
    with (
        console_over(served, tmp_path, nowhere + "{z}/{x}/{y}.png") as console,
        signed_in(browser, console, "claims-handler", also=nowhere) as page,
    ):
        waiting = kept_waiting(page, nowhere + "**")
        open_journey(page, console)
        assert waiting
        assert track_pixels(page) > 300


def test_the_whole_track_is_seen_as_a_picture_until_the_map_has_drawn_it(browser: Any, served: Served) -> None:
    with signed_in(browser, served.console, "claims-handler") as page:
        path = journey_of(page, served.console, SHORT)
        waiting = kept_waiting(page, WORKER)
        page.goto(served.console + path)
        page.wait_for_selector("#replay:not([hidden]) canvas.maplibregl-canvas")
        picture, room = page.locator("#picture").bounding_box(), page.locator("#replay .on-map").bounding_box()
        assert page.locator("#picture").is_visible()
        assert all(abs(picture[name] - room[name]) <= 1.0 for name in ("x", "y", "width", "height"))
        before = track_pixels(page)
        assert before > 300
        assert waiting
        page.unroute(WORKER)  # what waits goes on
        page.wait_for_selector("#replay[data-ready]")
        assert not page.locator("#picture").is_visible()
        assert track_pixels(page) > before / 2
