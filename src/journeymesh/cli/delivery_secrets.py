"""``journeymesh delivery secrets …``: an environment's Secrets, encrypted in git by SOPS with age."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.output import say
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from journeymesh.delivery.secrets import EnvironmentSecrets

app = typer.Typer(no_args_is_help=True, help="Make, check and renew an environment's Secrets, encrypted in git.")
keys_app = typer.Typer(no_args_is_help=True, help="The age keys that decrypt Secrets.")
app.add_typer(keys_app, name="keys")

EnvironmentOption = Annotated[str, typer.Option("--env", metavar="ENVIRONMENT", help="dev, test or prod.")]
TreeOption = Annotated[Path, typer.Option("--tree", metavar="FOLDER", help="The repository, or a folder in it.")]
KeyFileOption = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="File with private age keys. Default: where sops looks: SOPS_AGE_KEY_FILE, ~/.config/sops/age/keys.txt.",
    ),
]
HostOption = Annotated[
    list[str] | None, typer.Option("--host", metavar="NAME", help="A host name of the gateway, for its certificate.")
]

CertificateHostOption = Annotated[
    list[str] | None, typer.Option("--host", metavar="NAME", help="A DNS name that the certificate must cover.")
]


@app.command("new")
def new(
    environment: EnvironmentOption,
    recipient: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="AGE", help="Public age key of a recipient.")
    ] = None,
    rotate: Annotated[
        list[str] | None, typer.Option("--rotate", metavar="NAME", help="Renew this one even if it exists.")
    ] = None,
    host: HostOption = None,
    key_file: KeyFileOption = None,
    tree: TreeOption = Path(),
) -> None:
    """Make every Secret that an environment needs, with strong random values, and encrypt it.

    What already exists stays. Plain text is never written to a disk.
    """
    held = _held(tree, environment, key_file)
    made = held.make_missing(recipient or (), host or ())
    for path in made:
        say(f"made     {held.tree.relative(path)}")
    for name in rotate or ():
        if held.file(name) not in made:
            say(f"renewed  {held.tree.relative(held.renew(name, hosts=host or ()))}")
    if not made and not rotate:
        say(f"{environment} has every Secret that it needs; nothing was changed")
        return
    say(f"read by  {', '.join(held.recipients())}")
    say(f"next     git add {held.tree.relative(held.folder)} {held.tree.relative(held.config)}")


@app.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The Secret.")],
    environment: EnvironmentOption,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Only this key. Default: all that can be renewed.")
    ] = None,
    host: HostOption = None,
    key_file: KeyFileOption = None,
    tree: TreeOption = Path(),
) -> None:
    """Renew a Secret's values. docs/how-to/keep-secrets.md says what else each of them wants."""
    held = _held(tree, environment, key_file)
    say(f"renewed  {held.tree.relative(held.renew(name, key or (), host or ()))}")


@app.command("set")
def put(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The Secret; created if missing.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key in it.")],
    environment: EnvironmentOption,
    random: Annotated[bool, typer.Option("--random", help="Generate a strong random value instead.")] = False,
    host: CertificateHostOption = None,
    key_file: KeyFileOption = None,
    tree: TreeOption = Path(),
) -> None:
    """Put what standard input says into a Secret, as it is: for what others gave you.

    A certificate that does not hold today, or does not belong to the key beside it, is refused.

    printf %s "$PASSWORD" | journeymesh delivery secrets set orders-database password --env dev
    """
    from journeymesh.delivery.secret_values import password

    if not random and sys.stdin.isatty():
        raise UsageError("no value on standard input", todo="pipe it in, or give --random; never as an argument")
    value = password() if random else sys.stdin.read()
    if not value:
        raise UsageError("the value on standard input is empty", todo="pipe it in, or give --random")
    held = _held(tree, environment, key_file)
    say(f"set      {held.tree.relative(held.put(name, key, value, host or ()))}")


