"""``supersoniq serve``: its flags are the settings (``supersoniq.cli.settings``)."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from supersoniq.cli.common import Failed, connected
from supersoniq.cli.configured import CANNOT_START, configured, found
from supersoniq.cli.output import Out, without_password
from supersoniq.cli.supervised import notify
from supersoniq.core.errors import (
    ConfigurationError,
    InvalidSetting,
    MissingExtra,
    SupersoniqError,
)
from supersoniq.observe.logs import set_up

if TYPE_CHECKING:
    from supersoniq.adapters.http.serve import Serving
    from supersoniq.auth import Verifier
    from supersoniq.cli.settings.model import Auth, Settings

__all__ = ["serve"]

log = logging.getLogger("supersoniq.cli")


@configured(
    "Serve a store over HTTP.",
    "supersoniq serve",
    "supersoniq serve --backend sqlite:///jobs.db --port 8080",
    "supersoniq serve --dev",
    "supersoniq serve --host 0.0.0.0 --certfile chain.pem --keyfile key.pem "
    "--auth-public-key queue.pem",
    'curl localhost:8000/messages --json \'{"content": "hello", "priority": 5}\'',
)
def serve(config: str | None, **flags: Any) -> None:
    """Serve a store's queues over HTTP, until Ctrl-C or SIGTERM.

    State: no message changes by itself. On the way out, requests get time to finish, and what
    clients hold stays leased until they settle it elsewhere or its time is up.

    Exit status: 2 if it cannot start with these settings, 1 if it fails.
    """
    in_force = found(flags, config)
    settings = in_force.settings
    out = Out()
    set_up(settings.log.format, settings.log.level)
    if in_force.place("backend").startswith("flag") and _has_password(settings.backend):
        log.warning(
            "other users of this machine can read the password in --backend: put the URL into "
            "SUPERSONIQ_BACKEND, or into a file that --backend-file names"
        )

    def started(serving: Serving) -> None:
        shown = without_password(settings.backend)
        fields = {
            "url": serving.url,
            "backend": shown,
            "server": serving.server,
            "tcp": serving.tcp,
            "udp": serving.udp,
            "tls": serving.tls,
            "auth": auth is not None,
        }
        lines = _lines(serving, shown, auth is not None, settings.listen.console)
        out.emit(fields, "\n".join(lines))
        notify(READY="1", STATUS=f"serving at {serving.url}")

    try:
        from supersoniq.adapters.http.serve import serve as serve_http
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("serving", "supersoniq[server]", missing)) from None
    try:
        auth = _verifier(settings.auth)
        serve_http(
            connected(settings.backend), auth=auth, on_started=started, **_arguments(settings)
        )
    except ConfigurationError as error:
        if isinstance(error, InvalidSetting):
            error = in_force.placed(error)
        raise Failed(Failed.of(error).message, CANNOT_START) from None
    except (SupersoniqError, OSError) as error:
        raise Failed.of(error) from None
    sys.exit(0)


def _has_password(url: str) -> bool:
    return without_password(url) != url


def _arguments(settings: Settings) -> dict[str, Any]:
    """What is given to the server as it stands: a setting is called there as it is here."""
    arguments: dict[str, Any] = {
        "no_auth": settings.auth.required is False,
        "metrics": settings.metrics.enabled,
        "metrics_queues": settings.metrics.queues,
    }
    for section in (settings.listen, settings.tls, settings.limits):
        arguments |= dict(section)
    return arguments


def _verifier(auth: Auth) -> Verifier | None:
    """Whose tokens are accepted; ``None``: there is no key to check one with."""
    from supersoniq.auth import Issuer, Jwks, Keys, Pem, Secret, Verifier

    keys: Keys
    if auth.public_key is not None:
        keys = Pem(auth.public_key)
    elif auth.jwks is not None:
        keys = Jwks(auth.jwks)
    elif auth.secret is not None:
        keys = Secret(auth.secret.get_secret_value().strip())
    else:
        return None
    return Verifier(Issuer(keys, name=auth.issuer, audience=auth.audience))


def _lines(serving: Serving, backend: str, auth: bool, console: bool) -> list[str]:
    """What an operator wants to see once: a line each."""
    tls = serving.tls or "none: for this machine, or for a proxy that speaks it"
    lines = [f"Serving {backend} at {serving.url} (Ctrl-C ends it)."]
    lines.append(f"  TCP      {serving.address}: {', '.join(serving.tcp)}")
    if serving.udp:
        lines.append(f"  UDP      {serving.address}: {', '.join(serving.udp)}")
    if console:
        lines.append(f"  console  {serving.url}/console")
    lines.append(f"  backend  {backend}")
    lines.append(f"  server   {serving.server}")
    lines.append(f"  TLS      {tls}")
    lines.append(f"  auth     {'tokens' if auth else 'none: who reaches it may do everything'}")
    return lines
