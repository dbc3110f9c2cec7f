"""Where to listen, and who could listen in there.

HTTP without TLS shows every message and every token to whoever is on the way, and lets them be
changed there. On the loopback interface nobody is. Anywhere else it has to be asked for, and so has
a server that lets everybody do everything.
"""

from __future__ import annotations

import errno
import socket

from supersoniq.adapters.loopback import is_loopback
from supersoniq.core.errors import InvalidSetting

__all__ = ["address", "check_exposure", "listen"]

BACKLOG = 2048


def check_exposure(host: str, address: str, *, clear_text: bool, open_to_all: bool) -> None:
    """Refuse clear text where others could read it, and an open door where they could come in.

    Args:
        host: what was asked for.
        address: the IP address that it is.
        clear_text: whether it may be clear text, or is none.
        open_to_all: whether everybody may do everything, or nobody can without a token.

    Raises:
        InvalidSetting: it is not of the loopback interface.
    """
    if is_loopback(address):
        return
    means = "" if host == address else f" (which is {address})"
    if not clear_text:
        raise InvalidSetting(
            "host",
            host,
            f"others can reach this address{means}, and without TLS whoever is on the way can read "
            "and change what is said. Give --certfile and --keyfile, or --dev to try it out; or, "
            "behind a proxy that speaks TLS, say --clear-text (in Python: certfile=, keyfile=, "
            "dev=True, clear_text=True)",
        )
    if not open_to_all:
        raise InvalidSetting(
            "host",
            host,
            f"others can reach this address{means}, and without tokens they may do everything. "
            "Give --auth-public-key, --auth-secret-file or --auth-jwks; or, if that is what you "
            "want, say --no-auth (in Python: auth=, no_auth=True)",
        )


def address(
    host: str, port: int, *, clear_text: bool, open_to_all: bool = True
) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """The first address of a host, to listen on.

    Args:
        host: a name or an IP address; empty is every IPv4 or IPv6 address of this machine.
        port: 0 takes a free one.
        clear_text: whether any address may be; otherwise those of the loopback interface.
        open_to_all: the same, for letting in whoever comes.

    Raises:
        InvalidSetting: see ``check_exposure``.
        OSError: the host has none.
    """
    try:
        family, _, _, _, found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise OSError(getattr(error, "errno", None), f"host = {host!r}: {told}") from None
    check_exposure(host, str(found[0]), clear_text=clear_text, open_to_all=open_to_all)
    return family, (str(found[0]), int(found[1]))


def listen(host: str, port: int, *, clear_text: bool, open_to_all: bool = True) -> socket.socket:
    """Listen on the first address of a host.

    Args:
        host: see ``address``, as for all of these.
        port: 0 takes one that is free for datagrams as well, which HTTP/3 has on the same number.
        clear_text: whether any address may be.
        open_to_all: the same, for letting in whoever comes.

    Raises:
        InvalidSetting: see ``check_exposure``.
        OSError: it cannot be listened on.
    """
    family, place = address(host, port, clear_text=clear_text, open_to_all=open_to_all)
    listener = socket.create_server(place, family=family, backlog=BACKLOG)
    taken = []
    while port == 0 and not _is_free_for_datagrams(listener):
        taken.append(listener)  # until there is another, lest it comes again
        listener = socket.create_server(place, family=family, backlog=BACKLOG)
    for each in taken:
        each.close()
    # Connections inherit it. asyncio sets it only where the protocol is named, and without it each
    # answer waits 40 ms for the client's acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _is_free_for_datagrams(listener: socket.socket) -> bool:
    with socket.socket(listener.family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(listener.getsockname())
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
