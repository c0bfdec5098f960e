"""A real Keycloak on this machine, with the realm of deploy/keycloak, for a session of tests."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

VERSION = "26.7.3"
ROOT = Path(__file__).parents[2]
REALM_FILE = ROOT / "deploy/keycloak/realm.json"
APPLY = ROOT / "deploy/keycloak/apply.py"
REALM = "journeymesh"
CONSOLE = "https://console.example"
CALLBACK = f"{CONSOLE}/callback"
JAVA = "-Xmx512m -XX:TieredStopAtLevel=1 -XX:-UseG1GC -XX:+UseSerialGC"
"""It lives for minutes: compiling well, and collecting garbage beside, would cost more than they save."""


def keycloak_home() -> Path:
    """A built Keycloak: ``JOURNEYMESH_TEST_KEYCLOAK_HOME``, or Maven Central's distribution, kept in .cache."""
    if shutil.which("java") is None:
        pytest.skip("java is not installed, which Keycloak needs")
    if given := os.environ.get("JOURNEYMESH_TEST_KEYCLOAK_HOME"):
        return Path(given)
    kept = ROOT / f".cache/keycloak-{VERSION}"
    if not kept.exists():
        if shutil.which("mvn") is None:
            pytest.skip("JOURNEYMESH_TEST_KEYCLOAK_HOME is unset and mvn, which could fetch Keycloak, not installed")
        _fetch_and_build(kept)
    return kept


def _fetch_and_build(kept: Path) -> None:
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
        fetch = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
        fetched = subprocess.run(fetch, check=False, capture_output=True, text=True)
        if fetched.returncode:
            pytest.skip(f"Keycloak could not be fetched by mvn: {fetched.stdout[:200]}")
        home = Path(folder) / f"keycloak-{VERSION}"
        subprocess.run(
            ["tar", "xzf", f"{home}.tar.gz".replace("keycloak-", "keycloak-quarkus-dist-"), "-C", folder], check=True
        )
        build = [str(home / "bin/kc.sh"), "build", "--db=dev-mem", "--health-enabled=true"]
        subprocess.run(build, check=True, capture_output=True)
        home.rename(kept)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Keycloak:
    """The running server: who administers it, and how people and machines get tokens of it."""

    def __init__(
        self, url: str, process: subprocess.Popen[bytes], environment: dict[str, str], hostname: str = ""
    ) -> None:
        self.url = url
        self.issuer = f"{hostname or url}/realms/{REALM}"
        self.internal_url = f"{url}/realms/{REALM}"
        self.process = process
        self.environment = environment
        self.imported_secrets: dict[str, str] = {}
        self.http = httpx.Client(timeout=60)
        self.token_url = f"{self.internal_url}/protocol/openid-connect/token"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """The Admin API's answer for our realm."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.environment["KC_BOOTSTRAP_ADMIN_CLIENT_ID"],
            "client_secret": self.environment["KC_BOOTSTRAP_ADMIN_CLIENT_SECRET"],
        }
        token = self.http.post(f"{self.url}/realms/master/protocol/openid-connect/token", data=form).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        answer = self.http.request(method, f"{self.url}/admin/realms/{REALM}{path}", json=body, headers=headers)
        assert not answer.is_error, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json() if answer.content else None

    def add_person(self, group: str) -> tuple[str, str]:
        """A new person in a group: user name and password, both made at random."""
        name, password = f"person-{secrets.token_hex(6)}", secrets.token_urlsafe(18)
        person = {
            "username": name,
            "enabled": True,
            "email": f"{name}@insurer.example",
            "firstName": "Some",
            "lastName": "Body",
            "credentials": [{"type": "password", "value": password, "temporary": False}],
            "groups": [group],
        }
        self.admin("POST", "/users", person)
        return name, password

    def person_id(self, name: str) -> str:
        return str(self.admin("GET", f"/users?exact=true&username={name}")[0]["id"])

    def move(self, name: str, old: str, to: str) -> None:
        """Out of one group and into another."""
        person = self.person_id(name)
        for method, path in (("PUT", to), ("DELETE", old)):
            group = self.admin("GET", f"/group-by-path{path}")["id"]
            self.admin(method, f"/users/{person}/groups/{group}")

    def machine_token(self, client: str) -> dict[str, Any]:
        """By client credentials."""
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": self.secret(client)}
        return self.posted(form)

    def secret(self, client: str) -> str:
        return self.environment[f"JOURNEYMESH_{client.upper().replace('-', '_')}_SECRET"]

    def apply_realm(self, **changed: str) -> str:
        """What deploy/keycloak/apply.py says, with these variables changed."""
        admin = {
            "KEYCLOAK_ADMIN_CLIENT_ID": self.environment["KC_BOOTSTRAP_ADMIN_CLIENT_ID"],
            "KEYCLOAK_ADMIN_CLIENT_SECRET": self.environment["KC_BOOTSTRAP_ADMIN_CLIENT_SECRET"],
        }
        environment = {**os.environ, **self.environment, **admin, **changed}
        command = [sys.executable, str(APPLY), self.url]
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def posted(self, form: dict[str, str]) -> dict[str, Any]:
        """What the token endpoint answers."""
        answered: dict[str, Any] = self.http.post(self.token_url, data=form).json()
        return answered

    def log_in(self, name: str, password: str, client: str = "console", **changed: str) -> dict[str, Any]:
        """By authorisation code with PKCE, as a browser does it. The token endpoint's answer, or ``error``."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "client_id": client,
            "response_type": "code",
            "scope": "openid",
            "redirect_uri": CALLBACK,
            "state": secrets.token_hex(8),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **changed,
        }
        sent = {key: value for key, value in query.items() if value}
        page = self.http.get(f"{self.issuer}/protocol/openid-connect/auth", params=sent)
        action = re.search(r'action="([^"]+)"', page.text)
        if page.is_redirect or action is None:
            return _told(page)
        # Its cookies are Secure; over http a client does not send them back by itself. A browser on localhost does.
        cookies = "; ".join(each.partition(";")[0] for each in page.headers.get_list("set-cookie"))
        back = self.http.post(
            html.unescape(action[1]), data={"username": name, "password": password}, headers={"Cookie": cookies}
        )
        if not back.is_redirect or not back.headers["location"].startswith(CALLBACK):
            return {"error": "not_let_in", "page": back.text}
        code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
        secret = {"client_secret": self.secret(client)} if client == "console" else {}
        return self.posted(
            {
                **secret,
                "grant_type": "authorization_code",
                "client_id": client,
                "code": code,
                "redirect_uri": CALLBACK,
                "code_verifier": verifier,
            }
        )

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It accepts connections and answers nothing, as a server does that is out of memory."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            self._wait_until_silent()
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def _wait_until_silent(self) -> None:
        """Threads stop when they next look at their signals: until then one may still answer."""
        for _ in range(50):
            try:
                httpx.get(self.issuer, timeout=0.5)
            except httpx.TimeoutException:
                return
        raise AssertionError("Keycloak answers though it was stopped")


