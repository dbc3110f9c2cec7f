"""``supersoniq serve``."""

from __future__ import annotations

import sys

import click

from supersoniq.cli.common import Failed
from supersoniq.cli.options import backend_option, command
from supersoniq.cli.output import Out
from supersoniq.core.errors import MissingExtra, SupersoniqError

__all__ = ["serve"]


@command(
    "Serve a store over HTTP.",
    "supersoniq serve",
    "supersoniq serve --backend sqlite:///jobs.db --port 8080",
    "supersoniq serve --dev",
    'curl localhost:8000/messages --json \'{"content": "hello", "priority": 5}\'',
)
@click.option(
    "--host",
    envvar="SUPERSONIQ_HOST",
    show_envvar=True,
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. There is no authentication yet: think before you open it.",
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
@backend_option
def serve(
    host: str, port: int, certfile: str | None, keyfile: str | None, dev: bool, backend: str
) -> None:
    """Serve a store's queues over HTTP, until Ctrl-C or SIGTERM.

    State: no message changes by itself. On the way out, requests get time to finish, and what
    clients hold stays leased until they settle it elsewhere or its time is up.
    """
    out = Out()

    def started(url: str) -> None:
        fields = {"url": url, "backend": backend}
        out.emit(fields, f"Serving {backend} at {url} (Ctrl-C ends it).")

    try:
        from supersoniq.adapters.http.serve import serve as serve_http
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("serving", "supersoniq[server]", missing)) from None
    try:
        serve_http(
            backend,
            host=host,
            port=port,
            certfile=certfile,
            keyfile=keyfile,
            dev=dev,
            on_started=started,
        )
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    sys.exit(0)
