"""What compose.yaml needs beside itself and what never belongs in git: passwords, in a file that Compose reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from journeymesh.delivery.secret_values import password
from journeymesh.errors import UsageError

COMPOSE_FILE: Final = "compose.yaml"
FOLDER: Final = ".compose"
PASSWORDS: Final = (
    "POSTGRES_PASSWORD",
    "JOURNEYAPI_PASSWORD",
    "IDENTITYAPI_PASSWORD",
    "KEYCLOAK_PASSWORD",
    "CONSOLE_PASSWORD",
    "KEYCLOAK_ADMIN_CLIENT_SECRET",
    "JOURNEYMESH_CONSOLE_SECRET",
    "JOURNEYMESH_INGEST_SECRET",
    "JOURNEYMESH_GATEWAY_SECRET",
    "JOURNEYMESH_E2E_ANALYST_SECRET",
    "JOURNEYMESH_E2E_OFFICER_SECRET",
    "JOURNEYMESH_E2E_READER_PASSWORD",
    "JOURNEYMESH_E2E_NEWCOMER_PASSWORD",
    "MONGODB_PASSWORD",
    "RABBITMQ_PASSWORD",
)
"""Every variable of compose.yaml that is a secret."""
IMAGE_USER: Final = 10001
"""Whom the image runs as; on a laptop where root calls, the files are given to that user."""


def write_environment(folder: Path) -> Path:
    """``.env`` beside compose.yaml, with new passwords, that only its owner can read.

    Raises:
        UsageError: there is no compose.yaml, or there is such a file already: databases know its passwords.
    """
    path = folder / ".env"
    if not (folder / COMPOSE_FILE).is_file():
        raise UsageError(f"no {COMPOSE_FILE} in {folder}", todo="name the repository's folder by --tree")
    user = os.getuid() or IMAGE_USER
    made = {name: password() for name in PASSWORDS}
    lines = [
        "# Made by `journeymesh delivery compose`, read by Docker Compose. Never in git.",
        f"JOURNEYMESH_UID={user}",
        f"JOURNEYMESH_GID={os.getgid() or IMAGE_USER}",
        *(f"{name}={value}" for name, value in made.items()),
        "# Where journeys are kept; left out, in SQLite below .compose.",
        f"#JOURNEYMESH_STORE=postgresql://journeyapi:{made['JOURNEYAPI_PASSWORD']}@postgresql:5432/journeys",
    ]
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except FileExistsError as error:
        todo = "keep it, because the databases use its passwords; or remove it and the volumes: docker compose down -v"
        raise UsageError(f"{path} already exists", todo=todo) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", todo="name another folder") from error
    return path


def give_to_containers(folder: Path) -> None:
    """Where root made the files, let the image's own user have them; a container is not run as root."""
    if os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, IMAGE_USER, IMAGE_USER)
