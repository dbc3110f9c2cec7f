"""Telling a service manager that a server is up: the protocol of sd_notify(3), of which systemd's
``Type=notify`` needs one message.
"""

from __future__ import annotations

import os
import socket

__all__ = ["notify"]


def notify(**facts: str) -> bool:
    """Send facts, such as ``READY="1"``, to the manager that started this process.

    Returns:
        Whether there is one, and it was told. That it cannot be is no reason not to serve: it will
        say so itself.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # Linux's abstract names begin with NUL
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value}" for name, value in facts.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.sendto(message.encode(), address)
    except OSError:
        return False
    return True
