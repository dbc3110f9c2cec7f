"""The Redis backend through the public suite."""

from supersoniq.backends.redis import connect
from supersoniq.clock import Clock
from supersoniq.port import Backend
from supersoniq.testing import Conformance, Harness
from tests.backends.redis_server import needs_server, shared, store_prefix

pytestmark = needs_server


class RedisHarness(Harness):
    def __init__(self) -> None:
        self._server = shared()
        self._prefix = store_prefix()

    async def backend(self, clock: Clock) -> Backend:
        backend = connect(self._server.url, prefix=self._prefix, clock=clock)
        await backend.open()
        return backend

    async def corrupt(self, queue: str, id: int) -> None:
        key, name = f"{self._prefix}:{{{queue}}}:content", (id & (1 << 40) - 1).to_bytes(5)
        with self._server.client() as client:
            stored = client.hget(key, name)
            assert isinstance(stored, bytes)
            client.hset(key, name, bytes([*stored[:-1], stored[-1] ^ 4]))

    async def close(self) -> None:
        with self._server.client() as client:
            keys = list(client.scan_iter(f"{self._prefix}:*", count=1000))
            if keys:
                client.unlink(*keys)


class TestRedis(Conformance):
    harness = RedisHarness
