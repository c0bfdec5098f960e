"""``journeymesh delivery check|diff``: what is wrong with the tree, and what a change of it changes."""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.delivery import TreeOption
from journeymesh.cli.options import Format, FormatOption
from journeymesh.cli.output import say
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from journeymesh.delivery.checks.findings import Finding


class Environment(StrEnum):
    """One environment of the tree."""

    dev = "dev"
    test = "test"
    prod = "prod"


EnvironmentsOption = Annotated[
    list[Environment] | None, typer.Option("--env", help="Only this environment; may be repeated.")
]


def check(
    tree: TreeOption = Path(),
    environments: EnvironmentsOption = None,
    rules: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; may be repeated.")] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="REV", help="Also show how the renderings differ.")
    ] = None,
    server: Annotated[
        bool, typer.Option("--server", help="Also ask the cluster of KUBECONFIG, by a server-side dry run.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    form: FormatOption = Format.table,
) -> None:
    """Find what is wrong with the tree.

    Schemas, policy and fences are checked over what Kustomize renders. Each finding names rule, file, line and fix;
    the exit code is 9 where there is an error.
    """
    from journeymesh.delivery.checks.checking import findings
    from journeymesh.delivery.checks.findings import Severity, TreeRefused
    from journeymesh.delivery.checks.subject import Subject

    if against is not None and form is not Format.table:
        raise UsageError(
            f"--against cannot be combined with --format {form}",
            todo="use `journeymesh delivery diff REV` for the diff",
        )
    subject = Subject(Tree.at(tree), tuple(environments or ENVIRONMENTS), asks_server=server)
    found = findings(subject, rules or ())
    _show(found, form)
    if against is not None:
        diff(against, tree, environments)
    grave = [each for each in found if strict or each.severity is Severity.error]
    if grave:
        ids = sorted({each.rule for each in grave})
        raise TreeRefused(
            f"{len(grave)} {'fault' if len(grave) == 1 else 'faults'} in the tree: {', '.join(ids)}",
            todo="fix them as each line says, then check again",
        )
    if form is Format.table:
        say(f"{len(subject.units)} renderings checked, no error", file=sys.stderr)


def diff(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A commit, branch or tag.")],
    tree: TreeOption = Path(),
    environments: EnvironmentsOption = None,
) -> None:
    """Show what the tree renders other than a revision.

    One unified diff for each application: what Argo CD would change where this is merged.
    """
    from journeymesh.delivery.checks.difference import differences

    count = 0
    for each in differences(Tree.at(tree), revision, tuple(environments or ENVIRONMENTS)):
        count += 1
        say(each.text, end="")
    say(
        f"{count} applications differ from {revision}" if count else f"nothing differs from {revision}", file=sys.stderr
    )


def _show(found: Sequence[Finding], form: Format) -> None:
    if form is not Format.table:
        from journeymesh.cli.strangler import show_listing

        show_listing([asdict(each) for each in found], [], form, "")
        return
    for each in found:
        shown = f" ({', '.join(each.applications)})" if each.applications else ""
        say(f"{each.path}:{each.line}: {each.severity}: {each.rule}: {each.what}{shown}\n    fix: {each.fix}")
