"""The SQLite store against the machine with the same secret: every answer is equal."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supersoniq.backends.sqlite import SqliteBackend, passing
from supersoniq.core import log, ops
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.machine import Machine
from supersoniq.core.messages import Entry, EventKind, Lease, prepare
from supersoniq.core.states import Status
from supersoniq.core.tally import conserved
from supersoniq.testing import ManualClock

NAMES = ["a", "b", "c.d-e"]
KINDS = [kind for kind in EventKind if kind is not EventKind.GAP]


class Walk:
    """A random walk, made by the machine's answers and compared with the store's."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.path = path
        self.clock = ManualClock()
        self.backend = SqliteBackend(path, clock=self.clock, synchronous="normal", min_free=0)
        self.machine = Machine(b"")
        self.leases: list[tuple[str, Lease, Lease | None]] = []
        self.ids: list[tuple[str, int]] = []
        self.offsets: dict[str, int] = {}

    async def start(self) -> None:
        await self.backend.open()
        self.machine = Machine(self.backend._store._secret, "os")

    async def reopen(self) -> None:
        await self.backend.close()
        if self.random.random() < 0.5:
            self.backend = SqliteBackend(
                self.path, clock=self.clock, synchronous="normal", min_free=0
            )
            # Only their receipts are left to a new process.
            self.leases = [(queue, lease, None) for queue, lease, _ in self.leases]
        await self.backend.open()

    def expect(self, op: ops.AnyOp) -> Any:
        try:
            return self.machine.apply(op, self.clock.now())
        except SupersoniqError as error:
            return error

    async def step(self) -> None:
        chance = self.random.random()
        if chance < 0.15:
            self.clock.advance(ms=self.random.choice([1, 50, 700, 1500, 12_000, 70_000]))
        elif chance < 0.16:
            await self.reopen()
        if self.random.random() < 0.1:
            await self.together()
            return
        op, twin = self.make()
        expected = self.expect(op)
        [answer] = await self.backend.execute([twin])
        assert plain(answer) == plain(expected), f"{op}\nstore:   {answer}\nmachine: {expected}"
        self.learn(op, expected, answer)

    async def together(self) -> None:
        """Several operations in one batch, which the store carries out in an order of its own."""
        recipient = self.random.choice([None, "ann"])
        pairs = [self.settle() for _ in range(self.random.choice([0, 1, 3])) if self.leases]
        for _ in range(self.random.choice([1, 3, 8])):
            op = self.simple(self.random.choice(NAMES[:2]), self.random.uniform(0.25, 0.75))
            if isinstance(op, ops.Take):
                # Takes of several recipients are dealt out in another order than the machine's.
                op = msgspec.structs.replace(op, recipient=recipient)
            pairs.append((op, op))
        self.random.shuffle(pairs)
        answers = await self.backend.execute([twin for _, twin in pairs])
        queues = list(dict.fromkeys(op.queue for op, _ in pairs if isinstance(op, ops.Op)))
        order = [ops.Settle, ops.Publish, ops.Take]

        def turn(place: int) -> tuple[int, ...]:
            op = pairs[place][0]
            assert isinstance(op, ops.Settle | ops.Publish | ops.Take)
            return queues.index(op.queue), order.index(type(op))

        for place in sorted(range(len(pairs)), key=turn):
            op = pairs[place][0]
            expected = self.expect(op)
            assert plain(answers[place]) == plain(expected), f"{op} of {pairs}"
            self.learn(op, expected, answers[place])

    def learn(self, op: ops.AnyOp, expected: Any, answer: Any) -> None:
        if isinstance(op, ops.Publish) and isinstance(expected, list):
            self.ids += [(op.queue, published.number) for published in expected]
        elif isinstance(op, ops.Take) and isinstance(expected, ops.Taken):
            pairs = zip(expected.leases, answer.leases, strict=True)
            self.leases += [(op.queue, mine, other) for mine, other in pairs]
        elif isinstance(op, ops.Follow) and isinstance(expected, ops.Followed):
            self.offsets[op.queue] = expected.offset
        elif isinstance(op, ops.Stats) and isinstance(answer, ops.QueueStats):
            assert conserved(answer)
        self.leases = self.leases[-60:]
        self.ids = self.ids[-200:]

    def id(self, queue: str) -> int:
        if self.ids and self.random.random() < 0.97:
            return self.random.choice(self.ids)[1]
        return self.random.getrandbits(128)

    def make(self) -> tuple[ops.AnyOp, ops.AnyOp]:
        """An operation for the machine and its twin for the store."""
        chance = self.random.random()
        queue = self.random.choices(NAMES, [6, 3, 1])[0]
        if chance < 0.25 and self.leases:
            return self.settle()
        op = self.simple(queue, chance)
        return op, op

    def simple(self, queue: str, chance: float) -> ops.AnyOp:
        pick = self.random.choice
        if chance < 0.50:
            count = self.random.choices([0, 1, 2, 5], [1, 6, 2, 1])[0]
            return ops.Publish(queue, [self.entry() for _ in range(count)])
        if chance < 0.75:
            recipient = pick([None, None, None, "ann", "bob"])
            return ops.Take(queue, pick([1, 1, 2, 5, 50]), recipient, pick([None, None, 900]))
        others: list[ops.AnyOp] = [
            ops.Look(queue, self.id(queue)),
            ops.Browse(
                queue,
                pick([None, *Status]),
                pick([None, self.id(queue)]),
                pick([1, 3, 100]),
            ),
            ops.Cancel(queue, self.id(queue)),
            ops.Redrive(queue, None, pick([None, 1, 2])),
            ops.Redrive(queue, [self.id(queue) for _ in range(pick([1, 1, 2]))]),
            ops.Stats(queue),
            ops.Stats(queue),
            ops.Explain(queue, self.id(queue)),
            ops.Explain(queue, self.id(queue)),
            ops.Follow(
                queue,
                pick([None, self.offsets.get(queue), self.offsets.get(queue, 7) - pick([0, 3])]),
                frozenset(self.random.sample(KINDS, pick([1, 2, 15]))),
                pick([2, 1000]),
            ),
            ops.Configure(queue, self.changes()),
            ops.Describe(queue),
            ops.Queues(),
        ]
        if self.random.random() < 0.15:
            return pick(
                [
                    ops.Purge(queue, pick([None, *Status])),
                    ops.Pause(queue, pick([None, self.clock.now() + 900]), None),
                    ops.Pause(queue, None, pick([0, 800])),
                    ops.Resume(queue),
                    ops.Delete(queue),
                    ops.Resume(queue),
                ]
            )
        return pick(others)

    def entry(self) -> Entry:
        pick = self.random.choice
        content: Any = pick([b"", b"bytes", "text", {"a": 1}, "y" * pick([10, 300])])
        return prepare(
            content,
            priority=pick([0, 0, 0, 5, -3, 32767, -32768]),
            delay=pick([0, 0, 0, 0.5, 30]),
            ttl=pick([None, None, None, 0.6, 20, 0.05]),
            key=pick([None, None, None, "k1", "k2", f"k{self.random.random()}"]),
            recipient=pick([None, None, None, "ann", "bob"]),
            sender=pick([None, "me"]),
            headers=pick([None, {"h": "1"}]),
        )

    def changes(self) -> dict[str, Any]:
        pick = self.random.choice
        every: dict[str, Any] = {
            "lease": pick([0.1, 1, 30]),
            "max_deliveries": pick([0, 1, 2, 10]),
            "backoff": pick([0, 0.7, {"initial": 1, "jitter": 1.0}]),
            "dedup_window": pick([0, 1, 300]),
            "keep_done": pick([0, 0, 1, 60]),
            "keep_dead": pick([0, 2, 60, 1e6]),
            "max_length": pick([None, 3, 20, None]),
            "max_content": pick([100, 1000, 0]),
            "on_expiry": pick(["drop", "dead"]),
            "nonsense": 1,
        }
        weights = [1] * 9 + [0.1]
        return {k: every[k] for k in self.random.choices(list(every), weights, k=pick([0, 1, 2]))}

    def settle(self) -> tuple[ops.AnyOp, ops.AnyOp]:
        pick = self.random.choice
        mine: list[ops.Settlement] = []
        twins: list[ops.Settlement] = []
        queue = NAMES[0]
        for _ in range(pick([1, 1, 1, 3])):
            # The newest most often; others have lapsed, or are of another queue.
            back = min(int(self.random.expovariate(0.3)), len(self.leases) - 1)
            whose, lease, other = self.leases[-1 - back]
            if not mine:
                queue = whose if self.random.random() < 0.97 else pick(NAMES)
            text = other is None or self.random.random() < 0.3
            receipt = lease.receipt if self.random.random() < 0.98 else "nonsense"
            rest = (
                pick([*ops.Outcome, ops.Outcome.ACK, ops.Outcome.ACK]),
                pick([None, None, 0, 400]),
                pick([None, "it broke"]),
                pick([None, 100, 5000]),
            )
            mine.append(ops.Settlement(receipt if text else lease, *rest))
            twins.append(ops.Settlement(receipt if text or other is None else other, *rest))
        return ops.Settle(queue, mine), ops.Settle(queue, twins)


def plain(answer: Any) -> Any:
    """An answer as it can be compared: leases by what they say, errors by class and words."""
    if isinstance(answer, SupersoniqError):
        return type(answer), str(answer)
    if isinstance(answer, list):
        return [plain(each) for each in answer]
    if isinstance(answer, Lease):
        return answer.receipt, answer.term, answer.attempt, answer.deadline, answer.message()
    if isinstance(answer, ops.Taken):
        return [plain(lease) for lease in answer.leases], answer.wake_in, answer.length
    return answer


@pytest.mark.parametrize("seed", range(8))
def test_answers_are_the_machines(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 2:
        monkeypatch.setattr(log, "CAPACITY", 12)
    if seed % 4 > 1:
        monkeypatch.setattr(log, "CAPACITY_BYTES", 600)
        monkeypatch.setattr(passing, "SLICE", 2)

    async def work() -> None:
        walk = Walk(tmp_path / "q.db", seed)
        await walk.start()
        try:
            for _ in range(1500):
                await walk.step()
        finally:
            await walk.backend.close()

    asyncio.run(work())
