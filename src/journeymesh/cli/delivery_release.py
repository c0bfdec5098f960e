"""``journeymesh delivery``'s commands about releases: keys, signatures, evidence, and the way up."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from journeymesh.cli.delivery import TreeOption
from journeymesh.cli.output import say
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from journeymesh.delivery.images import PinnedImage
    from journeymesh.delivery.release.commits import Changes
    from journeymesh.delivery.release.keys import SigningKey
    from journeymesh.delivery.release.promote import ImageMove

KEY_VARIABLE: Final = "JOURNEYMESH_SIGNING_KEY"

keys_app = typer.Typer(no_args_is_help=True, help="Keys that sign images and evidence.")

ServiceArgument = Annotated[
    str, typer.Argument(metavar="SERVICE", help="The service's name under customization/services.")
]
ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="HOST/NAME@sha256:… or HOST/NAME:TAG.")]
KeyOption = Annotated[Path | None, typer.Option("--key", envvar=KEY_VARIABLE, help="The private key, in PEM.")]
PatchOption = Annotated[
    Path | None,
    typer.Option("--patch", metavar="FILE", help="Write the commits here for `git am` (- is standard output)."),
]
PushOption = Annotated[bool, typer.Option("--push", help="Push the commits to the branch's remote.")]
SignOption = Annotated[
    str | None,
    typer.Option("--sign", metavar="KEYID", help="Sign the commits with this key; else as git is configured."),
]
AwaitOption = Annotated[
    float,
    typer.Option(
        "--await", metavar="SECONDS", min=0, help="With --push: how long to wait until the cluster has the approval."
    ),
]


@keys_app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder for release.key and release.pub.")],
) -> None:
    """Make a pair of keys.

    The public half belongs into release/keys; the private one never into the tree.
    """
    from journeymesh.delivery.release.keys import make_key_pair

    private, public = make_key_pair(folder)
    say(f"{private}: keep it secret (a build's or the delivery controller's Secret)")
    say(f"{public}: commit it as release/keys/NAME.pub to trust it")


def sign(image: ImageArgument, key: KeyOption = None) -> None:
    """Sign an image in its registry, as cosign does."""
    from journeymesh.delivery.release.signatures import sign_image

    found = _resolved(image)
    say(f"{found}: {'signed' if sign_image(found, _key(key)) else 'was signed already'}")


def attest(
    image: ImageArgument,
    key: KeyOption = None,
    tree: TreeOption = Path(),
    source: Annotated[
        str | None, typer.Option("--source", help="URL of the source repository. Default: the remote's.")
    ] = None,
    commit: Annotated[str, typer.Option("--commit", help="The commit it was built from.")] = "HEAD",
    dockerfile: Annotated[
        str, typer.Option("--dockerfile", help="The Dockerfile's path in the source.")
    ] = "Dockerfile",
    base: Annotated[
        list[str] | None, typer.Option("--base", metavar="NAME@sha256:…", help="A base image with its digest.")
    ] = None,
    builder: Annotated[str, typer.Option("--builder", help="URI of the builder.")] = "urn:journeymesh:by-hand",
    taken_over: Annotated[
        str | None,
        typer.Option("--taken-over", metavar="HOST/NAME@sha256:…", help="The image is an unchanged copy of this one."),
    ] = None,
    sbom: Annotated[
        Path | None, typer.Option("--sbom", help="A CycloneDX file made by another tool, instead of our own.")
    ] = None,
) -> None:
    """Sign an image and attach its bill of materials and its provenance."""
    from journeymesh.delivery.release import provenance
    from journeymesh.delivery.release.attestations import attest as attach_statement
    from journeymesh.delivery.release.sbom import image_sbom, read_sbom, sbom_statement
    from journeymesh.delivery.release.signatures import sign_image

    found, signing = _resolved(image), _key(key)
    if taken_over is not None:
        from journeymesh.delivery.images import PinnedImage

        made = provenance.taken_over(found, PinnedImage.parse(taken_over), builder)
    else:
        built_from = provenance.source_at(Tree.at(tree), commit, dockerfile, source)
        made = provenance.built(found, built_from, builder, provenance.base_digests(base or ()))
    bill = read_sbom(sbom) if sbom else image_sbom(found)
    sign_image(found, signing)
    attach_statement(found, sbom_statement(found, bill), signing)
    attach_statement(found, made, signing)
    say(f"{found}: signed; {len(bill.get('components', ()))} components; provenance by {builder}")


def verify(image: ImageArgument, tree: TreeOption = Path()) -> None:
    """Check an image's signature, bill of materials and provenance against release/keys."""
    from journeymesh.delivery.release.keys import trusted_keys
    from journeymesh.delivery.release.verify import verify_image

    found = _resolved(image)
    seen = verify_image(found, trusted_keys(Tree.at(tree)))
    say(f"{found}: signed by {seen.signed_by}; {seen.components} components; built by {seen.builder} of {seen.source}")


