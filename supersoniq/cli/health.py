"""``supersoniq health``: for whoever watches over a server, such as a container engine."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from supersoniq.cli.configured import found
from supersoniq.cli.options import command
from supersoniq.cli.output import Out
from supersoniq.core.errors import InvalidArgument

__all__ = ["health"]

HERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""How to reach, on this machine, what listens on all of its addresses."""


class Asked(NamedTuple):
    """Where to ask."""

    host: str
    port: int | None
    path: str
    tls: ssl.SSLContext | None


@command(
    "Ask a server whether it is well: exit status 0 if so.",
    "supersoniq health",
    "supersoniq health https://queue.example.com",
    "supersoniq health --live",
)
@click.argument("url", required=False)
@click.option(
    "--live", is_flag=True, help="Only whether it answers, whatever becomes of its store."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=6.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take to answer; it gives its store 5 seconds.",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(),
    help="Without a URL: the file with the server's settings.",
)
def health(url: str | None, live: bool, timeout: float, config: str | None) -> None:
    """Ask a server whether it takes requests and its store answers. Without a URL, it is the one on
    this machine that has the same settings: its certificate is then not looked at, since nothing
    that matters is sent.

    State: nothing changes. No token is needed.

    Exit status: 0 if it is well, 1 if it is not, 2 if there is none to ask.
    """
    asked = _given(url) if url else _own(config)
    path = f"{asked.path}/health/{'live' if live else 'ready'}"
    begun = time.monotonic()
    try:
        status, told = _ask(asked, path, timeout)
    except (OSError, http.client.HTTPException) as error:
        status, told = None, f"no answer: {error or type(error).__name__}"
    took = (time.monotonic() - begun) * 1000
    well = status == 200
    facts = {"well": well, "status": status, "ms": round(took, 1)}
    text = f"well, in {took:.0f} ms" if well else f"not well: {told}"
    Out().emit(facts if well else {**facts, "problem": told}, text)
    sys.exit(0 if well else 1)


def _given(url: str) -> Asked:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("takes http://HOST:PORT or https://HOST:PORT")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        return Asked(parts.hostname, parts.port, parts.path.rstrip("/"), tls)
    except ValueError as error:
        problem = str(error)
        raise click.UsageError(str(InvalidArgument("url", url, problem))) from None


def _own(config: str | None) -> Asked:
    settings = found({}, config).settings
    host, port = settings.listen.host, settings.listen.port
    if port == 0:
        raise click.UsageError("the settings have port 0, which is any: give the server's URL")
    tls = None
    if settings.tls.certfile is not None or settings.tls.dev:
        tls = ssl.create_default_context()
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return Asked(HERE.get(host, host), port, "", tls)


def _ask(asked: Asked, path: str, timeout: float) -> tuple[int, str]:
    """The answer's status, and what it says is wrong."""
    connection: http.client.HTTPConnection
    if asked.tls is None:
        connection = http.client.HTTPConnection(asked.host, asked.port, timeout=timeout)
    else:
        connection = http.client.HTTPSConnection(
            asked.host, asked.port, timeout=timeout, context=asked.tls
        )
    try:
        connection.request("GET", path, headers={"accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(10_000)
    finally:
        connection.close()
    try:
        problem = json.loads(body).get("detail")
    except (ValueError, AttributeError):
        problem = None
    return answer.status, f"{answer.status} {answer.reason}" + (f": {problem}" if problem else "")
