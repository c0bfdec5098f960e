"""The entry point: the commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from journeymesh.cli import (
    access,
    audit,
    delivery,
    delivery_check,
    delivery_guard,
    delivery_release,
    delivery_secrets,
    delivery_status,
    demo,
    generate,
    journeys,
    mapping,
    policies,
    preprocess,
    privacy,
    quarantine,
    report,
    rules,
    serve,
    serve_console,
    store,
    strangler,
    strangler_ask,
    strangler_compare,
    strangler_run,
    summary,
    warm,
    workload,
)
from journeymesh.cli.accidents import accident
from journeymesh.cli.output import EXIT_PIPE_CLOSED, drop_output, prepare_output, say
from journeymesh.errors import Interrupted, JourneymeshError, OutputUnwritable
from journeymesh.safe_text import on_terminal, urls_shown

EXIT_BUG = 70
"""The program itself is at fault (sysexits.h: EX_SOFTWARE)."""

WRONG_CALL: type[Any] = typer.BadParameter.__mro__[2]
"""Click's ``ClickException``: of the click that is installed, or of the one that typer brings, by its version."""

app = typer.Typer(
    name="journeymesh",
    help="Journeys and policy summaries from black-box telematics.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("generate")(generate.generate)
app.command("preprocess")(preprocess.preprocess)
app.add_typer(journeys.app, name="journeys")
app.command("summary")(summary.summary)
app.add_typer(policies.app, name="policies")
app.command("report")(report.report)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(mapping.app, name="mapping")
app.add_typer(store.app, name="store")
app.add_typer(rules.app, name="rules")
app.add_typer(privacy.app, name="privacy")
strangler.app.command("run")(strangler_run.run)
strangler.app.command("ask")(strangler_ask.ask)
strangler.app.command("compare")(strangler_compare.compare)
strangler.app.command("diff")(strangler_compare.diff)
strangler.app.command("accept")(strangler_compare.accept)
strangler.app.command("reconcile")(strangler_compare.reconcile)
app.add_typer(strangler.app, name="strangler")
delivery.app.command("compose")(delivery.compose)
delivery.app.add_typer(delivery_secrets.app, name="secrets")
delivery.app.command("release")(delivery_release.release)
delivery.app.command("promote")(delivery_release.promote)
delivery.app.command("passed")(delivery_release.passed)
delivery.app.command("sign")(delivery_release.sign)
delivery.app.command("attest")(delivery_release.attest)
delivery.app.command("verify")(delivery_release.verify)
delivery.app.command("running")(delivery_release.running)
delivery.app.add_typer(delivery_release.keys_app, name="keys")
delivery.app.command("signers")(delivery.signers)
delivery.app.command("status")(delivery_status.status)
delivery.app.command("guard")(delivery_guard.guard)
delivery.app.command("check")(delivery_check.check)
delivery.app.command("diff")(delivery_check.diff)
app.add_typer(delivery.app, name="delivery")
app.add_typer(access.app, name="access")
serve.app.command("console")(serve_console.console)
app.add_typer(serve.app, name="serve")
app.command("token")(access.token)
app.add_typer(audit.app, name="audit")
app.add_typer(workload.app, name="workload")
app.command("warm", hidden=True)(warm.warm)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"journeymesh {version('journeymesh')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault of the program.")] = False,
    sealed: Annotated[
        bool | None, typer.Option("--sealed/--unsealed", help="Whether stores are sealed by the key store's keys.")
    ] = None,
) -> None:
    """Journeys and policy summaries from black-box telematics."""
    if debug:
        os.environ["JOURNEYMESH_DEBUG"] = "1"
    if sealed is not None:
        os.environ["JOURNEYMESH_SEALED"] = str(sealed).lower()


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; ends the process with the command's exit code."""
    prepare_output()
    code = outcome(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        code = code or EXIT_PIPE_CLOSED
    except OSError as error:
        drop_output()
        code = code or _tell(accident(error) or OutputUnwritable(f"cannot write standard output: {error}"))
    sys.exit(code)


def outcome(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code, every error told on standard error."""
    try:
        code = app(arguments, standalone_mode=False)
        if code == Interrupted.exit_code:  # typer has caught the Ctrl-C itself
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except JourneymeshError as error:
        return _tell(error)
    except (KeyboardInterrupt, typer.Abort):
        return _tell(Interrupted("interrupted", todo="what was written is complete; run the command again to continue"))
    except typer.Exit as ended:
        return ended.exit_code
    except WRONG_CALL as error:
        return _tell_wrong_call(error)
    except BrokenPipeError:
        drop_output()
        return EXIT_PIPE_CLOSED
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):  # which typer turns into this
            raise
        drop_output()
        return EXIT_PIPE_CLOSED
    except Exception as error:
        ordinary = accident(error)
        if ordinary is None:
            return _tell_bug(error)
        if isinstance(ordinary, OutputUnwritable):
            drop_output()
        return _tell(ordinary)


def _tell(error: JourneymeshError) -> int:
    say(f"error: {_one_line(str(error))}", file=sys.stderr)
    return error.exit_code


def _tell_wrong_call(error: Any) -> int:
    where = getattr(getattr(error, "ctx", None), "command_path", None) or "journeymesh"
    say(f"error: {_one_line(error.format_message())}: see `{where} --help`".replace(".:", ":"), file=sys.stderr)
    return int(error.exit_code)


def _tell_bug(error: Exception) -> int:
    if os.environ.get("JOURNEYMESH_DEBUG", "").lower() not in ("", "0", "false", "no"):
        import traceback

        traceback.print_exc()
    fault = _one_line(f"{type(error).__name__}: {error}")
    say(
        f"error: this is a bug in journeymesh ({fault}): run it again with --debug and report what it shows",
        file=sys.stderr,
    )
    return EXIT_BUG


def _one_line(text: str) -> str:
    return on_terminal(" ".join(urls_shown(text).split()))
