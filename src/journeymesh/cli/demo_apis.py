"""The demo's second half: both APIs over the demo's store, asked by the curl lines that it prints, and the console."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from journeymesh.cli.access import write_access
from journeymesh.cli.output import say
from journeymesh.errors import JourneymeshError

STARTS_WITHIN_S: Final = 600.0
"""A service that lives is waited for so long: the machine may be busy with other work, or compile the pass first."""
_WIDTH: Final = 110
_MOST_LINES: Final = 14


class DemoFailed(JourneymeshError):
    """A service of the demo did not start, or gave an answer that the demo cannot go on from."""


@dataclass(frozen=True, slots=True)
class Served:
    """The services: where they are, and the access file they decide by."""

    journeyapi: str
    identityapi: str
    console: str
    access: Path


@contextmanager
def served(room: Path, store: str, rules: str) -> Iterator[Served]:
    """The services as processes of their own, over a new access file in this folder."""

    folder = room / "access"
    shutil.rmtree(folder, ignore_errors=True)
    access = write_access(folder)
    with (
        process_of(folder, "identityapi", access) as identityapi,
        process_of(folder, "journeyapi", access, "--store", store, "--rules", rules) as journeyapi,
        _console(folder, access, journeyapi, identityapi) as console,
    ):
        yield Served(journeyapi, identityapi, console, access)


def show_console(at: Served, policy: str) -> None:
    """Say where the console is, once it answers.

    Raises:
        DemoFailed: it does not.
    """
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{at.console}/sign-in"]
    status = subprocess.run(curl, capture_output=True, text=True, check=False).stdout
    if status != "200":
        raise DemoFailed(f"the console answered {status or 'nothing'}, not 200", todo=f"see {at.access.parent}")
    say(f"\n8. The same for people: {at.console} – sign in as analyst and look at policy {policy}")


def show(at: Served, policy: str) -> None:
    """Ask as people would: refused first; then asked for, approved, acknowledged; then answered.

    Raises:
        DemoFailed: an answer is not what the demo goes on from.
    """
    from journeymesh.wiring.access import open_minter

    minter = open_minter(at.access)
    people = ("analyst", "privacy-officer", "operator")
    curl = _Curl({name: minter.mint(name) for name in people})
    summary = f"{at.journeyapi}/v1/policies/{policy}/summary?period=month"
    approvals = f"{at.identityapi}/v1/approvals"
    for name in people:
        say(f"   {_variable(name)}=$(journeymesh token --as {name} --access {at.access})")
    say("\n   What is the analyst capable of?")
    curl.ask("analyst", f"{at.identityapi}/v1/me/capabilities?product=journeys")
    say("\n   A capability is not enough: personal data also needs a purpose, and an approval of it.")
    curl.ask("analyst", summary, purpose="pricing", expected=403)
    say("\n   The analyst asks for it, the privacy officer approves, the analyst takes on what it obliges to.")
    wish = {"product": "journeys", "purpose": "pricing", "domain": "pricing", "reason": "the tariff of next year"}
    asked = curl.ask("analyst", approvals, body=wish, expected=201)
    one = f"{approvals}/{asked['id']}"
    curl.ask("privacy-officer", f"{one}:approve", body={"why": "the tariff rests on distance, not on places"})
    curl.ask("analyst", f"{one}:acknowledge", body={"why": "we keep to it"})
    say("\n   Within a second every replica knows, and the answer comes.")
    time.sleep(1.0)
    curl.ask("analyst", summary, purpose="pricing")
    say("\n   What was decided is on record, and the record holds.")
    curl.ask("privacy-officer", f"{at.identityapi}/v1/audit?limit=2")
    curl.ask("operator", f"{at.identityapi}/v1/audit:verify", body={})


def wait_for_the_end() -> None:
    """Until Ctrl-C or SIGTERM."""
    stopped = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopped)
    try:
        signal.sigwait(stopped)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopped)


@dataclass(frozen=True, slots=True)
class _Curl:
    """Runs curl lines with people's tokens and shows each as it can be typed, and its answer."""

    tokens: dict[str, str]

    def ask(
        self, person: str, url: str, *, purpose: str | None = None, body: object = None, expected: int = 200
    ) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            DemoFailed: another status came than the expected one.
        """
        line = ["curl", "-s"]
        if purpose is not None:
            line += ["-H", f"Data-Purpose: {purpose}"]
        if body is not None:
            line += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        line.append(url)
        shown = " ".join(shlex.quote(part) for part in line[1:])
        say(f'\n   $ curl -H "Authorization: Bearer ${_variable(person)}" {shown}')
        # The token goes in by a file descriptor: arguments are there for every user of the machine to read.
        ran = subprocess.run(
            [*line, "-K", "-", "-w", "\n%{http_code}"],
            input=f'header = "Authorization: Bearer {self.tokens[person]}"\n',
            capture_output=True,
            text=True,
            check=False,
        )
        text, _, status = ran.stdout.rpartition("\n")
        say("\n".join(f"   {part}" for part in _abridged(text)))
        if ran.returncode or status != str(expected):
            raise DemoFailed(f"{url} answered {status or 'nothing'}, not {expected}", todo="see what it says above")
        answer: dict[str, Any] = json.loads(text)
        return answer


def _abridged(text: str) -> list[str]:
    """The JSON in lines that fit a screen; what is left out is said."""
    try:
        lines = json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        lines = text.splitlines()
    shown = [line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…" for line in lines[:_MOST_LINES]]
    left_out = len(lines) - len(shown)
    return [*shown, f"… {left_out} lines more"] if left_out > 0 else shown


def _variable(person: str) -> str:
    return person.upper().replace("-", "_")


def _console(folder: Path, access: Path, journeyapi: str, identityapi: str) -> AbstractContextManager[str]:
    urls = ("--journeyapi", journeyapi, "--identityapi", identityapi)
    return process_of(folder, "console", None, *urls, "--sign-in-as", str(access))


@contextmanager
def process_of(folder: Path, service: str, access: Path | None, *options: str) -> Iterator[str]:
    """The service in a process of its own, on a free port; its address. It is told to stop at the end."""
    log = folder / f"{service}.log"
    decides = [] if access is None else ["--access", str(access)]
    command = [sys.executable, "-m", "journeymesh", "serve", service, *decides, "--port", "0", *options]
    with open(log, "wb") as written:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
    try:
        yield _address(process, service, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def _address(process: subprocess.Popen[bytes], service: str, log: Path) -> str:
    """Where the service says that it listens.

    Raises:
        DemoFailed: it ended, or said nothing in time.
    """
    until_s = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until_s and process.poll() is None:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith(f"{service}: http"):
                return line.partition(" ")[2]
        time.sleep(0.05)
    last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["it printed nothing"]
    raise DemoFailed(f"{service} did not start: {last[0]}", todo=f"see {log}")
