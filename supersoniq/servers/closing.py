"""When a connection that was closed is over.

asyncio closes a transport once all that was written has been taken, and over TLS it then waits
until the other side has said goodbye as well. One that is idle does not say it, since it does not
read: it would hold a server that stops for half a minute. TLS does not ask for it (RFC 8446,
section 6.1). So a closed connection may be cut as soon as the other side's kernel has everything,
our goodbye included: what it has, it will not lose by the cut.
"""

from __future__ import annotations

import asyncio
import struct

__all__ = ["all_taken"]


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
