"""``supersoniq serve``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supersoniq.cli.common import Failed
from supersoniq.cli.options import backend_option, command
from supersoniq.cli.output import Out, without_password
from supersoniq.core.errors import InvalidSetting, MissingExtra, SupersoniqError

if TYPE_CHECKING:
    from supersoniq.adapters.http.serve import Serving
    from supersoniq.auth import Verifier

__all__ = ["serve"]

SECRET = "SUPERSONIQ_AUTH_SECRET"
"""A variable and no flag: other users of a machine can read its command lines."""
SECONDS = click.FloatRange(0, 3600)


@command(
    "Serve a store over HTTP.",
    "supersoniq serve",
    "supersoniq serve --backend sqlite:///jobs.db --port 8080",
    "supersoniq serve --dev",
    "supersoniq serve --host 0.0.0.0 --certfile chain.pem --keyfile key.pem "
    "--auth-public-key queue.pem",
    'curl localhost:8000/messages --json \'{"content": "hello", "priority": 5}\'',
)
@click.option(
    "--host",
    envvar="SUPERSONIQ_HOST",
    show_envvar=True,
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on: beyond this machine only with TLS and tokens.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    envvar="SUPERSONIQ_PORT",
    show_envvar=True,
    default=8000,
    show_default=True,
    help="The port; 0 takes a free one, which is printed.",
)
@click.option(
    "--certfile",
    type=click.Path(exists=True, dir_okay=False),
    help="A certificate chain in PEM: speak TLS, with HTTP/2, and HTTP/3 on the same UDP port.",
)
@click.option(
    "--keyfile",
    type=click.Path(exists=True, dir_okay=False),
    help="Its private key, if that is in a file of its own.",
)
@click.option(
    "--dev",
    is_flag=True,
    help="TLS, to try HTTP/2 and 3: with a certificate made here that nobody trusts.",
)
@click.option(
    "--clear-text",
    is_flag=True,
    help="Allow HTTP without TLS on an address that others can reach: behind a proxy, say.",
)
@click.option(
    "--auth-public-key",
    type=click.Path(exists=True, dir_okay=False),
    help="Let in who has a token that the counterpart of this key signed.",
)
@click.option(
    "--auth-secret-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Or that the secret in this file signed; or in the variable SUPERSONIQ_AUTH_SECRET.",
)
@click.option("--auth-jwks", metavar="URL", help="Or that one of the keys at this address signed.")
@click.option("--auth-issuer", metavar="TEXT", help="Who must have made a token: its iss.")
@click.option("--auth-audience", metavar="TEXT", help="Whom a token must be for: its aud.")
@click.option(
    "--no-auth",
    is_flag=True,
    help="Allow everybody everything on an address that others can reach.",
)
@click.option("--http3/--no-http3", default=None, help="HTTP/3; with TLS, on by default.")
@click.option(
    "--server",
    metavar="NAME",
    envvar="SUPERSONIQ_SERVER",
    show_envvar=True,
    default="native",
    show_default=True,
    help="Who serves: native, uvicorn, hypercorn, granian, or what a plugin brings.",
)
@click.option(
    "--grace",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds that requests get to finish when it is stopped. A second signal ends it at once.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(1),
    help="TCP connections at the same time; newcomers get 503.  [default: 10000]",
)
@click.option(
    "--head-timeout",
    type=SECONDS,
    help="Seconds for a TLS handshake, and for a request's head.  [default: 10]",
)
@click.option(
    "--idle-timeout",
    type=SECONDS,
    help="Seconds that a connection stays open without a request.  [default: 60]",
)
@backend_option
def serve(
    backend: str,
    auth_public_key: str | None,
    auth_secret_file: str | None,
    auth_jwks: str | None,
    auth_issuer: str | None,
    auth_audience: str | None,
    **settings: Any,
) -> None:
    """Serve a store's queues over HTTP, until Ctrl-C or SIGTERM.

    State: no message changes by itself. On the way out, requests get time to finish, and what
    clients hold stays leased until they settle it elsewhere or its time is up.
    """
    out = Out()
    auth: Verifier | None = None

    def started(serving: Serving) -> None:
        shown = without_password(backend)
        fields = {
            "url": serving.url,
            "backend": shown,
            "server": serving.server,
            "tcp": serving.tcp,
            "udp": serving.udp,
            "tls": serving.tls,
            "auth": auth is not None,
        }
        out.emit(fields, "\n".join(_lines(serving, shown, auth is not None)))

    try:
        from supersoniq.adapters.http.serve import serve as serve_http
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("serving", "supersoniq[server]", missing)) from None
    try:
        auth = _verifier(auth_public_key, auth_secret_file, auth_jwks, auth_issuer, auth_audience)
        serve_http(backend, auth=auth, on_started=started, **settings)
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    sys.exit(0)


def _verifier(
    public_key: str | None,
    secret_file: str | None,
    jwks: str | None,
    issuer: str | None,
    audience: str | None,
) -> Verifier | None:
    """Whose tokens are accepted; ``None``: there is no key to check one with.

    Raises:
        InvalidSetting: there is more than one key, or none and yet something that takes one.
    """
    from supersoniq.auth import Issuer, Jwks, Keys, Pem, Secret, Verifier

    secret = os.environ.get(SECRET)
    given = {
        "--auth-public-key": public_key,
        "--auth-secret-file": secret_file,
        "--auth-jwks": jwks,
        SECRET: secret,
    }
    found = [name for name, value in given.items() if value]
    if len(found) > 1:
        raise InvalidSetting("auth", " and ".join(found), "takes one of them")
    if not found:
        for name, value in (("auth_issuer", issuer), ("auth_audience", audience)):
            if value is not None:
                raise InvalidSetting(name, value, f"takes one of {', '.join(given)} beside it")
        return None
    keys: Keys
    if public_key:
        keys = Pem(Path(public_key))
    elif jwks:
        keys = Jwks(jwks)
    else:
        keys = Secret(secret.strip() if secret else _secret_in(str(secret_file)))
    return Verifier(Issuer(keys, name=issuer, audience=audience))


def _secret_in(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except UnicodeDecodeError:
        raise InvalidSetting("auth_secret_file", file, "is no text") from None


def _lines(serving: Serving, backend: str, auth: bool) -> list[str]:
    """What an operator wants to see once: a line each."""
    tls = serving.tls or "none: for this machine, or for a proxy that speaks it"
    lines = [f"Serving {backend} at {serving.url} (Ctrl-C ends it)."]
    lines.append(f"  TCP      {serving.address}: {', '.join(serving.tcp)}")
    if serving.udp:
        lines.append(f"  UDP      {serving.address}: {', '.join(serving.udp)}")
    lines.append(f"  backend  {backend}")
    lines.append(f"  server   {serving.server}")
    lines.append(f"  TLS      {tls}")
    lines.append(f"  auth     {'tokens' if auth else 'none: who reaches it may do everything'}")
    return lines