def _told(page: httpx.Response) -> dict[str, Any]:
    """The error that an authorisation request was answered with."""
    told = parse_qs(urlsplit(page.headers.get("location", "")).query)
    return {"error": told.get("error", ["refused"])[0], "status": page.status_code}


@contextmanager
def running_keycloak(hostname: str = "") -> Iterator[Keycloak]:
    """A server of our own on free loopback ports, its database in memory, the realm imported as it starts.

    ``hostname``: the address by which browsers and tokens know it; left out, the one by which it is asked.
    """
    built = keycloak_home()
    port, management_port = _free_port(), _free_port()
    environment = {  # what Keycloak and those who run it are given
        "KC_BOOTSTRAP_ADMIN_CLIENT_ID": "bootstrap",
        "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_CONSOLE_URL": CONSOLE,
        "JOURNEYMESH_CONSOLE_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_INGEST_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_GATEWAY_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_E2E_ANALYST_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_E2E_OFFICER_SECRET": secrets.token_urlsafe(24),
        "JOURNEYMESH_E2E_READER_PASSWORD": secrets.token_urlsafe(24),
        "JOURNEYMESH_E2E_NEWCOMER_PASSWORD": secrets.token_urlsafe(24),
    }
    started_with = {name: value for name, value in environment.items() if not name.startswith("JOURNEYMESH_")}
    started_with["JOURNEYMESH_CONSOLE_URL"] = CONSOLE
    with tempfile.TemporaryDirectory(prefix="jm-keycloak-") as folder:
        home = Path(folder) / "keycloak"
        shutil.copytree(built, home, symlinks=True, ignore=shutil.ignore_patterns("data"))
        (home / "data/import").mkdir(parents=True)
        shutil.copy(REALM_FILE, home / "data/import")
        command = [
            *(str(home / "bin/kc.sh"), "start", "--optimized", "--import-realm", "--cache=local"),
            *("--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}"),
            *([f"--hostname={hostname}", "--proxy-headers=xforwarded"] if hostname else ["--hostname-strict=false"]),
            *("--http-management-host=127.0.0.1", f"--http-management-port={management_port}"),
        ]
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                env={**os.environ, **started_with, "JAVA_OPTS_APPEND": JAVA},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{management_port}/health/ready", log)
            server = Keycloak(f"http://127.0.0.1:{port}", process, environment, hostname)
            for client in ("console", "ingest", "gateway"):
                held = server.admin("GET", f"/clients?clientId={client}")[0]
                server.imported_secrets[client] = held["secret"]
                server.admin("PUT", f"/clients/{held['id']}", {**held, "secret": server.secret(client)})
            yield server
            server.http.close()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends_at = time.monotonic() + 240
    while time.monotonic() < ends_at:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert process.poll() is None, log.read_text("utf-8", "replace")[-3000:]
        time.sleep(0.3)
    raise AssertionError(f"Keycloak is not ready: {log.read_text('utf-8', 'replace')[-3000:]}")
