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
@backend_option
def serve(host: str, port: int, backend: str) -> None:
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
        serve_http(backend, host=host, port=port, on_started=started)
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    sys.exit(0)
