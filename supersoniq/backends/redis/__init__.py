"""The Redis backend: queues in a Redis or Valkey server, for any number of processes and machines.

Read it from the outside in: ``backend`` is what the event loop sees, ``link`` the connections,
``refusals`` what their failures mean, ``server`` what is looked at when it is opened, ``wake`` how
waiters hear. ``work`` is one call of a script, ``flow`` publish, take and settle, ``managing`` the
rest; ``rows`` is how things stand in Redis, and ``lua`` what happens there.

**What decides.** Messages move inside the server, in Lua, so that each step is one step for
everybody. ``lua/rules.lua`` therefore says once more what ``supersoniq.core.rules`` says, and is
compared with it over many thousands of random steps. Limits, terms, ids, receipts, policies and the
words of every error come from the core.
"""

from __future__ import annotations

from supersoniq.backends.redis.address import connect
from supersoniq.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend", "connect"]
