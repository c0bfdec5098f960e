"""What the console's own scripts do, in Node with as much of a page as they need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from journeymesh.services.console.rendering import STATIC

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")

FAKE_PAGE = """
const says = [];
console.warn = (...words) => says.push(words.join(" "));
globalThis.requestAnimationFrame = (go) => setTimeout(go, 0);
const button = { childNodes: ["12:00"], replaceWith: (...nodes) => says.push("plain " + nodes) };
const dataset = { maplibre: "./maplibre.js", zone: "UTC", perMps: "3.6", speedUnit: "km/h" };
const root = { hidden: true, dataset, querySelector: () => ({}) };
const none = [null, null];
const way = { t: [0, 1], lat: [50, 50.1], lon: [8, 8.1], speed: [1, 2], limit: none, accel: none };
const columns = { ...way, over: [false, false], topMps: 10, silentAfterS: 30 };
globalThis.document = {
  getElementById: (id) => (id === "replay" ? root : { textContent: JSON.stringify(columns) }),
  querySelectorAll: (selector) => (selector.includes("> button") ? [button] : []),
  createElement: () => ({}),
  addEventListener() {},
};
globalThis.matchMedia = () => ({ matches: false, addEventListener() {} });
globalThis.getComputedStyle = () => ({ getPropertyValue: () => "#000" });
await import("./journey.js");
await new Promise((go) => setTimeout(go, 500));
process.stdout.write(`${root.hidden} ${says.join("; ")}`);
"""
NO_WEBGL = """
export class LngLatBounds { extend() { return this; } }
export class Map { constructor() { throw new Error("WebGL is not supported"); } }
export class Marker {}
export const addProtocol = () => {}, prewarm = () => {}, clearPrewarmedResources = () => {};
"""


def run(folder: Path, script: str, **files: str) -> str:
    for source in STATIC.glob("*.js"):
        shutil.copy(source, folder)
    for name, text in {"package.json": '{"type": "module"}', "driver.js": script, **files}.items():
        (folder / name).write_text(text, "utf-8")
    return subprocess.run(
        ["node", "driver.js"], cwd=folder, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_a_map_that_cannot_be_made_leaves_no_controls(tmp_path: Path) -> None:
    said = run(tmp_path, FAKE_PAGE, **{"maplibre.js": NO_WEBGL})
    assert said.startswith("true plain 12:00; the map was not drawn:")
    assert "WebGL is not supported" in said


@pytest.mark.parametrize(
    ("event", "closes"),
    [
        ('key: "Escape"', True),
        ('key: "Escape", isComposing: true', False),
        ('key: "Escape", keyCode: 229', False),
        ('key: "Escape", defaultPrevented: true', False),
        ('key: "Enter"', False),
    ],
)
def test_escape_closes_what_was_opened_unless_it_is_meant_for_something_else(
    tmp_path: Path, event: str, closes: bool
) -> None:
    script = f"""
    let heard;
    globalThis.document = {{ addEventListener: (_, listener) => (heard = listener) }};
    await import("./keys.js");
    const opened = {{ open: true, querySelector: () => ({{ focus() {{}} }}) }};
    heard({{ {event}, target: {{ closest: () => opened }}, preventDefault() {{}} }});
    process.stdout.write(String(!opened.open));
    """
    assert run(tmp_path, script) == str(closes).lower()
