"""The Lua scripts, and the names of the keys that they are given.

Each script is put together from what all share (``base``, ``records``, ``rules``) and its own verb,
with the core's constants in front, so these stand in one place only. They are named by their SHA-1
and loaded when the server does not know them: after a restart, a failover, a SCRIPT FLUSH.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from supersoniq.core import imports
from supersoniq.core.ids import MAX_SEQUENCE
from supersoniq.core.log import CAPACITY, LINGER
from supersoniq.core.rules import REMEMBERED

__all__ = ["LAYOUT", "Script", "channel_of", "keys_of", "store_key", "store_script", "verb_script"]

LAYOUT = 1
"""The version of what stands in Redis. It grows when an older one could not use it any more."""
STEPS = 1000
"""Messages that time moves within one call: 10 to 20 ms in which nobody else is served."""
WALK = 32
"""Pages of 256 messages that one call looks at, where it looks at all of them."""
MOST_BYTES = 64 << 20
"""Of contents in one answer, and a few messages more; and of what a queue's event log keeps."""

_PARTS = (
    "queue", "content", "state", "line", "own", "leased", "due", "expiry", "kept", "uses",
    "windows", "pages", "log", "imported", "imports",
)  # fmt: skip
"""What a queue's keys end in, in the order in which scripts get them."""


class Script:
    """A script and its name.

    Args:
        text: in Lua.
    """

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def keys_of(prefix: str, queue: str) -> tuple[str, ...]:
    """All keys of a queue: in one slot of a cluster, since they share what is in the braces."""
    return tuple(f"{prefix}:{{{queue}}}:{part}" for part in _PARTS)


def channel_of(prefix: str, queue: str) -> str:
    """Where those who wait for a queue are told to look again."""
    return f"{prefix}:{{{queue}}}:stirs"


def store_key(prefix: str) -> str:
    """The key of what all queues have in common."""
    return f"{prefix}:store"


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()


@cache
def verb_script(
    verb: str, capacity: int = CAPACITY, steps: int = STEPS, walk: int = WALK
) -> Script:
    """The script of one verb: publish, take, settle, manage or import."""
    constants = {
        "VERSION": LAYOUT,
        "CAPACITY": capacity,
        "LINGER": LINGER,
        "REMEMBERED": REMEMBERED,
        "MAX_SEQUENCE": MAX_SEQUENCE,
        "MOST_BYTES": MOST_BYTES,
        "IMPORTS_KNOWN": imports.REMEMBERED,
        "STEPS": steps,
        "WALK": walk,
    }
    given = f"local {', '.join(constants)} = {', '.join(map(str, constants.values()))}\n"
    return Script(given + "".join(map(_read, ("base", "records", "rules", verb))))


@cache
def store_script() -> Script:
    """The script for what all queues have in common."""
    return Script(_read("store"))
