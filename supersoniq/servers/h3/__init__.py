"""HTTP/3 on the ``aioquic`` library: any ASGI app, beside a TCP server in the same loop."""

from __future__ import annotations

from supersoniq.servers.h3.limits import Limits
from supersoniq.servers.h3.server import H3Server, udp_beside, udp_socket

__all__ = ["H3Server", "Limits", "udp_beside", "udp_socket"]
