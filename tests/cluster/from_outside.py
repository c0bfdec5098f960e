"""The bundle as its users reach it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from tempfile import NamedTemporaryFile

from tests.cluster.bring_up import ROOT, Bundle, run

CONSOLE_URL = ("kubectl", "-n", "dev", "get", "configmap", "console-serves", "-o", "jsonpath={.data.console}")
"""The command that prints where browsers reach the console."""


def end_to_end_tests(bundle: Bundle) -> str:
    """What the gates' black-box tests print, from this machine through the gateway's node port; they pass.

    By name: to whom names no server, Traefik shows a certificate of its own making.
    """
    gateway = bundle.gateway.replace("127.0.0.1", "localhost")
    secrets = json.loads(run("kubectl", "-n", "dev", "get", "secret", "keycloak-clients", "-o", "json"))["data"]
    certificate = json.loads(run("kubectl", "-n", "dev", "get", "secret", "gateway-tls", "-o", "json"))["data"]
    with NamedTemporaryFile(suffix=".crt") as ca_file:
        ca_file.write(base64.b64decode(certificate["tls.crt"]))
        ca_file.flush()
        environment = {
            **os.environ,
            "BASE_URL": gateway,
            "TOKEN_URL": f"{gateway}/realms/journeymesh/protocol/openid-connect/token",
            "GATEWAY": "yes",
            "CA_FILE": ca_file.name,
            "ANALYST_SECRET": base64.b64decode(secrets["e2e-analyst"]).decode(),
            "OFFICER_SECRET": base64.b64decode(secrets["e2e-officer"]).decode(),
            "READER_PASSWORD": base64.b64decode(secrets["e2e-reader"]).decode(),
            "NEWCOMER_PASSWORD": base64.b64decode(secrets["e2e-newcomer"]).decode(),
            "CONSOLE_URL": run(*CONSOLE_URL),
        }
        argv = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "tests/e2e"]
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout
