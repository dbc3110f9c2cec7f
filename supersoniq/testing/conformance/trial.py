"""What a check works with: one store, one clock, and the port's verbs in a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from supersoniq.core import ops
from supersoniq.core.errors import SupersoniqError
from supersoniq.core.messages import Entry, Event, EventKind, Lease, Message, Published, prepare
from supersoniq.core.ops import AnyOp, Outcome, Settlement
from supersoniq.core.policy import Policy
from supersoniq.core.states import Status
from supersoniq.port import Backend, Capabilities
from supersoniq.testing.clock import ManualClock
from supersoniq.testing.harness import Harness

__all__ = ["Trial", "Violation", "expect", "that"]

E_ = TypeVar("E_", bound=SupersoniqError)


class Violation(AssertionError):
    """The store did what it must not, or did not do what it must."""


def that(condition: object, what: str) -> None:
    """Raise ``Violation`` with that sentence unless the condition holds."""
    if not condition:
        raise Violation(what)


def expect(actual: object, wanted: object, what: str) -> None:
    """Raise ``Violation`` unless both are equal. ``what`` names the thing compared."""
    if actual != wanted:
        raise Violation(f"{what}: expected {wanted!r}, got {actual!r}")


class Trial:
    """One check's store.

    Args:
        harness: a fresh one.
    """

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.clock = ManualClock()
        self.backend: Backend
        """The one that calls go to unless they name another."""
        self._opened: list[Backend] = []

    @property
    def can(self) -> Capabilities:
        """What the store claims."""
        return self.backend.capabilities

    async def open(self) -> Backend:
        """Open one more backend on the store. The first becomes ``backend``."""
        opened = await self.harness.backend(self.clock)
        self._opened.append(opened)
        if len(self._opened) == 1:
            self.backend = opened
        return opened

    async def reopen(self, *, crash: bool = False) -> None:
        """Close every backend, or crash it, and open the store afresh."""
        for opened in self._opened:
            await (self.harness.crash(opened) if crash else opened.close())
        self._opened.clear()
        await self.open()

    async def finish(self) -> None:
        """Close everything, whatever happened."""
        try:
            for opened in self._opened:
                await opened.close()
        finally:
            await self.harness.close()

    # Operations.

    async def do(self, op: AnyOp, on: Backend | None = None) -> Any:
        """Execute one operation and give what it gives, or raise what it says."""
        (result,) = await (on or self.backend).execute([op])
        if isinstance(result, SupersoniqError):
            raise result
        return result

    async def refused(self, kind: type[E_], op: AnyOp, what: str) -> E_:
        """Execute an operation that must be refused with that error, which is given."""
        (result,) = await self.backend.execute([op])
        if not isinstance(result, kind):
            raise Violation(f"{what}: expected {kind.__name__}, got {result!r}")
        return result

    async def publish(
        self, *entries: Entry, queue: str = "q", on: Backend | None = None
    ) -> list[Published]:
        """Publish entries as one batch."""
        published: list[Published] = await self.do(ops.Publish(queue, entries), on)
        expect(len(published), len(entries), "results of a publish")
        return published

    async def put(
        self, content: Any = b"x", *, queue: str = "q", on: Backend | None = None, **options: Any
    ) -> int:
        """Publish one message, with the options of ``Queue.publish``, and give its id's number."""
        (published,) = await self.publish(prepare(content, **options), queue=queue, on=on)
        return published.number

    async def take(
        self,
        limit: int = 1,
        *,
        queue: str = "q",
        recipient: str | None = None,
        duration: float | None = None,
        on: Backend | None = None,
    ) -> list[Lease]:
        """Take up to ``limit`` messages; ``duration`` in seconds."""
        length = None if duration is None else round(duration * 1000)
        taken: ops.Taken = await self.do(ops.Take(queue, limit, recipient, length), on)
        that(len(taken.leases) <= limit, f"a take of {limit} gave {len(taken.leases)}")
        return taken.leases

    async def one(self, **options: Any) -> Lease:
        """Take exactly one message, which must be there."""
        leases = await self.take(1, **options)
        expect(len(leases), 1, "messages taken where one is ready")
        return leases[0]

    async def contents(self, limit: int = 100, **options: Any) -> list[bytes]:
        """Take messages and give their contents, in their order."""
        return [lease.message().content for lease in await self.take(limit, **options)]

    async def verdict(
        self,
        receipt: Lease | str,
        outcome: Outcome,
        *,
        queue: str = "q",
        on: Backend | None = None,
        **options: Any,
    ) -> ops.Verdict:
        """Settle one lease and give its verdict, which may be an error."""
        settlement = Settlement(receipt, outcome, **options)
        verdicts: list[ops.Verdict] = await self.do(ops.Settle(queue, [settlement]), on)
        expect(len(verdicts), 1, "verdicts on one settlement")
        return verdicts[0]

    async def settle(self, receipt: Lease | str, outcome: Outcome, **options: Any) -> int | None:
        """Settle one lease that is in force."""
        verdict = await self.verdict(receipt, outcome, **options)
        if isinstance(verdict, SupersoniqError):
            raise Violation(f"{outcome} of a lease in force was refused: {verdict}")
        return verdict

    async def ack(self, *leases: Lease | str, queue: str = "q") -> None:
        """Acknowledge leases that are in force, as one batch."""
        settlements = [Settlement(lease, Outcome.ACK) for lease in leases]
        verdicts = await self.do(ops.Settle(queue, settlements))
        expect(verdicts, [None] * len(leases), "verdicts on acks of leases in force")

    async def nack(self, lease: Lease | str, delay: float | None = 0, **options: Any) -> None:
        """Nack; ``delay`` in seconds, ``None`` for the backoff."""
        ms = None if delay is None else round(delay * 1000)
        await self.settle(lease, Outcome.NACK, delay=ms, **options)

    async def kill(self, content: Any = b"x", *, queue: str = "q", **options: Any) -> int:
        """Publish a message and have it rejected: it is dead."""
        number = await self.put(content, queue=queue, **options)
        leases = await self.take(1000, queue=queue)
        for lease in leases:
            mine = lease.message().content == prepare(content).content
            outcome = Outcome.REJECT if mine else Outcome.RELEASE
            await self.settle(lease, outcome, queue=queue)
        return number

    async def look(self, number: int, *, queue: str = "q") -> Message:
        """One message as it is."""
        message: Message = await self.do(ops.Look(queue, number))
        return message

    async def browse(
        self,
        status: Status | None = None,
        after: int | None = None,
        limit: int = 1000,
        *,
        queue: str = "q",
    ) -> list[Message]:
        """A page of messages."""
        page: list[Message] = await self.do(ops.Browse(queue, status, after, limit))
        return page

    async def stats(self, queue: str = "q", on: Backend | None = None) -> ops.QueueStats:
        """The queue's figures."""
        stats: ops.QueueStats = await self.do(ops.Stats(queue), on)
        return stats

    async def figures(self, what: str, queue: str = "q", **wanted: Any) -> None:
        """The queue's figures must hold these."""
        stats = await self.stats(queue)
        actual = {name: getattr(stats, name) for name in wanted}
        expect(actual, wanted, what)

    async def configure(self, queue: str = "q", **changes: Any) -> Policy:
        """Change the queue's policy."""
        policy: Policy = await self.do(ops.Configure(queue, changes))
        return policy

    async def follow(
        self, since: int | None, *kinds: EventKind, limit: int = 1000, queue: str = "q"
    ) -> tuple[list[Event], int]:
        """Events after an offset, and where to go on."""
        wanted = frozenset(kinds or {EventKind.PUBLISHED})
        followed: ops.Followed = await self.do(ops.Follow(queue, since, wanted, limit))
        return followed.events, followed.offset

    def ear(self, queue: str = "q", on: Backend | None = None) -> Ear:
        """Listen to a queue."""
        return Ear((on or self.backend).listen, queue)


class Ear:
    """Counts how often somebody who waits was told to look again."""

    def __init__(
        self, listen: Callable[[str, Callable[[], None]], Callable[[], None]], queue: str
    ) -> None:
        self.heard = 0
        self.stop = listen(queue, self._stir)

    def _stir(self) -> None:
        self.heard += 1
