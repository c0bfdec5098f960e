"""Write docs/reference, and what the tables of capabilities and fields say elsewhere, from the code.

``--check`` writes nothing and fails where a file differs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from capability_files import ROOT, capability_files
from field_files import field_files, field_rows

REFERENCE = Path(__file__).parent / "reference"
GENERATED = "Generated from the code by `make reference`."


def pages() -> dict[str, str]:
    """Every generated page by its file's name."""
    return {
        "cli.md": command_line(),
        "exit-codes.md": exit_codes(),
        "settings.md": settings(),
        "rules.md": rules(),
        "quarantine.md": quarantine(),
        "fields.md": journey_fields(),
        "mapping.md": mapping(),
        "mapping.schema.json": mapping_schema_text(),
        "plan.md": plan(),
        "plan.schema.json": plan_schema_text(),
        "identityapi.md": http_api("identityapi"),
        "access.md": access(),
        "access.schema.json": access_schema_text(),
        "capabilities.md": capabilities(),
        "decisions.md": decisions(),
        "delivery-rules.md": delivery_rules(),
    }


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", GENERATED, *parts]) + "\n"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows])


def command_line() -> str:
    """Every command with its arguments and options."""
    import typer

    from journeymesh.cli.main import app

    return _page("Command line", *_commands(typer.main.get_command(app), "journeymesh"))


def _commands(command: Any, path: str) -> Iterator[str]:
    if getattr(command, "commands", None):
        if " " not in path:
            yield command.help
        for name, inner in command.commands.items():
            if not inner.hidden:
                yield from _commands(inner, f"{path} {name}")
        return
    yield f"## `{path}`"
    yield " ".join((command.help or "").split())
    rows = []
    for part in command.params:
        if part.name == "help":
            continue
        is_argument = part.param_type_name == "argument"
        name = part.name.upper() if is_argument else ", ".join((*part.opts, *part.secondary_opts))
        default = part.default
        shown = (
            "required"
            if part.required
            else ""
            if default in (None, False, ())
            else f"`{getattr(default, 'value', default)}`"
        )
        rows.append((f"`{name}`", " ".join((part.help or "").split()), shown))
    if rows:
        yield _table(("Option", "Meaning", "Default"), rows)


def exit_codes() -> str:
    """The tree of errors as a table."""
    import importlib
    import pkgutil

    import journeymesh
    from journeymesh import errors
    from journeymesh.cli.main import EXIT_BUG

    # A room's own errors stand beside what raises them: every module has to be there before the tree is walked.
    for module in pkgutil.walk_packages(journeymesh.__path__, "journeymesh."):
        if ".migrations." not in module.name:
            importlib.import_module(module.name)
    held = list(dict.fromkeys(_tree(errors.JourneymeshError)))  # one that is of two kinds stands there once
    rows = [
        ("0", "", "It is done."),
        (str(EXIT_BUG), "", "A bug in journeymesh: run it again with `--debug` and report it."),
    ]
    rows += [
        (str(kind.exit_code), f"`{kind.__name__}`", (kind.__doc__ or "").splitlines()[0])
        for kind in held
        if kind is not errors.JourneymeshError
    ]
    rows.sort(key=lambda row: int(row[0]))
    text = "Every error is one line on standard error, `error: what: what to do`, and one of these codes."
    return _page("Exit codes", text, _table(("Code", "Error", "Meaning"), rows))


def _tree(kind: type) -> Iterator[Any]:
    """The class and all that are derived from it, each behind its parent."""
    yield kind
    for derived in kind.__subclasses__():
        yield from _tree(derived)


def settings() -> str:
    """Every setting with its variable and default."""
    from journeymesh.settings import CONFIG_VARIABLE, DEFAULT_FILE, ENVIRONMENT_PREFIX, Settings

    text = (
        f"A setting comes from the environment, else from `{DEFAULT_FILE}` in the working directory or the TOML file "
        f"that `{CONFIG_VARIABLE}` names. An option of the command line wins over both."
    )
    rows = [
        (f"`{name}`", f"`{ENVIRONMENT_PREFIX}{name.upper()}`", field.description or "", f"`{field.default}`")
        for name, field in Settings.model_fields.items()
    ]
    return _page("Settings", text, _table(("Setting", "Variable", "Meaning", "Default"), rows))


def rules() -> str:
    """Every number of the rules, with the built-in values."""
    from journeymesh.journeys.rules import BUILT_IN, JourneyRules

    parts = [inspect.getdoc(JourneyRules) or ""]
    names = list(BUILT_IN)
    parts += _sections("", [BUILT_IN[name] for name in names], names)
    return _page("Rules", *parts)


