"""What tests do with a Redis store, keeping account of what was said to be done and what may be."""

from __future__ import annotations

from supersoniq.backends.redis import RedisBackend
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome, Settlement

__all__ = ["contents", "keep_busy", "put"]


async def put(backend: RedisBackend, content: bytes, queue: str = "q") -> int:
    [published] = await backend.execute([ops.Publish(queue, [prepare(content)])])
    if isinstance(published, Exception):
        raise published
    return int(published[0].number)


async def contents(backend: RedisBackend, queue: str = "q") -> list[bytes]:
    [page] = await backend.execute([ops.Browse(queue, limit=100_000)])
    return [message.content for message in page]


async def keep_busy(
    backend: RedisBackend, name: str, stored: set[bytes], acked: set[bytes], perhaps: set[bytes]
) -> None:
    lost = (BackendUnavailable, OutcomeUnknown)
    for n in range(1_000_000):
        content = f"{name}-{n}".encode()
        [published] = await backend.execute([ops.Publish("q", [prepare(content)])])
        if isinstance(published, lost):
            return
        stored.add(content)
        if n % 2:
            continue
        [taken] = await backend.execute([ops.Take("q")])
        if isinstance(taken, lost):
            return
        for lease in taken.leases:
            body = lease.message().content
            ack = ops.Settle("q", [Settlement(lease, Outcome.ACK)])
            [verdicts] = await backend.execute([ack])
            if isinstance(verdicts, lost):
                perhaps.add(body)
                return
            assert verdicts == [None]
            acked.add(body)
