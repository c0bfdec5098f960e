"""Two consoles over one database, and a browser whose requests go to one and the other in turn."""

from __future__ import annotations

import html
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from journeymesh.cli.access import write_access
from journeymesh.cli.demo_apis import process_of

PUBLIC = "http://console.test"
NOBODY = "http://127.0.0.1:9"
"""Where journeyapi would be, which these tests do not ask."""


@dataclass(frozen=True)
class Replicas:
    """The consoles' addresses, the access file that identityapi decides by, and the database that all share."""

    consoles: tuple[str, str]
    access: Path
    identityapi: str
    database: str

    def browser(self) -> Visitor:
        return Visitor(self)


@dataclass
class Visitor:
    """A browser without scripts behind a balancer: each request names the replica that answers it."""

    at: Replicas
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, follow_redirects=False))

    def get(self, replica: int, path: str) -> httpx.Response:
        return self.client.get(f"{self.at.consoles[replica]}{path}")

    def post(self, replica: int, path: str, **fields: str) -> httpx.Response:
        return self.client.post(f"{self.at.consoles[replica]}{path}", data=fields, headers={"origin": PUBLIC})

    def form_token(self, replica: int) -> str:
        return self.get(replica, "/approvals").text.partition('name="form_token" value="')[2].partition('"')[0]

    def is_signed_in(self, replica: int) -> bool:
        answer = self.get(replica, "/")
        assert answer.status_code in (200, 303), answer.text
        return answer.status_code == 200

    def copied(self) -> Visitor:
        """Who has a copy of this browser's cookies."""
        return Visitor(self.at, httpx.Client(timeout=60, cookies=dict(self.client.cookies.items())))

    def sign_in_at_keycloak(self, begun: int, ended: int, name: str, password: str) -> httpx.Response:
        """By a form of Keycloak's; what the replica answers that the browser comes back to."""
        sent_on = self.get(begun, "/sign-in/start").headers["location"]
        form = self.client.get(sent_on)
        action = re.search(r'action="([^"]+)"', form.text)
        assert action is not None, form.text
        cookies = "; ".join(each.partition(";")[0] for each in form.headers.get_list("set-cookie"))
        back = httpx.post(
            html.unescape(action[1]), data={"username": name, "password": password}, headers={"cookie": cookies}
        )
        came_to = urlsplit(back.headers["location"])
        assert f"{came_to.scheme}://{came_to.netloc}" == PUBLIC, back.headers["location"]
        return self.get(ended, f"{came_to.path}?{came_to.query}")

    @contextmanager
    def page_open(self, replica: int) -> Iterator[OpenPage]:
        """The live updates of a page that is open."""
        shown = self.get(replica, "/").text
        query = html.unescape(shown.partition('hx-sse:connect="/live?')[2].partition('"')[0])
        page = OpenPage(f"{self.at.consoles[replica]}/live?{query}", dict(self.client.cookies.items()))
        page.thread.start()
        try:
            yield page
        finally:
            page.close()


class OpenPage:
    """Reads a stream by a thread of its own."""

    def __init__(self, url: str, cookies: dict[str, str]) -> None:
        self._url, self._client = url, httpx.Client(cookies=cookies, timeout=60)
        self.events: list[tuple[str, float]] = []
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)

    def until(self, event: str, within_s: float) -> float:
        """When it came, by the monotonic clock."""
        ends_s = time.monotonic() + within_s
        with self.news:
            while True:
                for name, at_s in self.events:
                    if name == event:
                        return at_s
                assert self.news.wait(max(0.0, ends_s - time.monotonic())), f"no {event!r} in {within_s} s"

    def _read(self) -> None:
        try:
            with self._client.stream("GET", self._url, headers={"sec-fetch-site": "same-origin"}) as answer:
                for line in answer.iter_lines():
                    if line.startswith("event: "):
                        with self.news:
                            self.events.append((line.removeprefix("event: "), time.monotonic()))
                            self.news.notify_all()
        except (httpx.HTTPError, RuntimeError):
            return  # closed

    def close(self) -> None:
        self._client.close()


@contextmanager
def replicas_served(room: Path, database: str, *options: str, **access: Any) -> Iterator[Replicas]:
    """identityapi and two consoles. ``access``: what the access file says besides; ``options``: of both consoles."""
    file = write_access(room / "access")
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text("utf-8")), "database": database, **access}))
    with ExitStack() as running:
        identityapi = running.enter_context(process_of(room, "identityapi", file))
        given = ["--journeyapi", NOBODY, "--identityapi", identityapi, "--public-url", PUBLIC, "--sessions", database]
        consoles = []
        for name in ("a", "b"):
            (room / name).mkdir()
            consoles.append(running.enter_context(process_of(room / name, "console", None, *given, *options)))
        yield Replicas((consoles[0], consoles[1]), file, identityapi, database)
