"""A small HTTP service: answers with its name, ends when it is told to and what is under way is done."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("NAME", "sample-python")
ANSWERS = {
    "/": {"name": NAME, "language": "Python"},
    "/livez": {"alive": True},
    "/readyz": {"ready": True},
}


class Answering(BaseHTTPRequestHandler):
    server_version, sys_version = "sample", ""
    timeout = 10

    def do_GET(self) -> None:
        found = ANSWERS.get(self.path.partition("?")[0])
        body = json.dumps(found or {"title": "Not Found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Serving(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for answers under way
    request_queue_size = 128


server = Serving(("", int(os.environ.get("PORT", "8080"))), Answering)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(poll_interval=0.1)
server.server_close()
print("drained", flush=True)
