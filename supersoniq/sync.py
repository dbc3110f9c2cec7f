"""The blocking face: the same names, safe to use from any thread.

One event loop in a thread of its own does the work; every call here hands it a coroutine and waits
for the answer, so calls from many threads still meet in one batch. An interrupted wait (Ctrl-C)
cancels the call, whose outcome is then unknown, as everywhere.

A blocking block cannot be cancelled from outside. So where the asynchronous ``async with
delivery`` cancels its block when the lease is lost, here ``delivery.lost`` turns true at once, for
long work to look at, and ``LeaseLost`` is raised at the end of the block.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from supersoniq import registry
from supersoniq.api import broker as _broker
from supersoniq.api import delivery as _delivery
from supersoniq.api import queue as _queue
from supersoniq.api import watch as _watch
from supersoniq.core.errors import Closed, LeaseLost
from supersoniq.core.messages import Content, Draft, Duration, Event, EventKind, Message, Published
from supersoniq.core.ops import QueueStats
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status

__all__ = ["Broker", "Delivery", "Queue", "Watch", "connect"]

T = TypeVar("T")


def connect(url: str = "memory://", **options: Any) -> Broker:
    """A broker for a store, to be opened with ``with``. See ``supersoniq.connect``."""
    return Broker(registry.connect(url, **options))


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pending: set[concurrent.futures.Future[Any]] = set()
        self._stopped = False
        self._thread = threading.Thread(target=self._work, name="supersoniq", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Have the loop run a coroutine, and wait for its result."""
        if self._stopped:
            call.close()
            raise Closed("the broker")
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        self._pending.add(future)
        if self._stopped:
            future.cancel()  # the loop stopped in between and will never look at it
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            if self._stopped:
                raise Closed("the broker") from None
            raise
        except BaseException:
            future.cancel()
            raise
        finally:
            self._pending.discard(future)

    def stop(self) -> None:
        """End the loop and its thread; whoever still waits gets ``Closed``."""
        self._stopped = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for future in list(self._pending):
            future.cancel()


class Broker:
    """A store's queues. Open it with ``with``, or ``open`` and ``close``."""

    def __init__(self, broker: _broker.Broker) -> None:
        self._async = broker
        self._loop: _Loop | None = None
        self._lock = threading.Lock()

    def open(self) -> Broker:
        """Open the store; see ``supersoniq.Broker.open``."""
        with self._lock:
            if self._loop is None:
                loop = _Loop()
                try:
                    loop.run(self._async.open())
                except BaseException:
                    loop.stop()
                    raise
                self._loop = loop
        return self

    def close(self) -> None:
        """Close the store; see ``supersoniq.Broker.close``. Waiting calls raise ``Closed``."""
        with self._lock:
            if self._loop is not None:
                loop, self._loop = self._loop, None
                try:
                    loop.run(self._async.close())
                finally:
                    loop.stop()

    def __enter__(self) -> Broker:
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None:
            call.close()
            raise Closed("the broker")
        return loop.run(call)

    def queue(self, name: str = "default", **policy: Any) -> Queue:
        """A queue; see ``supersoniq.Broker.queue``."""
        return Queue(self, self._async.queue(name, **policy))

    def queues(self) -> list[str]:
        """The names of all queues, sorted."""
        return self._run(self._async.queues())

    def stats(self) -> dict[str, QueueStats]:
        """The figures of every queue, by name."""
        return self._run(self._async.stats())

    def delete_queue(self, name: str) -> None:
        """Delete a queue and all it holds; see ``supersoniq.Broker.delete_queue``."""
        self._run(self._async.delete_queue(name))


