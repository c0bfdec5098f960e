"""Write docs/explanation/two-walks.md: which files of the product two common tasks run through, by tracing them.

``python docs/trace_walks.py`` runs ``preprocess`` of a small CSV and ``GET /v1/policies/{policy}/summary`` over the
store that comes of it, in this process, and notes each file of the package in which a function begins meanwhile;
what runs while modules are imported, a store is migrated or a service is opened does not count. ``--check`` writes
nothing and fails where a walk has grown or a file on it is too long.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import journeymesh

PAGE = Path(__file__).parent / "explanation/two-walks.md"
PACKAGE = Path(journeymesh.__file__).parent
MOST_LINES = 400
INTRODUCTION = """\
Which files of the product two common tasks run through, in the order in which each is first entered. \
`python docs/trace_walks.py` runs both and writes this page; files that run only while modules are imported, a store \
is migrated or a service is opened do not count."""
_NOT_FUNCTIONS = frozenset(("<module>", "<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"))


class Trace:
    """The files of the package in which functions began while it was on, each with its first function, in order."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._on = False
        self._known: dict[str, str | None] = {}

    @contextmanager
    def on(self) -> Iterator[None]:
        """Note what begins in this thread and in those that were started since ``installed``."""
        self._on = True
        try:
            yield
        finally:
            self._on = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """See this thread and every thread that is started from now on."""
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _event(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if not self._on or event != "call" or code.co_name in _NOT_FUNCTIONS or "__qualname__" in code.co_names[:3]:
            return  # the body of a class begins by storing its __qualname__
        name = code.co_filename
        if name not in self._known:
            path = Path(name)
            inside = path.is_relative_to(PACKAGE) and path.is_file()
            self._known[name] = path.relative_to(PACKAGE).as_posix() if inside else None
        file = self._known[name]
        if file is not None:
            self.files.setdefault(file, code.co_qualname)


def preprocessed(folder: Path) -> tuple[Trace, str, str]:
    """``preprocess`` over a CSV of two vehicles and two days into a store that is migrated and empty: its walk, the
    store's URL, and a policy's number. It is run into another store before, so that all is imported."""
    fleet, trace = folder / "fleet", Trace()
    _run("generate", "--out", str(fleet), "--vehicles", "2", "--days", "2", "--format", "csv")
    given = ("--source", str(fleet / "fixes.csv"), "--policies", str(fleet / "policies.json"), "--rules", "always-on")
    _run("preprocess", "--store", f"sqlite:///{folder}/before.db", *given)
    store = f"sqlite:///{folder}/journeys.db"
    _run("store", "migrate", "--store", store)
    with trace.installed(), trace.on():
        _run("preprocess", "--store", store, *given)
    listed = json.loads(_run("journeys", "list", "--store", store, "--format", "json"))
    return trace, store, next(journey["policy"] for journey in listed if journey["policy"] is not None)


def summarised(folder: Path, store: str, policy: str) -> Trace:
    """The first request for a policy's summary, by an analyst with an approved purpose."""
    sys.path.insert(0, str(PAGE.parents[2]))
    from tests.support.asgi_client import AsgiClient

    from journeymesh.cli.access import write_access
    from journeymesh.services.http.config import HttpConfig
    from journeymesh.services.http.life import Life
    from journeymesh.services.opening import open_identityapi, open_journeyapi
    from journeymesh.wiring.access import open_minter

    access, trace = write_access(folder / "access"), Trace()
    minter = open_minter(access)
    analyst, officer = ({"authorization": f"Bearer {minter.mint(who)}"} for who in ("analyst", "privacy-officer"))
    with trace.installed(), ExitStack() as opened:
        opened.enter_context(contextlib.redirect_stderr(io.TextIOWrapper(io.BytesIO())))
        identityapi = opened.enter_context(open_identityapi(access, config=HttpConfig(), life=Life()))
        with AsgiClient(identityapi) as client:
            wish = {"product": "journeys", "purpose": "pricing", "domain": "pricing", "reason": "a walk"}
            approval = client.post("/v1/approvals", json=wish, headers=analyst).raise_for_status().json()["id"]
            for who, step in ((officer, "approve"), (analyst, "acknowledge")):
                why = {"why": "agreed"}
                client.post(f"/v1/approvals/{approval}:{step}", json=why, headers=who).raise_for_status()
        journeyapi = opened.enter_context(open_journeyapi(access, store=store, config=HttpConfig(), life=Life()))
        with AsgiClient(journeyapi) as client:
            time.sleep(1.5)  # a replica knows of an approval within a second
            headers = {**analyst, "data-purpose": "pricing"}
            with trace.on():
                answer = client.get(f"/v1/policies/{quote(policy)}/summary?period=month", headers=headers)
        if answer.status_code != 200:
            raise SystemExit(f"no summary: {answer.status_code} {answer.text}")
    return trace


def _run(*arguments: str) -> str:
    """What the command prints, run in this process."""
    from typer.testing import CliRunner

    from journeymesh.cli.main import app

    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    if result.exit_code:
        raise SystemExit(f"{' '.join(arguments)}: exit code {result.exit_code}: {result.output}")
    return result.stdout


def page(walks: dict[str, Trace]) -> str:
    """The page as Markdown."""
    parts = ["# Two walks through the code", INTRODUCTION]
    for title, trace in walks.items():
        rows = [f"| {number} | `{file}` | `{first}` |" for number, (file, first) in enumerate(trace.files.items(), 1)]
        parts += [
            f"## {title}: {len(trace.files)} files",
            "\n".join(["| | file | entered by |", "|---|---|---|", *rows]),
        ]
    return "\n\n".join(parts) + "\n"


def counts(text: str) -> dict[str, int]:
    """How many files each walk on the page has."""
    return {title: int(number) for title, number in re.findall(r"^## (.+): (\d+) files$", text, re.MULTILINE)}


def faults(walks: dict[str, Trace], before: dict[str, int]) -> list[str]:
    """What is wrong with the walks, beside how many files each had before."""
    found = []
    for title, trace in walks.items():
        if len(trace.files) > before.get(title, 0):
            found.append(f"{title} runs through {len(trace.files)} files, the page says {before.get(title, 0)}")
        for file in trace.files:
            lines = len((PACKAGE / file).read_text("utf-8").splitlines())
            if lines > MOST_LINES:
                found.append(f"{title} runs through {file}, which has {lines} lines")
    return found


def main() -> None:
    """Trace both and write the page, or check it."""
    with tempfile.TemporaryDirectory() as folder:
        made, store, policy = preprocessed(Path(folder))
        asked = summarised(Path(folder), store, policy)
    walks = {"`preprocess` of a CSV": made, "`GET /v1/policies/{policy}/summary`": asked}
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(walks), "utf-8")
        print(*(f"{title}: {len(trace.files)} files" for title, trace in walks.items()), sep="\n")
    elif wrong := faults(walks, counts(PAGE.read_text("utf-8"))):
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
