"""A long random walk of a backend beside the machine, without Hypothesis.

Hypothesis finds small counterexamples and shrinks them; this is for volume: a hundred times the
speed, the same comparison. Everything comes from one seed, which a failure names; run that seed
again to see it again.

A walk is cut into episodes. Each ends with everything compared, drained and deleted, so the store
does not grow for ever and policies differ from one episode to the next.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from supersoniq.core import ops
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.messages import Details, Entry, EventKind, Message
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing.harness import HarnessFactory
from supersoniq.testing.twins import Handle, Pick, Twins

__all__ = ["Simulated", "simulate"]

EPISODE = 5_000
"""Steps of an episode."""
QUEUES = ("a", "b")
RECIPIENTS = (None, None, None, "ann", "bob")
KEYS = (None,) * 12 + ("k1", "k2", "k3")
CONTENTS = (b"", b"x", b"x", b"yy", b"0123456789" * 3)
PRIORITIES = (0, 0, 0, 0, 1, -1, 5, 32767, -32768)
DELAYS = (0, 0, 0, 0, 0, 1, 1000, 7_000, 60_000)
TTLS = (None, None, None, None, 1, 5_000, 30_000, 200_000)
LENGTHS = (None, None, None, 100, 1_000, 30_000, 29_999, 600_000)
JUMPS = (1, 1, 10, 99, 100, 1_000, 5_000, 30_000, 61_000, 300_000, 20 * 86_400_000)
GARBAGE = ("", "x", "A" * 43, "\N{SNOWMAN}")
KINDS = tuple(kind for kind in EventKind if kind is not EventKind.GAP)
CHANGES: tuple[dict[str, Any], ...] = (
    {"lease": 0.1}, {"lease": 5}, {"lease": 30}, {"max_deliveries": 0}, {"max_deliveries": 1},
    {"max_deliveries": 3}, {"max_deliveries": 10}, {"backoff": 0}, {"backoff": 1},
    {"backoff": {"initial": 1, "factor": 3, "maximum": 9, "jitter": 1}}, {"dedup_window": 0},
    {"dedup_window": 1}, {"dedup_window": 300}, {"keep_done": 0}, {"keep_done": 3},
    {"keep_done": 900}, {"keep_dead": 0}, {"keep_dead": 30}, {"keep_dead": 86_400},
    {"max_length": 5}, {"max_length": 40}, {"max_length": None}, {"max_content": 10},
    {"max_content": 1000}, {"on_expiry": "dead"}, {"on_expiry": "drop"}, {"lease": 0},
    {"nothing": 1},
)  # fmt: skip


class Simulated(msgspec.Struct, frozen=True):
    """What a walk was."""

    steps: int
    seed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        return f"{self.steps} steps of seed {self.seed} agree ({self.rate:,.0f} steps/s)"


def simulate(
    harness: HarnessFactory,
    steps: int,
    seed: int,
    *,
    compare_every: int = 4,
    reopen_every: int = 1000,
) -> Simulated:
    """Walk so many steps.

    Args:
        harness: makes a fresh store; one is used for the whole walk.
        steps: operations, not counting those that compare figures and drain.
        seed: of everything.
        compare_every: steps between two comparisons of all figures.
        reopen_every: steps between two openings of a lasting store, on average; 0 is never.

    Raises:
        AssertionError: the backend disagrees with the machine; its note names the seed.
    """
    return asyncio.run(_simulate(harness, steps, seed, compare_every, reopen_every))


async def _simulate(
    harness: HarnessFactory, steps: int, seed: int, compare_every: int, reopen_every: int
) -> Simulated:
    walk = Walk(Twins(harness()), random.Random(seed))
    begun = time.perf_counter()
    await walk.twins.open()
    done = 0
    try:
        lasting = walk.twins.backend.capabilities.lasting and reopen_every > 0
        while done < steps:
            if done % EPISODE == 0:
                await walk.begin()
            await walk.step()
            done += 1
            if done % compare_every == 0:
                await walk.twins.compare_stats()
            if done % 500 == 0:
                walk.twins.check()
            if lasting and walk.random.random() * reopen_every < 1:
                await walk.twins.reopen(crash=walk.random.random() < 0.5)
            if done % EPISODE == 0 or done == steps:
                await walk.end()
    except BaseException as error:
        error.add_note(f"simulate(..., seed={seed}) failed at step {done + 1} of {steps}")
        raise
    finally:
        await walk.twins.close()
    return Simulated(steps, seed, time.perf_counter() - begun)


class Walk:
    """One walk: picks what to do, and does it on both sides."""

    def __init__(self, twins: Twins, rng: random.Random) -> None:
        self.twins = twins
        self.random = rng
        self._moves: list[Callable[[], Awaitable[None]]] = []
        weights: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (280, self._publish), (250, self._take), (310, self._settle), (90, self._advance),
            (15, self._look), (8, self._browse), (20, self._cancel), (8, self._redrive),
            (8, self._import),
            (2, self._purge), (4, self._pause), (12, self._resume), (8, self._configure),
            (4, self._explain), (15, self._follow), (1, self._delete), (3, self._describe),
        ]  # fmt: skip
        for weight, move in weights:
            self._moves += [move] * weight

    async def begin(self) -> None:
        """Give the queues policies of their own."""
        for queue in QUEUES:
            for _ in range(self.random.randrange(4)):
                await self.twins.simple(ops.Configure(queue, self._choice(CHANGES)))

    async def step(self) -> None:
        """Do one thing."""
        await self._choice(self._moves)()

    async def end(self) -> None:
        """Compare everything, drain and delete."""
        await self.twins.drain()
        for queue in list(self.twins.machine.queues):
            await self.twins.simple(ops.Delete(queue))
        self.twins.forget()

    def _choice(self, options: Any) -> Any:
        # random.choice costs three times as much.
        return options[int(self.random.random() * len(options))]

    def _queue(self) -> str:
        return "a" if self.random.random() < 0.7 else "b"

    def _entry(self) -> Entry:
        choice = self._choice
        details = Details("text/plain", None, None, choice(RECIPIENTS), choice(KEYS))
        return Entry(choice(CONTENTS), details, choice(PRIORITIES), choice(DELAYS), choice(TTLS))

    async def _publish(self) -> None:
        count = 1 if self.random.random() < 0.7 else self.random.randrange(6)
        await self.twins.publish(self._queue(), [self._entry() for _ in range(count)])

    async def _take(self) -> None:
        limit = 1 if self.random.random() < 0.5 else self.random.randrange(1, 9)
        await self.twins.take(self._queue(), limit, self._choice(RECIPIENTS), self._choice(LENGTHS))

    def _handle(self) -> Handle:
        handles = self.twins.handles
        if not handles or self.random.random() < 0.01:
            text = self._choice(GARBAGE)
            return Handle(self._queue(), text, text, self.twins.openings)
        newest = min(len(handles), 12)
        if self.random.random() < 0.8:
            return handles[-1 - int(self.random.random() * newest)]
        return handles[int(self.random.random() * len(handles))]

    async def _settle(self) -> None:
        count = 1 if self.random.random() < 0.6 else self.random.randrange(5)
        picks = []
        for _ in range(count):
            outcome = self._choice(
                (Outcome.ACK, Outcome.ACK, Outcome.ACK, Outcome.NACK, Outcome.NACK,
                 Outcome.RELEASE, Outcome.REJECT, Outcome.EXTEND)
            )  # fmt: skip
            pick = Pick(self._handle(), outcome, by_text=self.random.random() < 0.5)
            if outcome in (Outcome.NACK, Outcome.RELEASE):
                pick.delay = self._choice((None, 0, 0, 1, 5_000))
            if outcome in (Outcome.NACK, Outcome.REJECT):
                pick.reason = self._choice((None, "bad", "worse"))
            if outcome is Outcome.EXTEND:
                pick.duration = self._choice(LENGTHS)
            picks.append(pick)
        queue = picks[0].handle.queue if picks and self.random.random() < 0.95 else self._queue()
        await self.twins.settle(queue, picks)

    async def _advance(self) -> None:
        instants = self.twins.next_instants()
        if instants and self.random.random() < 0.6:
            await self.twins.advance(max(self._choice(instants) + self._choice((-1, 0, 0, 1)), 0))
        else:
            limit = 10 if self.random.random() < 0.97 else len(JUMPS)
            await self.twins.advance(self._choice(JUMPS[:limit]))

    def _id(self) -> int:
        ids = self.twins.ids
        return self._choice(ids) if ids else 0x7 << 76 | 0b10 << 62

    async def _look(self) -> None:
        await self.twins.simple(ops.Look(self._queue(), self._id()))

    async def _browse(self) -> None:
        after = self._id() if self.random.random() < 0.5 else None
        status = self._choice((None, *Status))
        await self.twins.simple(ops.Browse(self._queue(), status, after, self._choice((1, 5, 100))))

    async def _cancel(self) -> None:
        await self.twins.simple(ops.Cancel(self._queue(), self._id()))

    async def _redrive(self) -> None:
        ids = [self._id()] if self.random.random() < 0.3 else None
        limit = self._choice((None, 1, 3))
        await self.twins.simple(ops.Redrive(self._queue(), ids, limit))

    async def _import(self) -> None:
        choice, random = self._choice, self.random
        source = self._queue()
        messages = self.twins.seen(source, random.randrange(4))
        here = [parse_id(message.id) for message in messages]
        for _ in range(random.randrange(3)):
            entry, now = self._entry(), self.twins.clock.now() + choice((0, -1_000, 1_000))
            created = now - now % 60_000  # so that ids come twice
            number = created << 80 | 0x7 << 76 | 0b10 << 62 | 1 << 41 | random.randrange(1, 6)
            status, details = choice(tuple(Status)), entry.details
            messages.append(
                Message(
                    id=format_id(number), queue="x", content=entry.content,
                    content_type=details.content_type, headers={}, sender=None,
                    recipient=details.recipient, priority=entry.priority, key=details.key,
                    created_at=created, available_at=now + entry.delay,
                    expires_at=None if entry.ttl is None else now + entry.ttl, status=status,
                    deliveries=random.randrange(4),
                    reason="expired" if status is Status.DEAD else choice((None, "bad")),
                )
            )  # fmt: skip
        target = self._queue()
        await self.twins.import_(target, messages, policy=choice(CHANGES))
        for _ in range(random.randrange(4)):  # and back, and there again
            await self.twins.simple(ops.Purge(source, ids=here))
            source, target = target, source
            await self.twins.import_(target, messages)

    async def _purge(self) -> None:
        status = self._choice((None, *Status))
        ids = self._choice((None, [self._id(), self._id()]))
        await self.twins.simple(ops.Purge(self._queue(), status, ids))

    async def _pause(self) -> None:
        duration = self._choice((None, 0, 1_000, 40_000))
        await self.twins.simple(ops.Pause(self._queue(), duration=duration))

    async def _resume(self) -> None:
        for queue in QUEUES:
            await self.twins.simple(ops.Resume(queue))

    async def _configure(self) -> None:
        await self.twins.simple(ops.Configure(self._queue(), self._choice(CHANGES)))

    async def _describe(self) -> None:
        await self.twins.simple(ops.Describe(self._queue()))
        await self.twins.simple(ops.Queues())

    async def _explain(self) -> None:
        await self.twins.simple(ops.Explain(self._queue(), self._id()))

    async def _delete(self) -> None:
        await self.twins.simple(ops.Delete(self._queue()))

    async def _follow(self) -> None:
        followers = self.twins.followers
        while followers and self.twins.steps - followers[0].steps > 1500:
            # By then a log may have overflowed on one side and, kept longer, not on the other.
            followers.popleft()
        if not followers or self.random.random() < 0.3:
            kinds = frozenset(self._choice(KINDS) for _ in range(3))
            await self.twins.new_follower(self._queue(), kinds)
        else:
            await self.twins.follow(self._choice(followers), self._choice((1, 5, 1000)))