def passed(
    service: ServiceArgument,
    environment: Annotated[str, typer.Option("--env", help="The environment where it passed.")],
    revision: Annotated[str, typer.Option("--revision", help="The commit that Argo CD synced.")] = "HEAD",
    key: KeyOption = None,
    tree: TreeOption = Path(),
    push: PushOption = False,
    sign_with: SignOption = None,
) -> None:
    """Record that what an overlay pins passed its e2e suite.

    For the delivery controller, after a sync with its gates succeeded.
    """
    from journeymesh.delivery.release.commits import changes, who
    from journeymesh.delivery.release.evidence import images_at, record_passed
    from journeymesh.delivery.release.keys import require_trusted

    home, signing = Tree.at(tree), _key(key)
    require_trusted(home, signing)
    commit, images = at = images_at(home, environment, service, revision)
    with changes(home, sign_with) as made:
        tests = (f"{service}-e2e-candidate", f"{service}-e2e")
        written = record_passed(made.tree, environment, service, at, signing, tests)
        told = "\n".join(f"Image: {name}\nDigest: {image.digest}" for name, image in sorted(images.items()))
        made.commit(f"Record that {service} passed in {environment}\n\n{told}\nRevision: {commit}\nBy: {who(home)}")
        if push and made.commits:
            made.push(made.commits[-1])
        made.keep()
    for path in written:
        say(f"{path.relative_to(made.tree.root)}: passed at {commit[:12]}")
    if not written:
        say(f"{service} in {environment}: already recorded")


def release(
    service: ServiceArgument,
    image: Annotated[
        list[str],
        typer.Option("--image", metavar="[NAME=]HOST/NAME@sha256:…", help="The image; repeat for a second one."),
    ],
    environment: Annotated[str, typer.Option("--env", help="The first environment; others are promoted to.")] = "dev",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Without signature and SBOM: no later environment accepts it.")
    ] = False,
    tree: TreeOption = Path(),
    patch: PatchOption = None,
    push: PushOption = False,
    sign_with: SignOption = None,
    await_s: AwaitOption = 0.0,
) -> None:
    """Bring a new image into the first environment: approve its digest, then pin it."""
    from journeymesh.delivery.release.promote import first_release, images_by_name
    from journeymesh.delivery.release.verify import check_image

    home = Tree.at(tree)
    images = images_by_name(home, service, environment, image)
    moves = first_release(home, service, environment, images, None if unverified else check_image)
    _carry_out(home, service, environment, moves, "Release", _Outlet(patch, push, sign_with, await_s))


def promote(
    service: ServiceArgument,
    lower: Annotated[str, typer.Option("--from", help="The environment where it passed.")],
    upper: Annotated[str, typer.Option("--to", help="The next environment.")],
    tree: TreeOption = Path(),
    patch: PatchOption = None,
    push: PushOption = False,
    sign_with: SignOption = None,
    await_s: AwaitOption = 0.0,
) -> None:
    """Copy a service's digests to the next environment, if they passed in this one.

    Two commits: the approval, then the pin. Refused unless signed evidence says that each digest passed its e2e suite
    there, and unless its signature, bill of materials and provenance verify in the registry.
    """
    from journeymesh.delivery.release.promote import promotion
    from journeymesh.delivery.release.verify import check_image

    home = Tree.at(tree)
    moves = promotion(home, service, lower, upper, check_image)
    _carry_out(home, service, upper, moves, "Promote", _Outlet(patch, push, sign_with, await_s))


def running(
    environment: Annotated[str | None, typer.Option("--env", help="Only this environment. Default: all.")] = None,
    tree: TreeOption = Path(),
) -> None:
    """Compare what runs in the cluster with what release/<env>/approved-digests allows.

    Ends with code 7 and names every container that runs something else.
    """
    from journeymesh.delivery.release.running import require_approved, running_containers

    home = Tree.at(tree)
    for each in (environment,) if environment else ENVIRONMENTS:
        containers = running_containers(each)
        require_approved(home, each, containers)
        say(f"{each}: {len(containers)} containers run, all approved")


@dataclass(frozen=True, slots=True)
class _Outlet:
    """Where commits go: into a patch, to the remote, waiting so long for the cluster, or only into the repository."""

    patch: Path | None
    push: bool
    sign: str | None
    await_s: float


def _carry_out(
    home: Tree,
    service: str,
    environment: str,
    moves: list[ImageMove],
    verb: str,
    outlet: _Outlet,
) -> None:
    patch, push = outlet.patch, outlet.push
    from journeymesh.delivery.release.commits import changes
    from journeymesh.delivery.release.promote import commit_moves

    if patch is not None and push:
        raise UsageError("--patch and --push exclude each other", todo="give one of them")
    if not moves:
        say(f"{service} in {environment}: already exists")
        return
    with changes(home, outlet.sign) as made:
        commits = commit_moves(made, service, environment, moves, verb)
        if patch is not None:
            text = made.patch()
            if str(patch) == "-":
                sys.stdout.write(text)
                return
            patch.write_text(text, "utf-8")
        else:
            if push:
                _push(made, environment, moves, outlet.await_s)
            made.keep()
    for move in moves:
        say(f"{service} in {environment}: {move.name} {move.before.digest[:19]}… → {move.after.digest[:19]}…")
    say(f"{patch}: {len(commits)} commits" if patch else f"commits: {' '.join(each[:12] for each in commits)}")


def _push(made: Changes, environment: str, moves: list[ImageMove], await_s: float) -> None:
    """The approval first; the pin when the cluster knows of it, where somebody wants to wait for that."""
    if await_s and len(made.commits) > 1:
        from journeymesh.delivery.release.running import await_approval

        made.push(made.commits[0])
        await_approval(environment, {move.after.digest for move in moves}, await_s)
    made.push(made.commits[-1])


def _key(path: Path | None) -> SigningKey:
    from journeymesh.delivery.release.keys import SigningKey

    if path is None:
        raise UsageError("no key to sign with", todo=f"give --key FILE or set {KEY_VARIABLE}")
    return SigningKey.read(path)


def _resolved(image: str) -> PinnedImage:
    from journeymesh.delivery.release.registry import resolve

    return resolve(image)
