"""How much each caller may do, so that one of them leaves room for the others.

An operation counts for one, a publish for each of its messages and for the bytes of their contents.
What exceeds a caller's rate is refused before anything is done, with the seconds after which it can
succeed. Settling counts and is never refused: it makes room, and a settlement that is refused comes
back as a second delivery.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from supersoniq.auth.rates import Rate
from supersoniq.auth.tokens import Caller
from supersoniq.core.errors import RateLimited
from supersoniq.core.ops import AnyOp, Import, Publish, Settle

__all__ = ["Quota"]


class Quota:
    """Holds callers, by the ``sub`` of their tokens, to rates.

    Args:
        operations: of each caller; ``None``: any number.
        content: bytes that each may publish; ``None``: any number.
        now: seconds that only grow.
    """

    def __init__(
        self,
        operations: Rate | None,
        content: Rate | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operations = None if operations is None else operations.buckets(now)
        self._content = None if content is None else content.buckets(now)

    def charge(self, caller: Caller, op: AnyOp) -> None:
        """Count an operation that is about to be carried out.

        A batch that is larger than what may come at once needs the whole of that, and is paid for
        afterwards.

        Raises:
            RateLimited: it is too much for now, and does not count.
        """
        name, count, size = caller.subject, 1, 0
        if isinstance(op, Publish | Import):
            stored = op.entries if isinstance(op, Publish) else op.messages
            count, size = max(len(stored), 1), sum(len(each.content) for each in stored)
        buckets = [
            (bucket, amount)
            for bucket, amount in ((self._operations, count), (self._content, size))
            if bucket is not None and amount
        ]
        if not isinstance(op, Settle):
            wait = max((bucket.wait(name, amount) for bucket, amount in buckets), default=0.0)
            if wait:
                raise RateLimited(math.ceil(wait * 1000) / 1000)
        for bucket, amount in buckets:
            bucket.take(name, amount)
