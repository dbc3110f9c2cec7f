"""A body of lines: read as a stream, and stored a batch at a time while it arrives.

A line waits for others that are stored together with it, for ``LINGER`` seconds at most: whoever
sends a line now and then sees it in the queue at once, and loses little with its connection. What
waits counts among what half-sent bodies take together; the more of that there is, the shorter the
batches. When reading ends early (too slow, too much, the server stops) the whole lines that are
here are stored first, and the answer says how far that was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from supersoniq.adapters.http import decode
from supersoniq.adapters.http.exchange import Exchange
from supersoniq.adapters.http.forms import Progress
from supersoniq.adapters.http.incoming import too_large, too_slow
from supersoniq.adapters.http.problems import Refusal
from supersoniq.core.errors import Closed, InvalidArgument
from supersoniq.core.messages import Entry, Published

__all__ = ["Lines"]

LINGER = 1.0
"""Seconds that a line waits to be stored, and that a body has to end when the server stops."""


class Lines:
    """One such body.

    Args:
        exchange: its request.
        read: makes an entry of a line.
        store: stores a batch, as a whole or not at all.
    """

    def __init__(
        self,
        exchange: Exchange,
        read: Callable[[bytes], Entry],
        store: Callable[[list[Entry]], Awaitable[list[Published]]],
    ) -> None:
        self.progress = Progress()
        """What is stored."""
        self._exchange = exchange
        self._read = read
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._rest = bytearray()
        """What is only part of a line."""
        self._batch: list[Entry] = []
        self._size = 0
        """Bytes of the lines in the batch."""
        self._due = 0.0
        """When the batch has to be stored."""
        self._receiving: asyncio.Future[bytes | None] | None = None
        """The next piece, from when it is asked for until it is here."""
        self._over: asyncio.Future[None] = self._loop.create_future()
        """Done when the server has no more time for this."""

    async def publish(self) -> None:
        """Store all of them.

        Raises:
            SupersoniqError: a line, or a batch, is refused; the batches before it are stored.
            TooManyOpen: the caller holds as much open as it may; nothing is read.
            Refusal: a line is too large; as well. Or it came too slowly: then all whole lines are.
            Closed: the server stops; then they are too.
            Gone: the client left; what was not stored is dropped.
        """
        exchange = self._exchange
        with exchange.service.place(exchange.caller):
            forget = exchange.service.stay(self._stopping)
            try:
                while (chunk := await self._next()) is not None:
                    await self._take(chunk)
                await self._take(b"\n")
            finally:
                forget()
                if self._receiving is not None:
                    self._receiving.cancel()
            await self._flush()

    def _stopping(self) -> None:
        def stop() -> None:
            if not self._over.done():
                self._over.set_result(None)

        self._loop.call_later(LINGER, stop)

    async def _next(self) -> bytes | None:
        """What has come, as soon as it ends a line; ``None`` after the last of it."""
        limits, service = self._exchange.limits, self._exchange.service
        late = self._loop.time() + limits.body_timeout  # part of a line gives no new time
        while True:
            try:
                with service.arriving(self._size + len(self._rest)) as arrival:
                    while (receiving := await self._received(late)) is not None:
                        chunk = receiving.result()
                        if chunk is None or b"\n" in chunk:
                            return chunk
                        if len(self._rest) + len(chunk) > limits.max_body:
                            return chunk  # which is too much
                        self._rest += chunk
                        arrival.grow(len(chunk))
            except (Refusal, Closed):
                await self._flush()
                raise
            await self._flush()  # out here nothing cuts it off

    async def _received(self, late: float) -> asyncio.Future[bytes | None] | None:
        """The next piece, done; ``None`` if the batch is due before it is here.

        Raises:
            Closed: the server stops.
            Refusal: it is too late.
        """
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(self._exchange.receive())
            self._receiving.add_done_callback(_seen)
        receiving = self._receiving
        end = min(late, self._due) if self._batch else late
        await asyncio.wait(
            (receiving, self._over),
            timeout=max(end - self._loop.time(), 0),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if receiving.done():
            self._receiving = None
            return receiving
        if self._over.done():
            raise Closed("the server")
        if self._loop.time() >= late:
            raise too_slow(self._exchange.limits.body_timeout)
        return None

    async def _take(self, chunk: bytes) -> None:
        """Make a batch of the lines in what has come, or several."""
        limits = self._exchange.limits
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for each in lines:
            self._number += 1
            if len(each) > limits.max_body:
                raise too_large(limits.max_body)
            if not (line := bytes(each.strip())):
                continue
            try:
                entry = self._read(line)
            except InvalidArgument as error:
                raise decode.within(error, f"line {self._number}") from None
            if not self._batch:
                self._due = self._loop.time() + LINGER
            self._batch.append(entry)
            self._size += len(line)
            if self._is_full():
                await self._flush()
        if len(self._rest) > limits.max_body:
            raise too_large(limits.max_body)

    def _is_full(self) -> bool:
        limits = self._exchange.limits
        return len(self._batch) >= min(limits.line_batch, limits.max_batch) or self._size >= min(
            limits.max_body, self._exchange.service.arriving.room()
        )

    async def _flush(self) -> None:
        if not self._batch:
            return
        arriving = self._exchange.service.arriving
        batch, size = self._batch, self._size
        self._batch, self._size = [], 0
        arriving.storing += size
        try:
            self.progress.add(await self._store(batch))
        finally:
            arriving.storing -= size


def _seen(receiving: asyncio.Future[bytes | None]) -> None:
    if not receiving.cancelled():
        receiving.exception()  # or asyncio complains, where an answer came first
