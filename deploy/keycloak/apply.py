"""Make a running Keycloak's realm what realm.json says: create it, or bring an existing one back to it.

    KEYCLOAK_ADMIN_CLIENT_ID=… KEYCLOAK_ADMIN_CLIENT_SECRET=… python deploy/keycloak/apply.py https://HOST

The realm's settings, the file's clients and who is capable of what become what the file says, and what somebody
changed in them by hand goes. People, their passwords and sessions, the realm's keys and who belongs to which group
stay. Groups of the file are made where they are missing and give what the file says; what the file does not name is
left alone.

`${NAME}` in the file is taken from the environment, and so is each confidential client's secret,
JOURNEYMESH_A_CLIENT_SECRET for client `a-client`, and the password of each person of the end-to-end tests, who are the
only people in the file: JOURNEYMESH_A_PERSON_PASSWORD for `a-person`. Secrets are no placeholders of the file:
Keycloak's own import, with the variable unset, would make the placeholder's text the secret; without one it makes a
random secret that nobody knows.

JOURNEYMESH_CONSOLE_INTERNAL_URL, where it is set, is where Keycloak itself reaches the console to say that a session
has ended; left out, at the address of browsers.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

REALM_FILE = Path(__file__).with_name("realm.json")
MIN_SECRET_CHARS = 16
INTERNAL_CONSOLE = "JOURNEYMESH_CONSOLE_INTERNAL_URL"
OF_LATE = "invalidPasswordHistoryMessage"
"""Keycloak's refusal of a password that somebody has, or had of late."""
_NOT_SETTINGS = {"clients", "groups", "roles", "users"}


class Stopped(Exception):
    """Why nothing, or nothing more, is done."""


def realm_from_file(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The realm, with addresses, clients' secrets and passwords from the environment."""
    text = path.read_text("utf-8")
    written = json.loads(text)
    confidential = [client["clientId"] for client in written["clients"] if client.get("clientAuthenticatorType")]
    secrets = {name: _variable(name, "SECRET") for name in confidential}
    passwords = {person["username"]: _variable(person["username"], "PASSWORD") for person in people(written)}
    hidden = {*secrets.values(), *passwords.values()}
    names = {*re.findall(r"\$\{([A-Z0-9_]+)\}", text), *hidden}
    if missing := sorted(name for name in names if not environment.get(name)):
        raise Stopped(f"set {', '.join(missing)} in the environment")
    if short := sorted(name for name in hidden if len(environment[name]) < MIN_SECRET_CHARS):
        raise Stopped(f"{', '.join(short)}: a secret has {MIN_SECRET_CHARS} characters at least")
    realm: dict[str, Any] = json.loads(
        re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: json.dumps(environment[found[1]])[1:-1], text)
    )
    for client in realm["clients"]:
        if client["clientId"] in secrets:
            client["secret"] = environment[secrets[client["clientId"]]]
        if client["clientId"] == "console" and environment.get(INTERNAL_CONSOLE):
            inside = f"{environment[INTERNAL_CONSOLE].rstrip('/')}/sign-out/everywhere"
            client["attributes"]["backchannel.logout.url"] = inside
    for person in people(realm):
        person["credentials"] = [_password(environment[passwords[person["username"]]])]
    return realm


def people(realm: dict[str, Any]) -> list[dict[str, Any]]:
    """Who of the realm's users signs in, as machines do not."""
    return [user for user in realm["users"] if "serviceAccountClientId" not in user]


def _variable(name: str, what: str) -> str:
    return f"JOURNEYMESH_{name.upper().replace('-', '_')}_{what}"


def _password(value: str) -> dict[str, Any]:
    return {"type": "password", "value": value, "temporary": False}


