"""A release with a fault of a given kind, as its pod would run it: the real service behind a few lines that spoil it.

Runs inside the candidate's and the stable one's container as ``python -c``: the real command listens on 8081, this on
8080. Standard library only. ``FAULT`` is one of:

    500s           four answers of five under /v1 are a 500
    slow           every answer under /v1 comes after a second
    schema         one field of every answer has another name
    auth bypass    who has no token that holds is answered as the last one who had
"""

from __future__ import annotations

import http.client
import http.server
import itertools
import os
import subprocess
import sys
import time

FAULT = os.environ.get("FAULT", "")
HELD: dict[str, str] = {}
COUNT = itertools.count(1)


class Spoiler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.pass_on()

    def do_POST(self) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        spoils = self.path.startswith("/v1")
        if spoils and FAULT == "slow":
            time.sleep(1)
        if spoils and FAULT == "500s" and next(COUNT) % 5:
            self.reply(500, {}, b"{}")
            return
        status, given, content = ask(self.command, self.path, body, headers)
        if spoils and FAULT == "auth bypass":
            if status < 400:
                HELD.update({name: headers[name] for name in ("Authorization", "Data-Purpose") if name in headers})
            elif status == 401 and HELD:
                status, given, content = ask(self.command, self.path, body, headers | HELD)
        if spoils and FAULT == "schema":
            content = content.replace(b'"distance_m"', b'"distance_km"').replace(b'"tenant"', b'"mandant"')
        self.reply(status, given, content)

    def reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
    """The real service's answer; 503 while it is not there."""
    link = http.client.HTTPConnection("127.0.0.1", 8081, timeout=30)
    try:
        link.request(method, path, body, {**headers, "Accept-Encoding": "identity"})
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    except OSError:
        return 503, {}, b""
    finally:
        link.close()


if __name__ == "__main__":
    real = subprocess.Popen(["journeymesh", *sys.argv[1:]])
    try:
        http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Spoiler).serve_forever()
    finally:
        real.terminate()
