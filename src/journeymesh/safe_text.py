"""Text from elsewhere, made fit for the medium that shows it: one function a medium, used by everything that shows.

A terminal obeys control characters, a spreadsheet calculates what begins like a formula, and a URL may hold a password.
HTML is escaped by Jinja, JSON by its encoder; on a terminal both pass ``on_terminal``, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    import pyarrow as pa

_FORMULA: Final = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
"""What a spreadsheet takes for a formula, the full-width forms too (https://owasp.org/www-community/attacks/CSV_Injection)."""
_BEGINS_A_FORMULA: Final = re.compile(_FORMULA)

_DATABASES: Final = frozenset(
    {"mongodb", "mongodb+srv", "postgresql", "postgres", "postgresql+psycopg", "amqp", "amqps"}
)
"""Schemes whose addresses have no ``@`` but the one behind the password, escaped or not."""
_SHOWN_PARAMETERS: Final = re.compile(
    r"appname|application_name|authsource|client_encoding|collection|compressors|connect|connect_timeout|connecttimeoutms|"
    r"database|db|dbname|directconnection|gssencmode|host|hostaddr|journal|"
    r"keepalives|keepalives_count|keepalives_idle|keepalives_interval|layout|loadbalanced|maxidletimems|maxpoolsize|"
    r"minpoolsize|mode|port|prefix|readconcernlevel|readpreference|replicaset|retryreads|"
    r"retrywrites|serverselectiontimeoutms|sockettimeoutms|ssl|sslmode|sslnegotiation|table|target_session_attrs|"
    r"tcp_user_timeout|timeout|tls|tlsinsecure|user|username|version|w|"
    r"waitqueuetimeoutms|wtimeoutms",
    re.IGNORECASE,
)
"""The parameters of a query whose values may be seen; any other may be a secret under a name that nobody listed."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"'<>]+")
_IN_PARAMETER: Final = re.compile(r"[?&;#][A-Za-z][\w.\-]{2,}=[^&;#]*$|[?&;]w=[^&;#]*$")
"""The beginning of a query up to within a parameter's value: an "@" that comes next is that parameter's."""
_TRAILING: Final = ":,;.)]}"


def on_terminal(text: str, *, lines: bool = False) -> str:
    """The text without what moves a terminal's cursor, colours it or turns the direction of writing: such characters
    are written as escapes. ``lines``: line feeds and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c in "\n\t") else repr(c)[1:-1] for c in text)


def json_on_terminal(text: str) -> str:
    """JSON whose strings have nothing that a terminal obeys, as JSON escapes; it means the same. Line feeds stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _as_json_escape(c) for c in text)


def _as_json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def in_spreadsheet(text: str) -> str:
    """The text as a spreadsheet's cell: an apostrophe before what would be calculated."""
    return f"'{text}" if _BEGINS_A_FORMULA.match(text) else text


def column_in_spreadsheet(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column of text with each value as ``in_spreadsheet`` has it; any other column as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    formula = pc.match_substring_regex(column, _FORMULA)
    if not pc.any(formula).as_py():
        return column
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)


def shown_url(url: str) -> str:
    """The URL with ``***`` for every password, token and parameter that is not known to be harmless.

    Passwords that were not escaped are hidden, too, whatever signs they hold. Of users, only a database's is shown.
    Text that is no URL, such as a path, is given back.
    """
    return _parted(url)[0]


def place_of(url: str) -> str:
    """The URL's scheme, hosts and path: what names a place, whoever goes there and how."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[?#]', _userinfo_and_rest(scheme.lower(), rest)[1], maxsplit=1)[0]}"


def without_secrets(text: str, url: str) -> str:
    """The first line of a driver's message without the URL's secrets, however the driver may have written them."""
    line = next((part for part in text.strip().splitlines() if part.strip()), "").strip()
    return _without(line, _parted(url)[1])


def urls_shown(text: str) -> str:
    """The text with every URL in it as ``shown_url`` has it."""
    if "://" not in text:
        return text

    def shown(found: re.Match[str]) -> str:
        url = found.group().rstrip(_TRAILING)
        return shown_url(url) + found.group()[len(url) :]

    return _URL.sub(shown, text)


def _without(line: str, secrets: set[str]) -> str:
    forms = {form for each in secrets for form in (each, unquote(each), unquote_plus(each), quote(each, safe=""))}
    forms |= {quote_plus(each) for each in secrets}
    for secret in sorted((form for form in forms if form.strip("*")), key=len, reverse=True):
        line = line.replace(secret, "***")
    return line


def _parted(url: str) -> tuple[str, set[str]]:
    """The URL as it may be seen, and what was hidden."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, set()
    secrets: set[str] = set()
    userinfo, rest = _userinfo_and_rest(scheme.lower(), rest)
    shown = ""
    if userinfo is not None:
        user, colon, password = userinfo.partition(":")
        is_shown = scheme.lower() in _DATABASES and not re.search("[/?#@&=]", user)
        secrets |= {password} if is_shown else {user, password}
        if is_shown:
            shown = f"{user}:***@" if colon else f"{user}@"
    elif not _ports_are_numbers(authority := re.split(r"[/?#]", rest, maxsplit=1)[0]):  # cut off before its "@"
        shown, _, password = authority.partition(":")
        secrets.add(password)
        rest = f":***{rest[len(authority) :]}"
    rest, hash_sign, fragment = rest.partition("#")
    place, question, query = rest.partition("?")
    if question:
        parts = re.split(r"([&;])", query)
        parts[::2] = [_parameter(part, secrets) for part in parts[::2]]
        query = "".join(parts)
    if hash_sign:
        secrets.add(fragment)
    return f"{scheme}://{shown}{place}{question}{query}{'#***' if hash_sign else ''}", secrets - {""}


def _userinfo_and_rest(scheme: str, rest: str) -> tuple[str | None, str]:
    """What stands before the ``@`` of an address, and what stands behind it; None: there is no such part.

    A password that was not escaped may hold "/", "?", "#" and "@". Where that and a whole address cannot be told apart,
    more is taken for the password.
    """
    is_database = scheme in _DATABASES
    ends = "/?" if is_database else "/?#"  # a database's address has no fragment
    authority = re.split(f"[{ends}]", rest, maxsplit=1)[0]
    left = rest[len(authority) :]
    path = re.split(f"[{ends[1:]}]", left, maxsplit=1)[0]
    of_password = "@" in path or ("@" in left and not _IN_PARAMETER.search(left.partition("@")[0]))
    if "@" in authority:
        reaches_on = of_password and (is_database or ":" in authority)
    else:
        reaches_on = bool(authority and "@" in left) and (
            not _ports_are_numbers(authority) or (is_database and of_password)
        )
        if not reaches_on:
            return None, rest
    before, _, behind = (rest if reaches_on else authority).rpartition("@")
    return before, behind if reaches_on else behind + left


def _ports_are_numbers(authority: str) -> bool:
    """Whether what follows the hosts' colons are ports. Of no host but one with a password is that anything else."""
    hosts = re.sub(r"\[[0-9A-Fa-f:.%]*\]", "", authority).split(",")
    return all(":" not in host or re.fullmatch(r"[^:]*:[0-9]{1,5}", host) for host in hosts)


def _parameter(part: str, secrets: set[str]) -> str:
    name, equals, value = part.partition("=")
    if not part or (equals and _SHOWN_PARAMETERS.fullmatch(unquote_plus(name))):
        return part
    secrets.add(value or name)
    return f"{name}=***" if equals else "***"
