"""``journeymesh mapping guess``: a mapping proposed for a source, as YAML with its evidence."""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from journeymesh.cli.output import say
from journeymesh.errors import JourneymeshError, MappingInvalid
from journeymesh.safe_text import shown_url
from journeymesh.wiring import open_source

if TYPE_CHECKING:
    from journeymesh.sources.guess_rows import GuessRows
    from journeymesh.sources.mapping_check import MappingCheck
    from journeymesh.sources.mapping_guess import Guess

_FEWEST: Final = 20
"""At least one input in so many must be of use."""


def guess(source: str) -> None:
    """Propose a mapping for a source: valid YAML on standard output, the evidence of each field as comments.

    Ends with exit code 2 where a field that fixes need was not found, or where hardly a fix can be used; what was found
    is written all the same.
    """
    from journeymesh.sources.guess_rows import guess_rows

    held = guess_rows(source)
    guesses = [(_guess_of(one), one.database) for one in held]
    guesses.sort(key=lambda one: one[0].score, reverse=True)
    if not guesses:
        raise MappingInvalid(f"source {shown_url(source)} holds no collection", todo="check the source")
    found, database = guesses[0]
    several = sum(one.collection == found.collection for one, _ in guesses) > 1
    body = yaml_lines(found, database if several else None)
    tried, checked = ([], None) if found.missing else _tried(source, "\n".join(body) + "\n")
    shown = shown_url(source)
    lines = [
        f"# Guessed from the first {found.rows:,} rows of {found.collection} in {shown}.",
        *(f"# {line}" for line in tried),
        "# Look it over, then try it: journeymesh mapping check --source SOURCE --mapping THIS_FILE",
        *body,
    ]
    say("\n".join(lines))
    if found.missing:
        some = ", ".join(found.paths[:30]) or "nothing"
        raise MappingInvalid(
            f"no column of {found.collection} looks like {' or '.join(found.missing)}",
            todo=f"map it by hand to one of {some}",
        )
    if checked is not None and checked.usable * _FEWEST < checked.inputs:
        raise MappingInvalid(
            f"of {checked.inputs:,} inputs of {found.collection} this proposal can use {checked.usable:,}",
            todo="see the refusals above and write the mapping by hand, or use a ready one: `journeymesh mapping list`",
        )


def _guess_of(one: GuessRows) -> Guess:
    if one.kind in ("gpx", "nmea"):
        from journeymesh.sources.guess_recorded import guess_recorded

        return guess_recorded("gpx" if one.kind == "gpx" else "nmea", one.collection, one.files)
    from journeymesh.sources.mapping_guess import guess_mapping

    return replace(guess_mapping(one.collection, one.documents, one.files), csv=one.csv)


def yaml_lines(found: Guess, database: str | None) -> list[str]:
    """The mapping as YAML, each field behind its evidence."""
    lines = ["version: 1", f"collection: {_scalar(found.collection)}"]
    lines += [f"database: {_scalar(database)}"] if database else []
    lines += [f"layout: {found.layout}"]
    lines += [f"signals: {_scalar(found.signals)}  # each row is one signal"] if found.signals else []
    lines += [f"csv: {_scalar(found.csv)}  # there is no header line"] if found.csv else []
    lines += ["fields:"]
    for one in found.fields:
        lines += [f"  # {line}" for line in one.evidence]
        keys = ", ".join(f"{key}: {_scalar(value)}" for key, value in one.keys.items())
        lines.append(f"  {one.name}: {{{keys}}}")
    lines += [f"  # {name}: not found" for name in found.missing]
    return lines


def _scalar(value: Any) -> str:
    """A value as YAML has it, which JSON's are: plain where no sign in it means something."""
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_scalar(one)}" for key, one in value.items()) + "}"
    if isinstance(value, float):
        return f"{value:.1e}"
    plain = isinstance(value, str) and value.replace("_", "").replace(".", "").isalnum() and value[:1].isalpha()
    return (
        value
        if plain and value.lower() not in ("y", "n", "on", "off", "yes", "no", "true", "false", "null")
        else json.dumps(value, ensure_ascii=False)
    )


def _tried(source: str, text: str) -> tuple[list[str], MappingCheck | None]:
    """What a check with this mapping says, in a line or two, and the check itself."""
    from journeymesh.sources.mapping import load_mapping
    from journeymesh.sources.mapping_check import check_mapping

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "guess.yaml"
        path.write_text(text, "utf-8")
        try:
            with closing(open_source(source, path)) as opened:
                checked = check_mapping(opened, load_mapping(path).fields)
        except JourneymeshError as error:
            return [f"It could not be tried: {' '.join(error.what.split())}"], None
    lines = [f"Tried: of {checked.inputs:,} inputs {checked.usable:,} can be used, {checked.vehicles:,} vehicles."]
    lines += [f"Refused: {count:,} by {reason}." for reason, count in checked.refused.items()]
    lines += [f"Used without a value that cannot be read: {checked.unreadable:,}."] if checked.unreadable else []
    lines += [f"In doubt: {one}" for one in checked.doubts]
    return lines, checked
