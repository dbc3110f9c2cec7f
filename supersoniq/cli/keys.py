"""Single keys from a terminal, without waiting for a line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keys", "named"]

KEY = re.compile(rb"\x1b[\[O][0-?]*[ -/]*[@-~]|[^\x80-\xff]")
"""One key: a control sequence (ECMA-48, section 5.4), or an ASCII character."""
NAMES = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
}


def named(data: bytes) -> list[str]:
    """The keys in what a terminal sent: a character, or ``up``, ``down``, ``enter``, ``escape``.

    Any other key that is no character is left out.
    """
    found = []
    for key in KEY.findall(data):
        if key in NAMES:
            found.append(NAMES[key])
        elif len(key) == 1 and key.isascii() and (text := key.decode()).isprintable():
            found.append(text)
    return found


@contextmanager
def keys() -> Iterator[asyncio.Queue[str]]:
    """The keys pressed from now on; nothing of them is shown. Ctrl-C is still a signal.

    In the end the terminal is as it was.
    """
    pressed: asyncio.Queue[str] = asyncio.Queue()
    loop, terminal = asyncio.get_running_loop(), sys.stdin.fileno()

    def read() -> None:
        data = os.read(terminal, 1024)
        if not data:
            loop.remove_reader(terminal)  # hung up; a signal follows
        for key in named(data):
            pressed.put_nowait(key)

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    loop.add_reader(terminal, read)
    try:
        yield pressed
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