def _sections(path: str, held: list[Any], names: list[str]) -> list[str]:
    kind = type(held[0])
    meanings = _comments(kind)
    rows, inner = [], []
    for part in fields(kind):
        values = [getattr(one, part.name) for one in held]
        if is_dataclass(values[0]):
            inner += _sections(f"{path}{part.name}.", values, names)
        else:
            rows.append((f"`{path}{part.name}`", meanings.get(part.name, ""), *(f"`{value}`" for value in values)))
    head = [] if not path else [f"## `{path[:-1]}`", (inspect.getdoc(kind) or "").splitlines()[0]]
    return [*head, _table(("Number", "Meaning", *names), rows), *inner]


def _comments(kind: type) -> dict[str, str]:
    """The text under each attribute of a class."""
    import ast
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    found = {}
    for here, below in pairwise(body):
        if isinstance(here, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[here.target.id] = " ".join(str(below.value.value).split())  # type: ignore[union-attr]
    return found


def quarantine() -> str:
    """Every reason for which an input is refused."""
    import ast

    from journeymesh.journeys import reasons

    body = next(n for n in ast.parse(inspect.getsource(reasons)).body if isinstance(n, ast.ClassDef)).body
    rows = []
    for here, below in pairwise(body):
        if isinstance(here, ast.Assign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            reason = reasons.Reason[here.targets[0].id]  # type: ignore[attr-defined]
            if reason.name not in ("ACCEPTED", "DUPLICATE", "UNDECIDED"):
                given = "the pass" if reason in reasons.PASS_REASONS else "reading"
                rows.append((f"`{reason.code}`", given, " ".join(str(below.value.value).split())))
    text = "Refused input is kept with its reason, its origin and its content. Exact duplicates are counted, not kept."
    return _page("Quarantine reasons", text, _table(("Reason", "Given by", "Meaning"), rows))


def journey_fields() -> str:
    """The fields of journeys and of summaries."""
    return _page(
        "Fields",
        "What journeys and summaries have, in the order of their columns. A summary computes what it does not add up.",
        _table(
            ("Journey", "Summary", "Type", "Unit", "Of several journeys", "Classification", "Meaning"), field_rows()
        ),
    )


def mapping() -> str:
    """The parts of a mapping file."""
    import msgspec

    from journeymesh.sources import mapping as held

    text = "A mapping is YAML. Its JSON Schema, for editors: [mapping.schema.json](mapping.schema.json)."
    parts = []
    kinds = [
        k
        for k in vars(held).values()
        if inspect.isclass(k) and issubclass(k, msgspec.Struct) and k is not msgspec.Struct
    ]
    for kind in sorted(kinds, key=lambda kind: (kind is not held.Mapping, kind.__name__)):
        schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
        required = schema.get("required", [])
        rows = [(f"`{name}`", "yes" if name in required else "") for name in schema["properties"]]
        parts += [f"## {kind.__name__}", inspect.getdoc(kind) or "", _table(("Key", "Required"), rows)]
    return _page("Mapping", text, *parts)


def mapping_schema_text() -> str:
    """The JSON Schema of a mapping file."""
    import json

    from journeymesh.sources.mapping import mapping_schema

    return json.dumps(mapping_schema(), indent=2) + "\n"


def plan() -> str:
    """The parts of a strangler plan."""
    from journeymesh.strangler import plan as held
    from journeymesh.strangler.slices import Selector

    text = "A plan is YAML. Its JSON Schema, for editors: [plan.schema.json](plan.schema.json)."
    kinds = (held.Plan, held.SlicePlan, Selector, held.LegacySource, held.TargetStore, held.Gates, held.Shadow)
    return _page("Plan", text, *_structs(*kinds, held.Feed))


def _structs(*kinds: type) -> list[str]:
    """The keys of each struct, which is a part of a YAML file."""
    import msgspec

    parts = []
    for kind in kinds:
        schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
        required = schema.get("required", [])
        rows = []
        for name, part in schema["properties"].items():
            default = part.get("default")
            shown = "" if name in required or default is None or isinstance(default, dict) else f"`{default}`"
            shown = f"`{part['enum'][0]}`" if list(part) == ["enum"] and len(part["enum"]) == 1 else shown
            rows.append((f"`{name}`", "yes" if name in required else "", shown))
        parts += [f"## {kind.__name__}", inspect.getdoc(kind) or "", _table(("Key", "Required", "Default"), rows)]
    return parts


def plan_schema_text() -> str:
    """The JSON Schema of a strangler plan."""
    import json

    from journeymesh.strangler.plan import plan_schema

    return json.dumps(plan_schema(), indent=2) + "\n"


def access() -> str:
    """The parts of an access file."""
    from journeymesh.access import access_file as held

    text = "An access file is YAML. Its JSON Schema, for editors: [access.schema.json](access.schema.json)."
    providers = (held.StaticPeople, held.OpenIdConnect, held.KubernetesRbac, held.GroupMeans)
    return _page("Access file", text, *_structs(held.AccessFile, held.Keys, *providers))


def access_schema_text() -> str:
    """The JSON Schema of an access file."""
    import json

    from journeymesh.access.access_file import access_schema

    return json.dumps(access_schema(), indent=2) + "\n"


def capabilities() -> str:
    """Every capability by data product."""
    from journeymesh.identity.capabilities import CAPABILITIES

    text = (
        "A capability is a thing one may do with a data product; `platform` stands for the platform itself. Where it "
        "touches personal data, a purpose has to be named and approved as well."
    )
    rows = [
        (
            f"`{each.product}`",
            f"`{each.name}`",
            f"{each.meaning[:1].upper()}{each.meaning[1:]}.",
            "yes" if each.personal else "",
        )
        for each in CAPABILITIES
    ]
    return _page("Capabilities", text, _table(("Product", "Capability", "What one may do", "Personal data"), rows))


def decisions() -> str:
    """What each reason of a decision means, and the Cedar policies and schema that are shipped."""
    from journeymesh.access.cedar import shipped_files, shipped_schema
    from journeymesh.access.reasons import REASONS

    text = (
        "A decision allows only where its reason is `allowed`. [How one is made](../explanation/decisions.md).\n\n"
        + _table(
            ("Reason", "What it means", "What to do"),
            [(f"`{reason.value}`", text.what, text.todo) for reason, text in REASONS.items()],
        )
    )
    parts = [part for file in shipped_files() for part in (f"`{file.name}`", f"```cedar\n{file.text}```")]
    schema = ("## Their schema", f"```cedar\n{shipped_schema()}```")
    return _page("Decisions", text, "## The Cedar policies that are shipped", *parts, *schema)


def delivery_rules() -> str:
    """Every rule of `journeymesh delivery check`, by what it is about, and the schemas that it validates by."""
    import importlib

    from journeymesh.delivery.checks.checking import TOPICS
    from journeymesh.delivery.checks.checking import rules as held_rules
    from journeymesh.delivery.checks.schemas import known_kinds

    held = held_rules().values()
    text = (
        f"What `journeymesh delivery check` holds the tree to: {len(held)} rules. Each finding names the rule, the "
        "file and line that it comes from, what is wrong and what to do. How to: "
        "[Check the tree](../how-to/check-the-tree.md)."
    )
    parts = []
    for topic in TOPICS:
        module = importlib.import_module(f"journeymesh.delivery.checks.rules_{topic}")
        about = (inspect.getdoc(module) or "").splitlines()[0].partition(": ")[2]
        rows = [(f"`{each.id}`", str(each.severity), each.meaning, each.fix) for each in held if each.topic == topic]
        parts += [f"## {topic.capitalize()}", f"{about[:1].upper()}{about[1:]}"]
        parts += [_table(("Rule", "Severity", "What must hold", "Fix"), rows)]
    kinds = [(f"`{kind}`", source) for kind, source in sorted(known_kinds().items())]
    return _page("Delivery rules", text, *parts, "## Schemas", _table(("Kind", "Schema from"), kinds))


def http_api(name: str) -> str:
    """The routes of a service, from its OpenAPI document in docs/reference/openapi."""
    import json

    document = json.loads((REFERENCE / "openapi" / f"{name}.json").read_text("utf-8"))
    text = (
        f"{document['info']['description']} Version {document['info']['version']}; the OpenAPI 3.1 document: "
        f"[{name}.json](openapi/{name}.json), served at `/openapi.json`."
    )
    rows = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            capability = operation.get("x-capability", {}).get("name", "")
            needed = f"`{capability}`" if capability else "a token" if "security" in operation else ""
            answers = ", ".join(status for status in operation["responses"])
            rows.append((f"`{method.upper()} {path}`", operation["summary"], needed, answers))
    problems = [
        (f"`{kind.rpartition('/')[2]}`", str(told["status"]), told["title"])
        for kind, told in document["x-problems"].items()
    ]
    return _page(
        name,
        text,
        _table(("Route", "What it is", "Needs", "Answers"), rows),
        "## Problems",
        f"Every answer of 4xx and 5xx is an RFC 9457 problem, its `type` `{_before_name(document)}` and one of these.",
        _table(("Problem", "Status", "Title"), problems),
    )


def _before_name(document: dict[str, Any]) -> str:
    return str(next(iter(document["x-problems"])).rpartition("/")[0]) + "/"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    stale = []
    files = {REFERENCE / name: text for name, text in pages().items()} | capability_files() | field_files()
    for path, text in files.items():
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(str(path.relative_to(ROOT)))
            if "--check" not in arguments:
                path.write_text(text, "utf-8")
    if "--check" in arguments and stale:
        print(f"not what the code says: {', '.join(stale)}: run `make reference`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
