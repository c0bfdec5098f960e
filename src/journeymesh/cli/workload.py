"""``journeymesh workload``: one container run by the platform, in any language."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.options import Format, FormatOption
from journeymesh.cli.output import say
from journeymesh.cli.render import Column, PrintedRows, Row, replacing
from journeymesh.cli.render import render as render_listing
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.delivery.workloads.pipelines import Ci
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from journeymesh.delivery.workloads.render import RenderedWorkload, StaleFile
    from journeymesh.delivery.workloads.score import Workload

app = typer.Typer(help="Run a container, in any language, from a Score file of a dozen lines.", no_args_is_help=True)

TreeOption = Annotated[
    Path, typer.Option("--tree", help="The repository's folder, or one inside it.", show_default=".")
]
HERE = Path()


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The workload's name, in the cluster and under /w/NAME/ of the gateway.")],
    image: Annotated[
        str | None, typer.Option("--image", help="An image that was built elsewhere: HOST/NAME@sha256:…")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from-source", help="The source folder to build from; a Dockerfile is added.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", min=1024, max=65535, help="The port that the process listens on.")
    ] = 8080,
    answers: Annotated[str, typer.Option("--answers", help="The path that a working release answers with 200.")] = "/",
    public: Annotated[bool, typer.Option("--public", help="No authentication at the gateway.")] = False,
    hpa: Annotated[bool, typer.Option("--hpa", help="Scale by load; needs a metrics API in the cluster.")] = False,
    service_monitor: Annotated[
        bool, typer.Option("--service-monitor", help="Let Prometheus' operator scrape /metrics.")
    ] = False,
    environments: Annotated[
        list[str] | None, typer.Option("--env", help="An environment to run in; may be repeated. Default: all.")
    ] = None,
    tree: TreeOption = HERE,
) -> None:
    """Begin a workload: its Score file, and everything that follows from it.

    The image is pinned in the first environment; promotions bring it to the others.
    """
    from journeymesh.delivery.images import PinnedImage
    from journeymesh.delivery.workloads.begin import Beginning, begin

    if (image is None) == (source is None):
        raise UsageError("a workload is one image or one source folder", todo="give either --image or --from-source")
    unknown = sorted(set(environments or ()) - set(ENVIRONMENTS))
    if unknown:
        raise UsageError(f"no environment {unknown[0]}", todo=f"choose from {', '.join(ENVIRONMENTS)}")
    place = Tree.at(tree)
    wanted = Beginning(
        name=name,
        image=PinnedImage.parse(image) if image else None,
        source=source,
        port=port,
        answers=answers,
        public=public,
        environments=tuple(each for each in ENVIRONMENTS if not environments or each in environments),
        components=tuple(each for each, asked in (("hpa", hpa), ("service-monitor", service_monitor)) if asked),
    )
    written = begin(place, wanted)
    score = place.service(name) / "score.yaml"
    lines = len(score.read_text("utf-8").splitlines())
    say(f"{place.relative(score)} ({lines} lines), and {len(written) - 1} files from it")
    if image is not None:
        say(f"to start it: commit, then `journeymesh delivery release {name} --image {image}`", file=sys.stderr)
    elif source is not None and not source.resolve().is_relative_to(place.root):
        say(f"{source} is not in this repository: build it there, and pin its digest here", file=sys.stderr)
    elif source is not None:
        say(f"no image yet: build it and pin it with `make image SERVICE={name}`", file=sys.stderr)


@app.command("render")
def render(
    name: Annotated[str | None, typer.Argument(help="The workload. Default: all.")] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit with 1 and a diff if a file differs from its rendering."),
    ] = False,
    tree: TreeOption = HERE,
) -> None:
    """Write what follows from Score files.

    The same bytes each time. Pinned digests, patches, contracts and tests of your own are kept.
    """
    from journeymesh.delivery.workloads.render import findings, orphans, remove, write

    place = Tree.at(tree)
    renderings = _renderings(place, name)
    if check:
        found = [each for rendered in renderings for each in findings(place, rendered)]
        _refuse_stale(place, [*found, *(() if name else orphans(place))], name)
        say(f"{len(renderings)} workloads are as rendered")
        return
    changed = [path for rendered in renderings for path in write(place, rendered)]
    if name is None:
        changed += remove(orphans(place))
    for path in changed:
        say(f"{'wrote' if path.exists() else 'removed'} {place.relative(path)}")
    _refuse_stale(place, [each for rendered in renderings for each in findings(place, rendered)], name)
    if not changed:
        say("nothing to write")


@app.command("list")
def list_workloads(tree: TreeOption = HERE, form: FormatOption = Format.table) -> None:
    """List workloads and the digest pinned in each environment."""
    import pyarrow as pa

    from journeymesh.cli.show import text
    from journeymesh.delivery.workloads.render import load_workload, workload_names

    place = Tree.at(tree)
    columns = ("name", "source", "components", *ENVIRONMENTS)
    rows = []
    for each in workload_names(place):
        workload = load_workload(place, each)
        pinned_in = {env: _digest(place, workload, env) for env in ENVIRONMENTS}
        source = workload.source or workload.image
        rows.append({"name": each, "source": source, "components": " ".join(workload.components), **pinned_in})
    table = pa.Table.from_pylist(rows, schema=pa.schema([(column, pa.string()) for column in columns]))
    shown = [Column(column, _short_digest(column) if column in ENVIRONMENTS else text(column)) for column in columns]
    render_listing(PrintedRows(table.schema, [table], shown, empty="no workloads"), form, limited=True)


@app.command("pipeline")
def pipeline(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="The workloads.")] = None,
    ci: Annotated[Ci, typer.Option("--ci", help="The CI product.")] = Ci.gitlab,
    every: Annotated[bool, typer.Option("--all", help="All workloads of the tree.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write. Default: standard output.")] = None,
    tree: TreeOption = HERE,
) -> None:
    """Print the pipeline that a CI product runs for workloads: one `make` call a stage."""
    from journeymesh.delivery.workloads.pipelines import pipeline as pipeline_text
    from journeymesh.delivery.workloads.render import load_workload, workload_names

    place = Tree.at(tree)
    if every == bool(names):
        raise UsageError("no workload given", todo="name them, or give --all")
    chosen = list(workload_names(place) if every else names or ())
    for each in chosen:
        load_workload(place, each)
    text = pipeline_text(ci, chosen, every=every)
    if out is None:
        say(text, end="")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as temporary:
        temporary.write_text(text, "utf-8")


def _renderings(place: Tree, name: str | None) -> list[RenderedWorkload]:
    from journeymesh.delivery.addresses import addresses
    from journeymesh.delivery.workloads.render import load_workload, rendering, workload_names

    told = addresses(place)
    names = [name] if name else workload_names(place)
    return [rendering(place, load_workload(place, each), told) for each in names]


def _refuse_stale(place: Tree, found: Iterable[StaleFile], name: str | None) -> None:
    """Say every finding with its diff, and end so."""
    from journeymesh.delivery.workloads.render import RenderingStale

    found = list(found)
    if not found:
        return
    for each in found:
        say(each.diff, end="")
    said = "; ".join(f"{place.relative(each.path)} {_said(each)}" for each in found)
    raise RenderingStale(said, todo=f"run `journeymesh workload render{f' {name}' if name else ''}` and commit")


def _said(finding: StaleFile) -> str:
    match finding.fault:
        case "differs":
            return "differs from its Score file"
        case "missing":
            return "is missing"
        case "superfluous":
            return "belongs to no Score file (remove it; your own files belong under overlays/<environment>/patches)"


def _short_digest(environment: str) -> Callable[[Row], str]:
    return lambda row: row[environment].removeprefix("sha256:")[:12]


def _digest(place: Tree, workload: Workload, environment: str) -> str:
    from journeymesh.delivery.images import PLACEHOLDER_DIGEST
    from journeymesh.delivery.workloads.placing import pins

    held = pins(place.service(workload.name) / "overlays" / environment).get(workload.image_name)
    if held is None:
        return ""
    return "not released" if held.digest == PLACEHOLDER_DIGEST else held.digest
