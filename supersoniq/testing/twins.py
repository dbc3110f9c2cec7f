"""A backend beside the machine: the same operations at the same instants, and every answer equal.

The machine (``supersoniq.core.machine``) is the specification. It has its own secret, so its ids
and receipts are others than the backend's; all else must agree to the letter. ``Twins`` keeps a
one-to-one map between the two sides' ids, and pairs of leases, and puts each answer of the backend
into the machine's words before it compares.

Operations are named by the machine's ids. A lease taken before the store was opened again is
settled by its receipt only, as the port says.

What is not compared, since the port leaves it open: ``wake_in`` (the suite's guarantee 9 has it),
offsets (only that they lead to the same events), the wording of ``LeaseLost``, and the durability.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from supersoniq.core import ops
from supersoniq.core.errors import LeaseLost, SupersoniqError
from supersoniq.core.ids import format_id, parse_id
from supersoniq.core.machine import Machine
from supersoniq.core.messages import Entry, Event, EventKind, Lease, Message
from supersoniq.core.ops import AnyOp, Outcome, Settlement
from supersoniq.core.states import Status
from supersoniq.core.tally import conserved
from supersoniq.port import Backend
from supersoniq.testing.clock import ManualClock
from supersoniq.testing.harness import Harness

__all__ = ["Disagreement", "Follower", "Handle", "Pick", "Twins"]

TRACE = 30
"""Operations that a disagreement shows."""


class Disagreement(AssertionError):
    """The backend answered otherwise than the machine."""


class Handle(msgspec.Struct):
    """One lease on both sides."""

    queue: str
    model: Lease | str
    backend: Lease | str
    opening: int
    """During which opening of the store it was taken."""


class Pick(msgspec.Struct):
    """One settlement to be, on both sides."""

    handle: Handle
    outcome: Outcome
    delay: int | None = None
    reason: str | None = None
    duration: int | None = None
    by_text: bool = False


class Follower(msgspec.Struct):
    """A watcher with its own kinds, and its place on both sides."""

    queue: str
    kinds: frozenset[EventKind]
    model: int
    backend: int
    steps: int
    """When it last followed."""


class Twins:
    """A backend and the machine.

    Args:
        harness: a fresh one.
    """

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.clock = ManualClock()
        self.machine = Machine(secrets.token_bytes(32))
        self.backend: Backend
        self.handles: deque[Handle] = deque(maxlen=400)
        """Leases ever taken, the newest ones: in force, lapsed, settled, of deleted queues."""
        self.ids: deque[int] = deque(maxlen=300)
        """The machine's ids, the newest ones."""
        self.followers: deque[Follower] = deque(maxlen=6)
        self.steps = 0
        self.openings = 0
        self._theirs: dict[int, int] = {}
        self._ours: dict[int, int] = {}
        self._trace: deque[AnyOp | str] = deque(maxlen=TRACE)

    async def open(self) -> None:
        """Open the backend."""
        self.backend = await self.harness.backend(self.clock)

    async def reopen(self, *, crash: bool = False) -> None:
        """Close a lasting backend, or crash it, and open it again."""
        self._trace.append("crash" if crash else "reopen")
        await (self.harness.crash(self.backend) if crash else self.backend.close())
        self.openings += 1
        self.followers.clear()  # they would be told of a gap, or not: both are right
        await self.open()
        await self.compare_stats()

    async def close(self) -> None:
        """Close the backend and remove the store."""
        try:
            await self.backend.close()
        finally:
            await self.harness.close()

    # Operations.

    async def publish(self, queue: str, entries: Sequence[Entry]) -> None:
        """Publish on both sides."""
        await self.both(ops.Publish(queue, entries))

    async def take(
        self, queue: str, limit: int = 1, recipient: str | None = None, duration: int | None = None
    ) -> None:
        """Take on both sides; what was taken joins ``handles``."""
        await self.both(ops.Take(queue, limit, recipient, duration))

    async def settle(self, queue: str, picks: Sequence[Pick]) -> None:
        """Settle on both sides."""
        ours, theirs = [], []
        for pick in picks:
            fields = (pick.outcome, pick.delay, pick.reason, pick.duration)
            handle = pick.handle
            ours.append(Settlement(handle.model, *fields))
            text = pick.by_text or handle.opening != self.openings
            theirs.append(Settlement(_text(handle.backend) if text else handle.backend, *fields))
        await self.both(ops.Settle(queue, ours), ops.Settle(queue, theirs))

    async def simple(self, op: AnyOp) -> None:
        """Any operation but a settlement or a follow; the machine's ids in it are translated."""
        theirs: AnyOp = op
        if isinstance(op, ops.Look | ops.Cancel | ops.Explain):
            theirs = msgspec.structs.replace(op, id=self._theirs.get(op.id, op.id))
        elif isinstance(op, ops.Browse) and op.after is not None:
            theirs = msgspec.structs.replace(op, after=self._theirs.get(op.after, op.after))
        elif isinstance(op, ops.Redrive | ops.Purge) and op.ids is not None:
            ids = [self._theirs.get(number, number) for number in op.ids]
            theirs = msgspec.structs.replace(op, ids=ids)
        await self.both(op, theirs)

    async def import_(self, queue: str, messages: Sequence[Message], **more: Any) -> None:
        """Import messages on both sides; those of a queue of the machine with their ids there."""
        theirs = []
        for message in messages:
            number = parse_id(message.id)
            known = self._theirs.setdefault(number, number)
            self._ours.setdefault(known, number)
            theirs.append(msgspec.structs.replace(message, id=format_id(known)))
        op = ops.Import(queue, messages, **more)
        await self.both(op, msgspec.structs.replace(op, messages=theirs))
        self.ids.extend(parse_id(message.id) for message in messages)

    def seen(self, queue: str, limit: int) -> list[Message]:
        """Messages of one of the machine's queues, without a word to the backend."""
        found = self.machine.queues.get(queue)
        return [] if found is None else found.browse(None, None, limit, self.clock.now())

    async def follow(self, follower: Follower, limit: int = 1000) -> None:
        """Let a watcher go on, on both sides."""
        queue, kinds = follower.queue, follower.kinds
        ours = ops.Follow(queue, follower.model, kinds, limit)
        theirs = ops.Follow(queue, follower.backend, kinds, limit)
        wanted, got = await self.both(ours, theirs)
        if isinstance(wanted, ops.Followed):
            follower.model, follower.backend = wanted.offset, got.offset
            follower.steps = self.steps
        elif follower in self.followers:
            self.followers.remove(follower)

    async def new_follower(self, queue: str, kinds: frozenset[EventKind]) -> None:
        """A watcher begins, on both sides; it joins ``followers`` if there is such a queue."""
        wanted, got = await self.both(ops.Follow(queue, None, kinds))
        if isinstance(wanted, ops.Followed):
            follower = Follower(queue, kinds, wanted.offset, got.offset, self.steps)
            self.followers.append(follower)

    async def advance(self, ms: int) -> None:
        """Let time pass on both sides, and both notice it at once."""
        self._trace.append(f"advance {ms} ms")
        self.clock.advance(ms=ms)
        await self.compare_stats()

    def next_instants(self) -> list[int]:
        """Milliseconds until something happens by itself in a queue, by the machine."""
        now = self.clock.now()
        return [q.next - now for q in self.machine.queues.values() if 0 < q.next - now < 1 << 45]

    # Comparing.

    async def both(self, ours: AnyOp, theirs: AnyOp | None = None) -> tuple[Any, Any]:
        """Execute an operation on both sides and compare the answers, which are given."""
        self.steps += 1
        self._trace.append(ours)
        try:
            wanted = self.machine.apply(ours, self.clock.now())
        except SupersoniqError as error:
            wanted = error
        (got,) = await self.backend.execute([ours if theirs is None else theirs])
        self._compare(ours, wanted, got)
        return wanted, got

    async def compare_stats(self) -> None:
        """The figures of every queue must be equal, and messages conserved."""
        for name in self.machine.queues:
            wanted, _ = await self.both(ops.Stats(name))
            if not conserved(wanted):
                raise self._disagreement("messages are not conserved", wanted, wanted)

    def check(self) -> None:
        """Have the machine check its own structures. O(n)."""
        for queue in self.machine.queues.values():
            queue._check()

    async def drain(self) -> None:
        """Compare everything that can be seen, then take and settle it all."""
        await self.both(ops.Queues())
        for name in list(self.machine.queues):
            for status in (None, *Status):
                await self.simple(ops.Browse(name, status, None, 10_000))
            await self.simple(ops.Describe(name))
            await self.simple(ops.Resume(name))
        await self.advance(50_000_000)  # longer than any lease
        for name in list(self.machine.queues):
            await self.simple(ops.Redrive(name))
            for recipient in (None, *self.machine.queues[name]._addressed):
                await self.take(name, 10_000, recipient)
                mine = [handle for handle in self.handles if handle.queue == name]
                await self.settle(name, [Pick(handle, Outcome.ACK) for handle in mine])
            await self.simple(ops.Stats(name))
        await self.advance(400 * 86_400_000)
        for name in list(self.machine.queues):
            await self.simple(ops.Browse(name, None, None, 10_000))
        self.check()

    def forget(self) -> None:
        """Drop the maps of ids, once every queue was deleted. Leases stay, as stale ones."""
        self._theirs.clear()
        self._ours.clear()
        self.ids.clear()
        self.followers.clear()

    def _compare(self, op: AnyOp, wanted: Any, got: Any) -> None:
        if isinstance(wanted, SupersoniqError) or isinstance(got, SupersoniqError):
            self._equal(op, _facts(wanted), self._facts_of(got))
        elif isinstance(op, ops.Publish):
            self._equal(op, len(wanted), len(got))
            for ours, theirs in zip(wanted, got, strict=True):
                self._equal(op, ours.duplicate, theirs.duplicate)
                self._pair(op, ours.number, theirs.number, fresh=not ours.duplicate)
        elif isinstance(op, ops.Take):
            self._equal(op, len(wanted.leases), len(got.leases))
            for ours, theirs in zip(wanted.leases, got.leases, strict=True):
                self._equal(op, (ours.attempt, ours.deadline), (theirs.attempt, theirs.deadline))
                self._same(op, ours.message(), theirs.message())
                self.handles.append(Handle(op.queue, ours, theirs, self.openings))
        elif isinstance(op, ops.Settle):
            self._equal(op, [*map(_plain, wanted)], [*map(_plain, got)])
        elif isinstance(op, ops.Look):
            self._same(op, wanted, got)
        elif isinstance(op, ops.Import):
            self._equal(op, wanted.stored, got.stored)  # tags are each side's own
        elif isinstance(op, ops.Browse):
            self._equal(op, len(wanted), len(got))
            for ours, theirs in zip(wanted, got, strict=True):
                self._same(op, ours, theirs)
        elif isinstance(op, ops.Follow):
            self._compare_events(op, wanted.events, got.events)
        else:
            self._equal(op, wanted, got)

    def _compare_events(self, op: AnyOp, wanted: list[Event], got: list[Event]) -> None:
        self._equal(op, [(e.kind, e.at) for e in wanted], [(e.kind, e.at) for e in got])
        for ours, theirs in zip(wanted, got, strict=True):
            if ours.message is None or theirs.message is None:
                self._equal(op, ours.message, theirs.message)
            else:
                self._same(op, ours.message, theirs.message)

    def _pair(self, op: AnyOp, ours: int, theirs: int, *, fresh: bool) -> None:
        if fresh:
            if theirs in self._ours:
                raise self._disagreement(f"{op}: a new message with an old id", ours, theirs)
            self._theirs[ours] = theirs
            self._ours[theirs] = ours
            self.ids.append(ours)
        self._equal(op, ours, self._ours.get(theirs))

    def _same(self, op: AnyOp, ours: Message, theirs: Message) -> None:
        number = self._ours.get(parse_id(theirs.id))
        id = theirs.id if number is None else format_id(number)
        if ours != msgspec.structs.replace(theirs, id=id):
            raise self._disagreement(f"{op}", ours, theirs)

    def _facts_of(self, got: Any) -> Any:
        facts = _facts(got)
        if isinstance(got, SupersoniqError) and "id" in got.fields:
            try:
                number = self._ours.get(parse_id(facts[1]["id"]))
            except SupersoniqError:
                return facts
            if number is not None:
                facts[1]["id"] = format_id(number)
        return facts

    def _equal(self, op: AnyOp, wanted: object, got: object) -> None:
        if wanted != got:
            raise self._disagreement(f"{op}", wanted, got)

    def _disagreement(self, what: str, wanted: object, got: object) -> Disagreement:
        trace = "\n".join(f"  {entry}"[:400] for entry in self._trace)
        return Disagreement(
            f"{what}\nthe machine: {wanted!r}\nthe backend: {got!r}\nthe last operations:\n{trace}"
        )


def _text(receipt: Lease | str) -> str:
    return receipt if isinstance(receipt, str) else receipt.receipt


def _plain(verdict: ops.Verdict) -> object:
    return type(verdict) if isinstance(verdict, SupersoniqError) else verdict


def _facts(answer: Any) -> Any:
    if not isinstance(answer, SupersoniqError):
        return ("no error", answer)
    data: Mapping[str, Any] = {} if isinstance(answer, LeaseLost) else answer.data
    return (type(answer).__name__, dict(data))
