"""What holds for the whole process while it is a server's."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["household"]

SWITCH = 0.001
"""Seconds for which a thread may compute while another one wants to; Python's own are 0.005.

A store's thread (SQLite's) wants to a dozen times for each commit. Beside a loop that is busy, with
whatever one of its clients sends, each time took those 5 ms, and so everybody's commits a tenth of
a second.
"""


@contextmanager
def household() -> Iterator[None]:
    """Have a server's threads wait less for each other, and its collector look at less.

    All that was imported stays until the end: the collector need not look through it again and
    again, while everybody waits (50 ms, each time).
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(SWITCH, before))
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)
