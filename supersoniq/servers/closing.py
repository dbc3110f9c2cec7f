"""When a connection is over: one that was closed, and one whose client reads nothing.

asyncio closes a transport once all that was written has been taken, and over TLS it then waits
until the other side has said goodbye as well. One that is idle does not say it, since it does not
read: it would hold a server that stops for half a minute. TLS does not ask for it (RFC 8446,
section 6.1). So a closed connection may be cut as soon as the other side's kernel has everything,
our goodbye included: what it has, it will not lose by the cut.

A client that reads nothing holds what was sent to it. What waits in our own buffers is watched by
those who fill them (``h1.py``, ``stream.py``). But the kernel takes some megabytes for each
connection, and TLS half a megabyte in front of that: most answers are written whole, and to us the
connection is just idle. Only the kernel sees that nothing is taken. It is told to cut the
connection then (RFC 5482), which also frees what it still holds for one that was closed here.
"""

from __future__ import annotations

import asyncio
import socket
import struct

__all__ = ["all_taken", "cut_unread", "reset"]


def cut_unread(listener: socket.socket, seconds: float) -> None:
    """Have the kernel cut every connection of a listener that makes no room for what was sent.

    Each step counts anew, so one that is slow lives. Linux does it (5.11 or later for a client that
    is there and does not read); other systems keep such connections until they are idle for long.

    Args:
        listener: a TCP socket; its connections inherit the setting.
        seconds: in which the other side has to take some of it.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, max(int(seconds * 1000), 1))


def reset(sock: socket.socket) -> None:
    """Close a connection so that the other side notices at once, and nothing is kept for it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def all_taken(transport: asyncio.Transport) -> bool:
    """Whether the other side's kernel has all that was written. O(1), a system call.

    Where the system cannot tell this knows of our own buffers only. Over TLS there is one that
    nobody can see; but as long as that holds something, the kernel's is not empty.
    """
    if transport.get_write_buffer_size():
        return False
    try:
        import fcntl
        import termios

        number = transport.get_extra_info("socket").fileno()
        (size,) = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
    except (ImportError, OSError, AttributeError):
        return True
    return int(size) == 0
