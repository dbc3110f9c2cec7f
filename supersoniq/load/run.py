"""Carrying out a plan: publishers, consumers, and the count of what became of every message.

What is measured, by one clock, that of this process:

- *publish*: from when it was due (with a rate) or begun, until the store has answered;
- *delivery*: from then until a consumer has the message in hand for the first time. So it includes
  the time in the queue, which is all there is to see once more comes in than goes out.

Every message is in one of the stages below, and only answers of the store move it up.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from supersoniq.api.delivery import Delivery
from supersoniq.api.queue import Queue
from supersoniq.core.errors import (
    BackendUnavailable,
    InvalidArgument,
    OutcomeUnknown,
    QueueFull,
    RateLimited,
)
from supersoniq.core.messages import Draft
from supersoniq.core.ops import QueueStats
from supersoniq.load.latency import Latency
from supersoniq.load.plan import MARK, Plan
from supersoniq.load.report import Moment, Report

__all__ = ["Load"]

TRANSIENT = (BackendUnavailable, OutcomeUnknown, QueueFull, RateLimited)
"""What a publisher counts and goes on after; any other error ends the run."""
PAUSE = 0.05
"""Seconds that a publisher waits after such an error."""
GLANCE = 0.25
"""Seconds between two looks at the queue while it is worked off."""
PAGE = 1 << 22
"""Bytes of contents that are looked at at once."""
NONE, STORED, SEEN, UNSURE, FINISHED = range(5)
"""Nothing known; the store has it; a consumer had it; perhaps acknowledged; acknowledged."""


class Load:
    """One run of a plan on one queue.

    Args:
        queue: an empty one, which nobody else uses.
        plan: what to do.
        stop: set to publish no more; what is queued is still worked off.

    Raises:
        InvalidArgument: the plan cannot be carried out.
    """

    def __init__(self, queue: Queue, plan: Plan, stop: asyncio.Event | None = None) -> None:
        self.queue = queue
        self.plan = plan.check()
        self.stop = stop if stop is not None else asyncio.Event()
        self.publish = Latency()
        self.delivery = Latency()
        self.errors: Counter[str] = Counter()
        self.timeline: list[Moment] = []
        self.published = self.finished = self.failed = self.again = 0
        self._dice = random.Random(plan.seed)
        self._priorities = list(plan.priorities)
        self._weights = list(accumulate(plan.priorities.values()))
        self._padding = b"." * (plan.size - MARK)
        self._stages = bytearray()
        self._due: dict[int, float] = {}
        self._began = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self._began

    async def run(self, tell: Callable[[Load], None] | None = None) -> Report:
        """Do it.

        Args:
            tell: called about four times a second, to show progress.

        Raises:
            InvalidArgument: the queue is not empty.
            SupersoniqError: publishing or consuming is impossible: not allowed, too large, ...
        """
        before = await self.queue.stats()
        if holds := _queued(before) + before.dead:
            problem = f"holds {holds} messages; load is made on an empty queue"
            raise InvalidArgument("queue", self.queue.name, problem)
        self._began = time.perf_counter()
        ended = asyncio.Event()
        ticking = asyncio.ensure_future(self._tick(tell))
        tasks = [ticking]
        if self.plan.consumers:
            running = self.queue.run(self._work, self.plan.consumers, stop=ended, grace=5)
            tasks.append(consuming := asyncio.ensure_future(running))
        try:
            publishing = asyncio.ensure_future(self._publish_all())
            tasks.append(publishing)
            # Whichever fails first ends it all.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            took = self.elapsed
            if self.plan.consumers:
                await self._work_off(consuming)
            worked = self.elapsed
            ended.set()
            if self.plan.consumers:
                await consuming
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        after = await self.queue.stats()
        return self._report(before, after, await self._lost(before, after), took, worked)

    # Publishing.

    async def _publish_all(self) -> None:
        publishers = [asyncio.ensure_future(self._publisher()) for _ in range(self.plan.publishers)]
        try:
            await asyncio.gather(*publishers)
        finally:
            for publisher in publishers:
                publisher.cancel()
            await asyncio.gather(*publishers, return_exceptions=True)

    async def _publisher(self) -> None:
        plan, clock = self.plan, time.perf_counter
        while not self.stop.is_set():
            first = len(self._stages)
            many = plan.batch
            if plan.messages is not None:
                many = min(many, plan.messages - first)
            offset = first / plan.rate if plan.rate else clock() - self._began
            if many <= 0 or (plan.messages is None and offset >= plan.duration):
                return
            due = self._began + offset
            self._stages.extend(bytes(many))  # these numbers are ours
            if (early := due - clock()) > 0:
                await self._sleep(early)
                if self.stop.is_set():
                    return
            # On time, the pause may have ended a little late; that is not the store's doing.
            since = due if plan.rate and early <= 0 else clock()
            for number in range(first, first + many):
                self._due[number] = since
            try:
                await self._publish(first, many)
            except TRANSIENT as error:
                self.errors[error.code] += many
                if not isinstance(error, OutcomeUnknown):
                    for number in range(first, first + many):
                        self._due.pop(number, None)
                await self._sleep(PAUSE)
                continue
            self.publish.add(clock() - since)
            self.published += many
            for number in range(first, first + many):
                self._stages[number] = max(self._stages[number], STORED)
            await asyncio.sleep(0)  # a store that never waits would let nobody else have a turn

    async def _publish(self, first: int, many: int) -> None:
        drafts = []
        for number in range(first, first + many):
            [priority] = self._dice.choices(self._priorities, cum_weights=self._weights)
            content = b"%016x" % number + self._padding
            drafts.append(Draft(content, priority=priority))
        if many > 1:
            await self.queue.publish_many(drafts)
        else:
            await self.queue.publish(content, priority=priority)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            pass

    # Consuming.

    async def _work(self, delivery: Delivery) -> None:
        number = int(delivery.content[:MARK], 16)
        stage = self._stages[number]
        if stage < SEEN:
            self._stages[number] = SEEN
            self.delivery.add(time.perf_counter() - self._due.pop(number))
        elif stage == FINISHED:
            self.again += 1
        if self.plan.work:
            await asyncio.sleep(self.plan.work)
        if self.plan.fail and self._dice.random() < self.plan.fail:
            await delivery.nack(0, "simulated failure")
            self.failed += 1
            return
        try:
            await delivery.ack()
        except OutcomeUnknown as error:
            self.errors[error.code] += 1
            self._stages[number] = UNSURE
            return
        self._stages[number] = FINISHED
        self.finished += 1

    async def _work_off(self, consuming: asyncio.Future[None]) -> None:
        """Wait until nothing is queued, or nothing has moved for the plan's patience."""
        moved, last = time.perf_counter(), (-1, -1)
        while not consuming.done():
            figures = await self.queue.stats()
            now = (figures.leases, figures.acked + figures.dead)
            if not _queued(figures):
                return
            if now != last:
                moved, last = time.perf_counter(), now
            elif time.perf_counter() - moved > self.plan.patience:
                return
            await asyncio.wait({consuming}, timeout=GLANCE)
        consuming.result()

    async def _lost(self, before: QueueStats, after: QueueStats) -> int:
        """How many of what was stored are neither finished, nor dead, nor queued.

        What is there may be of publishes and acknowledgements whose outcome is unknown. So, if
        there were any and something is there, it is looked at which messages these are.
        """
        queued = _queued(after)
        dead = after.dead - before.dead
        stages = Counter(self._stages)
        if not (self.errors[OutcomeUnknown.code] and (queued or dead)):
            return max(0, stages[STORED] + stages[SEEN] - dead - queued)
        left: set[int] = set()
        last, limit = None, max(1, min(1000, PAGE // self.plan.size))
        while page := await self.queue.browse(after=last, limit=limit):
            left.update(int(message.content[:MARK], 16) for message in page)
            last = page[-1].id
        return sum(
            stage in (STORED, SEEN) and number not in left
            for number, stage in enumerate(self._stages)
        )

    # Telling.

    async def _tick(self, tell: Callable[[Load], None] | None) -> None:
        ticks = 0
        while True:
            ticks += 1
            await asyncio.sleep(max(0.0, self._began + ticks * GLANCE - time.perf_counter()))
            if ticks % 4 == 0:
                self.timeline.append(self._moment())
            if tell is not None:
                tell(self)

    def _moment(self) -> Moment:
        seconds = round(self.elapsed, 3)
        return Moment(seconds=seconds, published=self.published, finished=self.finished)

    def _report(
        self, before: QueueStats, after: QueueStats, lost: int, took: float, all: float
    ) -> Report:
        self.timeline.append(self._moment())
        return Report(
            seconds=round(took, 3),
            seconds_worked_off=round(all, 3),
            published=self.published,
            finished=self.finished,
            failed=self.failed,
            dead=after.dead - before.dead,
            queued=_queued(after),
            lost=lost,
            delivered_after_finished=self.again,
            errors=dict(self.errors),
            published_per_second=round(self.published / took, 1),
            finished_per_second=round(self.finished / all, 1),
            publish_ms=self.publish.summary(),
            delivery_ms=self.delivery.summary(),
            timeline=self.timeline,
        )


def _queued(figures: QueueStats) -> int:
    return figures.scheduled + figures.ready + figures.leased
