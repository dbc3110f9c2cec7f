"""Hearing that somebody who waits should look again: one connection for all waiters of a process.

Each queue has a channel. Scripts publish to it whenever something stirred: the queue's number and
its count of stirs, so what this process did itself, and knows already, is not told twice.

A channel is subscribed to when the first waiter comes and given up a while after the last has
gone, so that consumers who come and go cost nothing. Subscribing takes a moment, and a connection
that was lost may have missed something: in both cases everybody concerned looks again afterwards.
So nothing has to be polled for.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from supersoniq.port import Stir

__all__ = ["Ears", "Token"]

log = logging.getLogger("supersoniq")

Token = tuple[int, int]
"""A queue's number and stirs: differs whenever somebody who waits should look again."""
LINGER = 30.0
"""Seconds that a channel stays subscribed to after the last waiter has gone."""
BEAT = 15.0
"""Seconds between two signs of life; without an answer by the next, the connection is given up."""
SHORTEST, LONGEST = 0.05, 2.0
"""Seconds between two attempts to connect again."""


class Ears:
    """Who listens in this process, and the connection by which they hear.

    Args:
        connect: gives a connection of its own, connected.
        channel_of: the channel of a queue.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], channel_of: Callable[[str], str]
    ) -> None:
        self._connect = connect
        self._channel_of = channel_of
        self._ears: dict[str, set[Stir]] = {}
        self._heard: dict[str, Token] = {}
        self._queues: dict[bytes, str] = {}
        """Subscribed channels, or such as are about to be, and their queues."""
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._alive = True
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def listen(self, queue: str, stir: Stir) -> Callable[[], None]:
        """Have ``stir`` called when something in the queue may have become ready."""
        ears = self._ears.get(queue)
        if ears is None:
            ears = self._ears[queue] = set()
            self._subscribe(queue)
        # One and the same function may listen twice, and each ends for itself.
        ear = _Ear(stir)
        ears.add(ear)

        def stop() -> None:
            ears.discard(ear)
            if not ears and self._ears.get(queue) is ears:
                del self._ears[queue]
                self._heard.pop(queue, None)
                self._unsubscribe_later(queue)

        return stop

    def hear(self, queue: str, token: Token | None) -> None:
        """Something stirred, or may have: then there is no token."""
        ears = self._ears.get(queue)
        if not ears or (token is not None and self._heard.get(queue) == token):
            return
        if token is None:
            self._heard.pop(queue, None)
        else:
            self._heard[queue] = token
        for ear in list(ears):
            ear()

    def hear_all(self) -> None:
        """Everybody should look again."""
        for queue in list(self._ears):
            self.hear(queue, None)

    async def close(self) -> None:
        """Hear nothing more."""
        for timer in [*self._later.values(), *([self._beat] if self._beat else [])]:
            timer.cancel()
        self._later.clear()
        self._beat = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._sending:
            await asyncio.wait(self._sending)
        self._ears.clear()
        self._heard.clear()
        self._queues.clear()

    # Channels.

    def _subscribe(self, queue: str) -> None:
        timer = self._later.pop(queue, None)
        if timer is not None:
            timer.cancel()
        channel = self._channel_of(queue).encode()
        if channel in self._queues:
            # What was told meanwhile nobody has heard, but whoever comes looks first.
            return
        self._queues[channel] = queue
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._live())
        elif self._connection is not None:
            self._send("SUBSCRIBE", channel)

    def _unsubscribe_later(self, queue: str) -> None:
        loop = asyncio.get_running_loop()
        self._later[queue] = loop.call_later(LINGER, self._unsubscribe, queue)

    def _unsubscribe(self, queue: str) -> None:
        self._later.pop(queue, None)
        channel = self._channel_of(queue).encode()
        self._queues.pop(channel, None)
        if self._connection is not None:
            self._send("UNSUBSCRIBE", channel)

    def _send(self, *command: Any) -> None:
        connection = self._connection
        assert connection is not None

        async def send() -> None:
            if not connection.is_connected:
                return  # redis-py would connect it again, and nobody would read from it.
            try:
                await connection.send_command(*command, check_health=False)
            except (RedisError, OSError):
                await connection.disconnect(nowait=True)  # The reader notices.

        self._aside(send())

    def _give_up(self, connection: Connection) -> None:
        self._aside(connection.disconnect(nowait=True))

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # The connection.

    async def _live(self) -> None:
        """Stay connected, and listen, until cancelled."""
        pause = SHORTEST
        while True:
            connection = None
            try:
                connection = await self._connect()
                # Before they are sent: who comes while that waits must be sent, too.
                self._connection = connection
                if self._queues:
                    await connection.send_command("SUBSCRIBE", *self._queues, check_health=False)
                self._begin_to_beat()
                while True:
                    await self._read(connection)
                    pause = SHORTEST
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("the connection for waiters was lost: %s", error)
            except Exception:
                # Whatever it was, those who wait would wait for ever if this ended.
                log.exception("the connection for waiters failed; it is made anew")
            finally:
                self._connection = None
                if connection is not None:
                    await connection.disconnect(nowait=True)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST)

    async def _read(self, connection: Connection) -> None:
        try:
            answer = await connection.read_response()
        except ResponseError:
            raise RedisError("the server refuses to be listened to") from None
        self._alive = True
        if not isinstance(answer, list):
            return
        kind = bytes(answer[0])
        queue = self._queues.get(answer[1]) if len(answer) > 1 else None
        if queue is None:
            return
        if kind == b"message":
            self.hear(queue, _token(answer[2]))
        elif kind == b"subscribe":
            self.hear(queue, None)

    def _begin_to_beat(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        self._alive = False
        self._beat = asyncio.get_running_loop().call_later(BEAT, self._on_beat)
        if self._connection is not None:
            self._send("PING")

    def _on_beat(self) -> None:
        self._beat = None
        connection = self._connection
        if connection is None:
            return
        if self._alive:
            self._begin_to_beat()
        else:
            self._give_up(connection)  # Whoever reads from it is told, and connects again.


class _Ear:
    def __init__(self, stir: Stir) -> None:
        self._stir = stir

    def __call__(self) -> None:
        self._stir()


def _token(payload: bytes) -> Token | None:
    try:
        number, stirs = payload.split(b" ")
        return int(number), int(stirs)
    except ValueError:
        return None
