"""``supersoniq serve``: its flags are the settings (``supersoniq.cli.settings``)."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from supersoniq.cli.configured import configured, found
from supersoniq.cli.output import Out, without_password
from supersoniq.cli.serving import run
from supersoniq.cli.supervised import notify
from supersoniq.observe.logs import set_up

if TYPE_CHECKING:
    from supersoniq.adapters.http.serve import Serving

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
        shown, auth = without_password(settings.backend), settings.auth.has_key
        fields = {
            "url": serving.url,
            "backend": shown,
            "server": serving.server,
            "tcp": serving.tcp,
            "udp": serving.udp,
            "tls": serving.tls,
            "auth": auth,
        }
        out.emit(fields, "\n".join(_lines(serving, shown, auth, settings.listen.console)))
        notify(READY="1", STATUS=f"serving at {serving.url}")

    run(in_force, on_started=started)
    sys.exit(0)


def _has_password(url: str) -> bool:
    return without_password(url) != url


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