class Queue:
    """One queue; every method is that of ``supersoniq.Queue``, blocking."""

    def __init__(self, broker: Broker, queue: _queue.Queue) -> None:
        self.name = queue.name
        self._broker = broker
        self._async = queue
        self._run = broker._run

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    def publish(
        self,
        content: Content,
        *,
        priority: int = 0,
        delay: Duration = 0,
        ttl: Duration | None = None,
        key: str | None = None,
        sender: str | None = None,
        recipient: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> Published:
        """Store a message; see ``supersoniq.Queue.publish``."""
        return self._run(
            self._async.publish(
                content,
                priority=priority,
                delay=delay,
                ttl=ttl,
                key=key,
                sender=sender,
                recipient=recipient,
                headers=headers,
                content_type=content_type,
            )
        )

    def publish_many(self, items: Iterable[Content | Draft]) -> list[Published]:
        """Store messages, all or none; see ``supersoniq.Queue.publish_many``."""
        return self._run(self._async.publish_many(list(items)))

    def get(
        self,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> Delivery | None:
        """Lease the next message; see ``supersoniq.Queue.get``."""
        found = self._run(self._async.get(wait, recipient=recipient, lease=lease))
        return None if found is None else Delivery(self._broker, found)

    def get_many(
        self,
        limit: int,
        wait: Duration | None = None,
        *,
        recipient: str | None = None,
        lease: Duration | None = None,
    ) -> list[Delivery]:
        """Lease up to ``limit`` messages; see ``supersoniq.Queue.get_many``."""
        found = self._run(self._async.get_many(limit, wait, recipient=recipient, lease=lease))
        return [Delivery(self._broker, delivery) for delivery in found]

    def ack_many(self, deliveries: Sequence[Delivery]) -> list[LeaseLost | None]:
        """Acknowledge deliveries in one call; see ``supersoniq.Queue.ack_many``."""
        return self._run(self._async.ack_many([delivery._async for delivery in deliveries]))

    def receive(self, prefetch: int = 1, *, recipient: str | None = None) -> Iterator[Delivery]:
        """Deliveries as they come, until the broker closes; see ``supersoniq.Queue.receive``."""
        deliveries = self._async.receive(prefetch, recipient=recipient)
        try:
            while True:
                try:
                    found = self._run(_next(deliveries))
                except Closed:
                    return
                if found is None:
                    return
                yield Delivery(self._broker, found)
        finally:
            try:
                self._run(_finish(deliveries))
            except Closed:
                pass

    def message(self, id: str) -> Message:
        """The message of that id; see ``supersoniq.Queue.message``."""
        return self._run(self._async.message(id))

    def browse(
        self, status: Status | str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Message]:
        """Messages in publish order; see ``supersoniq.Queue.browse``."""
        return self._run(self._async.browse(status, after, limit))

    def explain(self, id: str) -> str:
        """Why the message is not being delivered; see ``supersoniq.Queue.explain``."""
        return self._run(self._async.explain(id))

    def stats(self) -> QueueStats:
        """The queue's figures, of one moment."""
        return self._run(self._async.stats())

    def watch(
        self,
        since: int | None = None,
        kinds: Iterable[EventKind | str] = (EventKind.PUBLISHED,),
    ) -> Watch:
        """Events of this queue; see ``supersoniq.Queue.watch``."""
        return Watch(self._broker, self._async, since, kinds)

    def cancel(self, id: str) -> None:
        """Drop a message that nobody holds; see ``supersoniq.Queue.cancel``."""
        self._run(self._async.cancel(id))

    def redrive(self, *ids: str, limit: int | None = None) -> int:
        """Make dead messages ready again; see ``supersoniq.Queue.redrive``."""
        return self._run(self._async.redrive(*ids, limit=limit))

    def purge(self, status: Status | str | None = None) -> int:
        """Drop every message of a status; see ``supersoniq.Queue.purge``."""
        return self._run(self._async.purge(status))

    def pause(self, until: datetime | timedelta | int | None = None) -> None:
        """Give no more leases; see ``supersoniq.Queue.pause``."""
        self._run(self._async.pause(until))

    def resume(self) -> None:
        """Give leases again."""
        self._run(self._async.resume())

    def policy(self) -> Policy:
        """The policy that is in force."""
        return self._run(self._async.policy())

    def configure(self, **policy: Any) -> Policy:
        """Change fields of the policy; see ``supersoniq.Queue.configure``."""
        return self._run(self._async.configure(**policy))


class Delivery:
    """A leased message; every method is that of ``supersoniq.Delivery``, blocking."""

    def __init__(self, broker: Broker, delivery: _delivery.Delivery) -> None:
        self._broker = broker
        self._async = delivery
        self._run = broker._run

    def __repr__(self) -> str:
        return repr(self._async)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._async, name)

    @property
    def content(self) -> bytes:
        """The content."""
        return self._async.content

    @property
    def lost(self) -> bool:
        """Whether the lease is known to be lost. Long work should look now and then."""
        return self._async.lost

    @property
    def time_left(self) -> float:
        """Seconds for which the lease can be trusted, at least; negative when it is over."""
        return self._run(_time_left(self._async))

    def text(self) -> str:
        """The content as UTF-8 text."""
        return self._async.text()

    def json(self) -> Any:
        """The content as a JSON value."""
        return self._async.json()

    def ack(self) -> None:
        """The work is done; see ``supersoniq.Delivery.ack``."""
        self._run(self._async.ack())

    def nack(self, delay: Duration | None = None, reason: str | None = None) -> None:
        """The work failed; see ``supersoniq.Delivery.nack``."""
        self._run(self._async.nack(delay, reason))

    def release(self, delay: Duration = 0) -> None:
        """Give it back untried; see ``supersoniq.Delivery.release``."""
        self._run(self._async.release(delay))

    def reject(self, reason: str | None = None) -> None:
        """Nobody can do this; see ``supersoniq.Delivery.reject``."""
        self._run(self._async.reject(reason))

    def extend(self, seconds: Duration | None = None) -> int:
        """Hold it longer; see ``supersoniq.Delivery.extend``."""
        return self._run(self._async.extend(seconds))

    def __enter__(self) -> Delivery:
        self._run(self._async.keep())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A KeyboardInterrupt says as little about the work as a cancellation does: released.
        self._run(self._async.finish(error))


class Watch:
    """Events of a queue, as an iterator; see ``supersoniq.Watch``."""

    def __init__(
        self,
        broker: Broker,
        queue: _queue.Queue,
        since: int | None,
        kinds: Iterable[EventKind | str],
    ) -> None:
        self._run = broker._run
        self._async = self._run(_make_watch(queue, since, kinds))

    @property
    def offset(self) -> int | None:
        """The last event seen. Resume from here."""
        return self._async.offset

    def next(self, wait: float | None = None) -> Event | None:
        """The next event, or ``None`` after ``wait`` seconds (``None`` waits for ever)."""
        return self._run(self._async.next(wait))

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Event:
        try:
            event = self.next()
        except Closed:
            raise StopIteration from None
        assert event is not None
        return event

    def __enter__(self) -> Watch:
        self._run(self._async.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(_stop(self._async))


async def _next(deliveries: Any) -> _delivery.Delivery | None:
    found: _delivery.Delivery | None = await anext(deliveries, None)
    return found


async def _finish(deliveries: Any) -> None:
    await deliveries.aclose()


async def _time_left(delivery: _delivery.Delivery) -> float:
    return delivery.time_left


async def _make_watch(
    queue: _queue.Queue, since: int | None, kinds: Iterable[EventKind | str]
) -> _watch.Watch:
    return queue.watch(since, kinds)


async def _stop(watch: _watch.Watch) -> None:
    watch.stop()
