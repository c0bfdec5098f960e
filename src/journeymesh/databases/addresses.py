"""Store URLs as users may see them: without passwords."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

_USERINFO: Final = re.compile(r"(?<=://)([^/@:]*):(.*)@(?=[^@]*$)")
_SECRETS: Final = re.compile(
    r"([?&](?:password|sslpassword|passfile|tlsCertificateKeyFilePassword|authMechanismProperties)=)([^&]*)", re.I
)


def shown_url(url: str) -> str:
    """The URL with every password replaced by ``***``."""
    return _SECRETS.sub(r"\1***", _USERINFO.sub(r"\1:***@", url))


def without_secrets(text: str, url: str) -> str:
    """The first line of a driver's message, without the URL's passwords should the driver repeat them."""
    line = next((part for part in text.strip().splitlines() if part.strip()), "").strip()
    found = [match.group(2) for pattern in (_USERINFO, _SECRETS) for match in pattern.finditer(url)]
    for secret in {form for given in found if given for form in (given, unquote(given))}:
        line = line.replace(secret, "***")
    return line


def url_beside(url: str, folder: Path) -> str:
    """The URL; one of a relative SQLite file or lake folder is made relative to this folder."""
    scheme, separator, path = url.partition(":///")
    if not separator or path.startswith("/") or scheme not in ("sqlite", "lake"):
        return url
    return f"{scheme}:///{folder.resolve() / path}"