class Admin:
    """Keycloak's Admin API for one realm."""

    def __init__(self, url: str, client_id: str, client_secret: str, realm: str) -> None:
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=60)
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._form = form
        self._token, self._token_until_s = "", 0.0
        self._realm = f"/admin/realms/{quote(realm, safe='')}"

    def ask(self, method: str, path: str, body: Any = None, *, absent_is_none: bool = False, unless: str = "") -> Any:
        """The answer, decoded. ``unless``: the refusal that is no fault."""
        if time.monotonic() >= self._token_until_s:  # a token lives a minute in the master realm
            self._token_until_s = time.monotonic() + 30
            token = self._http.post("/realms/master/protocol/openid-connect/token", data=self._form)
            if token.status_code != 200:
                raise Stopped(f"the admin client is not let in ({token.status_code})")
            self._token = token.json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        target = path if path.startswith("/admin/") else f"{self._realm}{path}"
        answer = self._http.request(method, target, json=body, headers=headers)
        if absent_is_none and answer.status_code == 404:
            return None
        if unless and answer.status_code == 400 and unless in answer.text:
            return None
        if answer.is_error:
            raise Stopped(f"{method} {path.split('?', maxsplit=1)[0]}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    def clients(self) -> dict[str, dict[str, Any]]:
        """By client id."""
        return {client["clientId"]: client for client in self.ask("GET", "/clients?max=1000")}


def apply(admin: Admin, realm: dict[str, Any]) -> str:
    """Make it so. Returns what was done, in one word."""
    if admin.ask("GET", "", absent_is_none=True) is None:
        admin.ask("POST", "/admin/realms", realm)
        return "created"
    admin.ask("PUT", "", {name: value for name, value in realm.items() if name not in _NOT_SETTINGS})
    for wanted in realm["clients"]:
        apply_client(admin, wanted)
    ids = {client_id: client["id"] for client_id, client in admin.clients().items()}
    for client_id, roles in realm["roles"]["client"].items():
        apply_roles(admin, ids[client_id], roles)
    apply_groups(admin, ids, realm["groups"])
    for wanted in realm["clients"]:
        if settings := wanted.get("authorizationSettings"):
            apply_capabilities(admin, ids[wanted["clientId"]], settings)
    for user in realm["users"]:
        if client_id := user.get("serviceAccountClientId"):
            held = admin.ask("GET", f"/clients/{ids[client_id]}/service-account-user")["id"]
            join_groups(admin, held, user["groups"])
    for person in people(realm):
        apply_person(admin, person)
    return "updated"


def apply_client(admin: Admin, wanted: dict[str, Any]) -> None:
    """One client with its mappers."""
    settings = {name: value for name, value in wanted.items() if name != "authorizationSettings"}
    mappers = settings.pop("protocolMappers", [])
    held = admin.clients().get(wanted["clientId"])
    if held is None:
        admin.ask("POST", "/clients", {**settings, "protocolMappers": mappers})
        return
    admin.ask("PUT", f"/clients/{held['id']}", {**held, **settings})
    path = f"/clients/{held['id']}/protocol-mappers/models"
    ids = {mapper["name"]: mapper["id"] for mapper in admin.ask("GET", path)}
    for mapper in mappers:
        if mapper_id := ids.pop(mapper["name"], None):
            admin.ask("PUT", f"{path}/{mapper_id}", {**mapper, "id": mapper_id})
        else:
            admin.ask("POST", path, mapper)
    for mapper_id in ids.values():
        admin.ask("DELETE", f"{path}/{mapper_id}")


def apply_roles(admin: Admin, client: str, wanted: Iterable[dict[str, Any]]) -> None:
    """A client's roles: missing ones are made."""
    held = {role["name"] for role in admin.ask("GET", f"/clients/{client}/roles")}
    for role in wanted:
        if role["name"] not in held:
            admin.ask("POST", f"/clients/{client}/roles", role)


def apply_groups(admin: Admin, clients: Mapping[str, str], wanted: Iterable[dict[str, Any]], parent: str = "") -> None:
    """Groups under a parent's path: missing ones are made; attributes and roles become what the file says."""
    for group in wanted:
        path = f"{parent}/{group['name']}"
        settings = {"name": group["name"], "attributes": group.get("attributes", {})}
        held = admin.ask("GET", f"/group-by-path{quote(path)}", absent_is_none=True)
        if held is None:
            above = admin.ask("GET", f"/group-by-path{quote(parent)}")["id"] if parent else ""
            admin.ask("POST", f"/groups/{above}/children" if above else "/groups", settings)
            held = admin.ask("GET", f"/group-by-path{quote(path)}")
        else:
            admin.ask("PUT", f"/groups/{held['id']}", settings)
        for client_id, client in clients.items():
            names = set(group.get("clientRoles", {}).get(client_id, []))
            mapped = f"/groups/{held['id']}/role-mappings/clients/{client}"
            given = {role["name"]: role for role in admin.ask("GET", mapped)}
            if missing := names - set(given):
                roles = admin.ask("GET", f"/clients/{client}/roles")
                admin.ask("POST", mapped, [role for role in roles if role["name"] in missing])
            if surplus := [role for name, role in given.items() if name not in names]:
                admin.ask("DELETE", mapped, surplus)
        apply_groups(admin, clients, group.get("subGroups", []), path)


def apply_capabilities(admin: Admin, client: str, wanted: dict[str, Any]) -> None:
    """The resources, scopes and permissions that say who is capable of what. Surplus permissions go first."""
    server = f"/clients/{client}/authz/resource-server"
    known = {policy["name"] for policy in wanted["policies"]}
    for policy in admin.ask("GET", f"{server}/policy?max=1000"):
        if policy["name"] not in known:
            admin.ask("DELETE", f"{server}/policy/{policy['id']}", absent_is_none=True)
    admin.ask("POST", f"{server}/import", wanted)


def apply_person(admin: Admin, wanted: dict[str, Any]) -> None:
    """Somebody of the file: made where missing, with the password, the groups and the state that it says."""
    held = admin.ask("GET", f"/users?exact=true&username={quote(wanted['username'])}")
    if not held:
        admin.ask("POST", "/users", wanted)
        return
    user = held[0]["id"]
    settings = {name: value for name, value in wanted.items() if name not in ("credentials", "groups")}
    admin.ask("PUT", f"/users/{user}", {**held[0], **settings})
    [password] = wanted["credentials"]
    admin.ask("PUT", f"/users/{user}/reset-password", password, unless=OF_LATE)
    join_groups(admin, user, wanted["groups"])


def join_groups(admin: Admin, user: str, paths: Iterable[str]) -> None:
    """A user belongs to these groups."""
    for path in paths:
        group = admin.ask("GET", f"/group-by-path{quote(path)}")["id"]
        admin.ask("PUT", f"/users/{user}/groups/{group}")


def main(arguments: list[str]) -> int:
    """Apply the realm to the Keycloak that the first argument names."""
    if len(arguments) != 1:
        print("usage: python apply.py https://KEYCLOAK", file=sys.stderr)
        return 2
    try:
        realm = realm_from_file(REALM_FILE, os.environ)
        client_id, secret = (os.environ.get(f"KEYCLOAK_ADMIN_CLIENT_{part}", "") for part in ("ID", "SECRET"))
        if not client_id or not secret:
            raise Stopped("set KEYCLOAK_ADMIN_CLIENT_ID and KEYCLOAK_ADMIN_CLIENT_SECRET in the environment")
        done = apply(Admin(arguments[0], client_id, secret, realm["realm"]), realm)
    except (Stopped, httpx.HTTPError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"realm {realm['realm']}: {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