@app.command("certificate")
def put_certificate(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The Secret; created if missing.")],
    environment: EnvironmentOption,
    certificate: Annotated[
        Path, typer.Option("--certificate", metavar="FILE", help="The certificate and its chain, in PEM.")
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key to it, in PEM.")],
    host: CertificateHostOption = None,
    key_file: KeyFileOption = None,
    tree: TreeOption = Path(),
) -> None:
    """Put a certificate and its key into a Secret, both at once: tls.crt and tls.key.

    Refused where it has ended, is not valid yet, does not belong to the key, or is not for a host that is named.
    """
    held = _held(tree, environment, key_file)
    say(f"set      {held.tree.relative(held.put_certificate(name, _text(certificate), _text(key), host or ()))}")


@app.command("rewrap")
def rewrap(environment: EnvironmentOption, key_file: KeyFileOption = None, tree: TreeOption = Path()) -> None:
    """Let those read the environment's Secrets whom .sops.yaml names now."""
    held = _held(tree, environment, key_file)
    changed = held.rewrap()
    for path in changed:
        say(f"rewrapped  {held.tree.relative(path)}")
    say(f"{len(changed)} of {len(held.names())} changed; read by {', '.join(held.recipients())}")


@app.command("check")
def check(
    environment: Annotated[
        list[str] | None, typer.Option("--env", metavar="ENVIRONMENT", help="Only this environment. Default: all.")
    ] = None,
    sealed: Annotated[bool, typer.Option("--sealed", help="Check without decrypting anything.")] = False,
    key_file: KeyFileOption = None,
    tree: TreeOption = Path(),
) -> None:
    """Say what is wrong with the Secrets in the tree: plain, missing, tampered with, unreadable, too weak, or with
    certificates that have ended, end within 30 days, or do not belong to their keys.

    Ends with 1 where something is.
    """
    from journeymesh.delivery.secret_checks import secret_findings

    count = 0
    for each in environment or ENVIRONMENTS:
        held = _held(tree, each, key_file)
        findings = secret_findings(held, opened=not sealed)
        for finding in findings:
            say(str(finding))
        if not findings:
            say(f"{each}: {len(held.names())} Secrets in order{' without decryption' if sealed else ''}")
        count += len(findings)
    if count:
        raise typer.Exit(1)


@app.command("plugin")
def plugin(
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE@DIGEST", help="The image that deploy/argocd-sops/build built and you pushed."),
    ],
    tree: TreeOption = Path(),
) -> None:
    """Let Argo CD decrypt by this image; `delivery bootstrap` brings it up."""
    from journeymesh.delivery.images import PinnedImage
    from journeymesh.delivery.sops_sidecar import pin_sidecar

    found = Tree.at(tree)
    say(f"pinned   {found.relative(pin_sidecar(found, PinnedImage.parse(image)))}")


@keys_app.command("install")
def install_keys(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Files with private age keys.")],
) -> None:
    """Let the current cluster's Argo CD read by these keys, and by no others: Secret sops-age in argocd."""
    from journeymesh.delivery.sops_sidecar import SECRET, give_keys

    count = give_keys(files)
    say(f"{count} {'key' if count == 1 else 'keys'} in Secret {SECRET} of argocd; a running sidecar reads it in 90 s")


@keys_app.command("new")
def make_key(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder to write to, outside any git repository.")
    ],
    name: Annotated[str, typer.Option("--name", help="The file's name, without .agekey.")] = "keys",
) -> None:
    """Make a pair of age keys: the private one in a file that only its owner can read, the public one printed."""
    from journeymesh.delivery.age_keys import make_age_key

    path, recipient = make_age_key(folder, name)
    say(f"private  {path}  (keep a copy where no disk failure reaches it; never in git)")
    say(f"public   {recipient}")
    say(f"next     journeymesh delivery secrets new --env dev --recipient {recipient}")


def _text(path: Path) -> str:

    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", todo="name a file in PEM") from error


def _held(tree: Path, environment: str, key_file: Path | None) -> EnvironmentSecrets:
    from journeymesh.delivery.secrets import EnvironmentSecrets

    if environment not in ENVIRONMENTS:
        raise UsageError(f"no environment {environment}", todo=f"use one of {', '.join(ENVIRONMENTS)}")
    return EnvironmentSecrets(Tree.at(tree), environment, key_file)
