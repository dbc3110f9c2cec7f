"""The app on the project's own server, in a loop that is already running."""

from __future__ import annotations

from typing import Any

from supersoniq.adapters.http.app import App
from supersoniq.servers import native
from supersoniq.servers.plugin import Options

__all__ = ["Server"]


class Server(native.Server):
    """Serves an app whose broker is open.

    Args:
        app: the app.
        options: those of ``supersoniq.servers.plugin.Options``.
    """

    def __init__(self, app: App, **options: Any) -> None:
        self.app = app
        options.setdefault("max_message", app.service.limits.max_body)
        options.setdefault("arriving", app.service.arriving)
        super().__init__(app, Options(leave=app.leave, counting=app.counting, **options))
