"""``token``: keys and tokens, for those who have no issuer yet."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from supersoniq.cli.common import Failed
from supersoniq.cli.options import command
from supersoniq.cli.output import Out, short_time
from supersoniq.core.errors import InvalidArgument, MissingExtra, SupersoniqError

__all__ = ["token"]


@click.group(
    short_help="Make keys and tokens, and look whether a token holds.",
    epilog="Start with: supersoniq token keys queue",
)
def token() -> None:
    """Make keys and tokens, and look whether a token holds.

    A server with a key lets in only those with a token that was signed by its counterpart, and lets
    them do what the token's scope says.
    """
    try:
        import supersoniq.auth  # noqa: F401
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("tokens", "supersoniq[auth]", missing)) from None


@command(
    "Make keys: a pair in two files, or a secret in one.",
    "supersoniq token keys queue",
    "supersoniq token keys --secret queue",
)
@click.argument("name", type=click.Path(path_type=Path))
@click.option("--secret", is_flag=True, help="A secret that issuer and server share, instead.")
def keys(name: Path, secret: bool) -> None:
    """Make keys: NAME.key, which signs tokens and which nobody else may read, and NAME.pem, the
    public key that the server is given. With --secret, NAME.key alone does both.

    State: the files are made; none that is there is touched.
    """
    from supersoniq.auth.minting import new_pair, new_secret

    private, public = (new_secret() + "\n", "") if secret else new_pair()
    signing = name.with_name(name.name + ".key")
    checking = name.with_name(name.name + ".pem")
    try:
        if public and checking.exists():
            raise FileExistsError(17, "is there already", str(checking))
        _write(signing, private, 0o600)
        if public:
            _write(checking, public, 0o644)
    except OSError as error:
        raise Failed.of(error) from None
    option = "--auth-public-key" if public else "--auth-secret-file"
    given = checking if public else signing
    Out().emit(
        {"signing_key": str(signing), "server_option": option, "server_file": str(given)},
        f"Made {signing}, which signs tokens: keep it. Serve with {option} {given}",
    )


def _write(path: Path, text: str, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


@command(
    "Make a token.",
    "supersoniq token make --key queue.key --sub shop --scope 'publish:orders'",
    "supersoniq token make --key queue.key --sub worker-1 --scope 'consume:*' --ttl 90d",
)
@click.option("--key", type=click.Path(path_type=Path), required=True, help="What signs it.")
@click.option("--sub", required=True, metavar="NAME", help="Whom it is for.")
@click.option(
    "--scope",
    required=True,
    metavar="WORDS",
    help="What it allows: publish, consume, browse, watch, manage, metrics, each with :QUEUE, or "
    "with the beginning of queues' names and an asterisk.",
)
@click.option("--ttl", default="1h", show_default=True, help="Until when: 90s, 15m, 8h, 30d.")
@click.option("--iss", metavar="TEXT", help="Who made it, where the server asks for that.")
@click.option("--aud", metavar="TEXT", help="Which server it is for, where that asks for it.")
@click.option("--kid", metavar="TEXT", help="The key's name, in a set of several.")
def make(
    key: Path,
    sub: str,
    scope: str,
    ttl: str,
    iss: str | None,
    aud: str | None,
    kid: str | None,
) -> None:
    """Make a token, on standard output.

    State: none is kept; a token holds until it expires, or its key is taken away.
    """
    from supersoniq.auth.minting import SigningKey

    try:
        made = SigningKey.read(key).sign(
            sub, scope, lifetime=_seconds(ttl), issuer=iss, audience=aud, kid=kid
        )
    except SupersoniqError as error:
        raise Failed.of(error) from None
    click.echo(made)


@command(
    "Say whether a token holds, and what it allows.",
    "supersoniq token check --public-key queue.pem < token",
)
@click.option("--public-key", type=click.Path(path_type=Path), help="The public key in PEM.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="Or the secret's file.")
@click.option("--iss", metavar="TEXT", help="Who must have made it.")
@click.option("--aud", metavar="TEXT", help="Which server it must be for.")
def check(
    public_key: Path | None, secret_file: Path | None, iss: str | None, aud: str | None
) -> None:
    """Read a token from standard input, and say whether it holds, as a server would.

    State: nothing changes. The token is not printed.
    """
    from supersoniq.auth import Issuer, Pem, Secret, Verifier

    if (public_key is None) == (secret_file is None):
        raise click.UsageError("takes either --public-key or --secret-file")
    given = sys.stdin.read().strip()
    try:
        keys = Pem(public_key) if public_key else Secret(_read(secret_file))
        caller = asyncio.run(Verifier(Issuer(keys, name=iss, audience=aud)).verify(given))
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    expires = int(caller.expires * 1000)
    facts = {"subject": caller.subject, "scope": str(caller.scopes), "expires_at": expires}
    allowed = str(caller.scopes) or "nothing"
    text = f"It holds until {short_time(expires)}, for {caller.subject!r}, and allows: {allowed}"
    Out().emit(facts, text)


def _read(path: Path | None) -> str:
    assert path is not None
    return path.read_text().strip()


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _seconds(text: str) -> float:
    unit = UNITS.get(text[-1:], 0)
    number = text[:-1] if unit else text
    if not number.isascii() or not number.isdigit() or not 0 < len(number) < 10:
        raise InvalidArgument("ttl", text, "takes a whole number and a unit: 90s, 15m, 8h, 30d")
    return float(number) * (unit or 1)


for each in (keys, make, check):
    token.add_command(each)
