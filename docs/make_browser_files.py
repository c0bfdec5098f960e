"""Put the libraries that browsers load from the console into the package, from npm's lock. Run by ``make browser``.

npm holds each package to the digest in the lock; what is taken out of them is written down as SHA-256 in
``browser/shipped.json``, so that the shipped files can be checked without npm.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

CONSOLE: Final = Path(__file__).parents[1] / "src/journeymesh/services/console"
LOCKED: Final = CONSOLE / "browser"
SHIPPED: Final = CONSOLE / "static/vendor"
RECORD: Final = LOCKED / "shipped.json"
LICENCES: Final = "LICENCES.txt"
FILES: Final = {
    "htmx.org": ("dist/htmx.min.js", "dist/ext/hx-csp.min.js", "dist/ext/hx-sse.min.js"),
    "maplibre-gl": ("dist/maplibre-gl.mjs", "dist/maplibre-gl-worker.mjs", "dist/maplibre-gl.css"),
    "pmtiles": ("dist/pmtiles.js",),
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
}
"""What browsers load of each package; the rest of it stays out."""
_NO_MAP: Final = (b"\n//# sourceMappingURL=", b"\n/*# sourceMappingURL=")


def taken(modules: Path) -> dict[str, bytes]:
    """The files to ship, by their path under ``static/vendor``, out of an installed ``node_modules``."""
    found: dict[str, bytes] = {}
    for package, files in FILES.items():
        version = json.loads((modules / package / "package.json").read_text("utf-8"))["version"]
        for file in files:
            content = (modules / package / file).read_bytes()
            for mark in _NO_MAP:  # the maps are not shipped, and a browser's tools would ask for them
                content = content.partition(mark)[0]
            found[f"{package}-{version}/{Path(file).name}"] = content.rstrip() + b"\n"
    found[LICENCES] = _licences(modules).encode()
    return found


def _licences(modules: Path) -> str:
    """The licences of what is shipped, and of what its makers built into it."""
    lock = json.loads((LOCKED / "package-lock.json").read_text("utf-8"))
    parts = ["What the console's browser files are made of. Each package by its own licence."]
    for place, package in sorted(lock["packages"].items()):
        name = place.removeprefix("node_modules/")
        if not place or name.startswith("@types/"):
            continue
        ours = LOCKED / "licences" / f"{name}.txt"
        named = sorted(p for p in (modules / name).glob("*") if p.name.lower().startswith(("licen", "copying")))
        path = ours if ours.exists() else named[0] if named else None
        text = path.read_text("utf-8").strip() if path else "(the package has no text of its own)"
        parts.append(f"{name} {package['version']}: {package.get('license', 'see below')}\n\n{text}")
    return ("\n\n" + "-" * 80 + "\n\n").join(parts) + "\n"


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


def installed(room: Path) -> Path:
    """``node_modules`` as the lock says, in an empty folder. No package's script runs."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, room / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=room, check=True, stdout=subprocess.DEVNULL)
    return room / "node_modules"


def main() -> int:
    """Write the files and their digests; 2 where there is no npm."""
    if shutil.which("npm") is None:
        print("npm is not installed: the browser's files stay as they are", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="journeymesh-browser-") as room:
        files = taken(installed(Path(room)))
    shutil.rmtree(SHIPPED, ignore_errors=True)
    for name, content in files.items():
        path = SHIPPED / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    RECORD.write_text(json.dumps(digests(files), indent=2) + "\n", "utf-8")
    print(f"{len(files)} files, {sum(map(len, files.values())):,} bytes: {SHIPPED.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
