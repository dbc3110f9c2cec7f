"""Which web pages may call: looked at before anything is done for them.

Browsers let any web page open a WebSocket to any server, and send it simple requests, and say only
by ``Origin`` which page it was. Programs send no ``Origin``. So a page may connect, and change
something, if it came from this very host, or from one that was allowed by name.

Which host that is says the page's address, and a stranger can have his name lead to this machine
(DNS rebinding): his page then reads and writes as one of this very host. Where nobody has to show a
token that is all it takes, so a server that is for its own machine alone asks to be called by one
of that machine's names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from supersoniq.adapters.asgi import Scope
from supersoniq.adapters.loopback import is_loopback
from supersoniq.core.errors import InvalidSetting, PermissionDenied

__all__ = ["Origins"]

MOST_NAMES = 100
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Origins:
    """Lets pages in.

    Args:
        origins: origins beside the server's own, such as ``https://app.example.com``; ``*`` is any.

    Raises:
        InvalidSetting: one of them is no origin.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        if isinstance(origins, str):
            raise InvalidSetting("allow_origins", origins, "takes several, not one string")
        self.allowed = {_checked(origin) for origin in origins}
        self._names: dict[str, bool] | None = None

    def stay(self, host: str) -> None:
        """From now on, answer to names of this machine only: ``localhost``, those that end in
        ``.localhost``, addresses of the loopback interface, and hosts of allowed origins.

        Args:
            host: another one.
        """
        if "*" not in self.allowed:
            names = [host, *(urlsplit(origin).hostname or "" for origin in self.allowed)]
            self._names = dict.fromkeys((name.lower() for name in names), True)

    def answer_to(self, scope: Scope) -> None:
        """Let a call in by the name that it calls this host.

        Raises:
            PermissionDenied: that name is a stranger's.
        """
        if self._names is None:
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
        known = self._names.get(host)
        if known is None:
            known = _ours(host.lower(), self._names)
            if len(self._names) < MOST_NAMES:
                self._names[host] = known
        if not known:
            raise PermissionDenied(
                f"this server is for its own machine, and does not answer to {host[:200]}; see "
                "allow_origins"
            )

    def admit(self, scope: Scope) -> None:
        """Let a call in.

        Raises:
            PermissionDenied: its page is a stranger.
        """
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        given = [value for name, value in headers if name == b"origin"]
        if not given or "*" in self.allowed:
            return
        origin = b",".join(given).decode("latin-1").lower()
        if origin in self.allowed:
            return
        host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1")
        if _same(origin, host.lower(), scope["scheme"]):
            return
        raise PermissionDenied(f"pages of {origin[:200]} may not call this; see allow_origins")


def _same(origin: str, host: str, scheme: str) -> bool:
    """Whether a page came from the host that it connects to."""
    try:
        page, server = urlsplit(origin), urlsplit(f"{scheme}://{host}")
        if page.scheme not in ("http", "https") or page.hostname is None:
            return False
        if page.hostname != server.hostname:
            return False
        # A proxy that ends TLS tells which host was asked for, but not in which scheme.
        if page.port is None and server.port is None:
            return True
        return (page.port or PORTS[page.scheme]) == (server.port or PORTS.get(scheme))
    except ValueError:
        return False


def _ours(host: str, names: dict[str, bool]) -> bool:
    """Whether a ``Host`` is this machine, or one of those names. Browsers always send one."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in ("", "localhost") or name.endswith(".localhost") or names.get(name, False):
        return True
    try:
        return is_loopback(name)
    except ValueError:
        return False


def _checked(origin: Any) -> str:
    if origin == "*":
        return "*"
    if isinstance(origin, str):
        parts = urlsplit(origin)
        if parts.scheme and parts.netloc and f"{parts.scheme}://{parts.netloc}" == origin.lower():
            return origin.lower()
    raise InvalidSetting("allow_origins", origin, "takes origins, as https://app.example.com")
