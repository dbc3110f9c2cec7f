"""Any backend against the machine, by a Hypothesis state machine.

``machine(MyHarness)`` gives a ``RuleBasedStateMachine``; run it as a test case, or with
``run_state_machine_as_test``::

    TestModel = machine(MyHarness).TestCase
    TestModel.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)

Hypothesis' rules are plain functions, so each state machine keeps an event loop of its own and
runs one operation at a time in it. What is compared, and how, is in ``twins``. Receipts are drawn
from all that were ever seen: in force, lapsed, settled, of the other queue, of a deleted one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supersoniq.core import ops
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Entry, EventKind, Message, prepare
from supersoniq.core.ops import Outcome
from supersoniq.core.states import Status
from supersoniq.testing import strategies
from supersoniq.testing.harness import HarnessFactory
from supersoniq.testing.twins import Handle, Pick, Twins

__all__ = ["BackendMachine", "machine"]

QUEUES = st.sampled_from(("a", "a", "b"))
PLACES = st.integers(0, 4) | st.integers(0, 400)
"""Which of the ids or leases seen so far; 0 is the newest."""
LIMITS = st.integers(1, 20)
_STRANGER = 0x7 << 76 | 0b10 << 62


class BackendMachine(RuleBasedStateMachine):
    """The rules. ``machine`` gives a subclass with a harness."""

    harness: ClassVar[HarnessFactory]

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self.twins = Twins(type(self).harness())
        self._run(self.twins.open())

    def _run(self, call: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(call)

    def _id(self, place: int) -> int:
        ids = self.twins.ids
        return ids[-1 - place % len(ids)] if ids else _STRANGER

    def _handle(self, place: int, queue: str) -> Handle:
        handles = self.twins.handles
        if not handles:
            return Handle(queue, "nothing yet", "nothing yet", 0)
        return handles[-1 - place % len(handles)]

    # What publishers and consumers do.

    @rule(queue=QUEUES, batch=st.lists(strategies.entries(), min_size=1, max_size=4))
    def publish(self, queue: str, batch: list[Entry]) -> None:
        self._run(self.twins.publish(queue, batch))

    @rule(priorities=st.lists(st.integers(-1, 1), min_size=1, max_size=4))
    def publish_plain(self, priorities: list[int]) -> None:
        """Nothing that could refuse or hide a message: so there is something to take."""
        self._run(self.twins.publish("a", [prepare(b"", priority) for priority in priorities]))

    @rule(
        queue=QUEUES,
        limit=st.integers(1, 5),
        recipient=strategies.recipients(),
        duration=strategies.lease_lengths(),
    )
    def take(self, queue: str, limit: int, recipient: str | None, duration: int | None) -> None:
        self._run(self.twins.take(queue, limit, recipient, duration))

    @rule(
        place=PLACES,
        by_text=st.booleans(),
        outcome=st.sampled_from(Outcome),
        delay=st.sampled_from((None, 0, 0, 1, 5_000)),
        reason=strategies.reasons(),
    )
    def settle(
        self, place: int, by_text: bool, outcome: Outcome, delay: int | None, reason: str | None
    ) -> None:
        handle = self._handle(place, "a")
        pick = Pick(handle, outcome, delay=delay, reason=reason, by_text=by_text)
        self._run(self.twins.settle(handle.queue, [pick]))

    @rule(place=PLACES, lengths=st.lists(strategies.lease_lengths(), min_size=1, max_size=3))
    def extend(self, place: int, lengths: list[int | None]) -> None:
        handle = self._handle(place, "a")
        picks = [Pick(handle, Outcome.EXTEND, duration=length) for length in lengths]
        self._run(self.twins.settle(handle.queue, picks))

    @rule(
        queue=QUEUES,
        places=st.lists(st.tuples(PLACES, st.sampled_from(Outcome)), max_size=4),
    )
    def settle_any_here(self, queue: str, places: list[tuple[int, Outcome]]) -> None:
        """Several at once, and also those of another queue."""
        picks = [Pick(self._handle(place, queue), outcome, delay=0) for place, outcome in places]
        self._run(self.twins.settle(queue, picks))

    # What time does.

    @rule(ms=st.sampled_from((0, 1, 100, 1_000, 30_000, 300_000)) | st.integers(0, 40_000))
    def advance(self, ms: int) -> None:
        self._run(self.twins.advance(ms))

    @rule(place=st.integers(0, 3), off=st.sampled_from((-1, 0, 0, 1)))
    def advance_to_what_comes_next(self, place: int, off: int) -> None:
        """To the very millisecond, or one beside it."""
        instants = self.twins.next_instants()
        if instants:
            self._run(self.twins.advance(max(instants[place % len(instants)] + off, 0)))

    # What operators do: one rule for all of it, so that it comes up no more often than publishing.

    @rule(queue=QUEUES, place=PLACES, data=st.data())
    def manage(self, queue: str, place: int, data: st.DataObject) -> None:
        id = self._id(place)
        status = st.none() | st.sampled_from(Status)
        op = data.draw(
            st.one_of(
                st.builds(ops.Look, st.just(queue), st.just(id)),
                st.builds(ops.Explain, st.just(queue), st.just(id)),
                st.builds(ops.Browse, st.just(queue), status, st.sampled_from((None, id)), LIMITS),
                st.builds(ops.Cancel, st.just(queue), st.just(id)),
                st.builds(
                    ops.Redrive, st.just(queue), st.sampled_from((None, [id])), st.none() | LIMITS
                ),
                st.builds(ops.Purge, st.just(queue), status, st.sampled_from((None, [id], [id]))),
                st.builds(ops.Configure, st.just(queue), strategies.policies()),
                st.builds(ops.Pause, st.just(queue), duration=st.sampled_from((None, 0, 1_000))),
                st.builds(ops.Resume, st.just(queue)),
                st.builds(ops.Delete, st.just(queue)),
                st.builds(ops.Describe, st.just(queue)),
                st.builds(ops.Queues),
            )
        )
        self._run(self.twins.simple(op))

    @rule(
        queue=QUEUES,
        source=QUEUES,
        foreign=st.lists(strategies.messages(), max_size=3),
        limit=st.integers(0, 3),
        policy=strategies.policies(),
        paused=st.sampled_from((None, None, 0, 100_000)),
        moved=st.booleans(),
    )
    def import_(
        self,
        queue: str,
        source: str,
        foreign: list[Message],
        limit: int,
        policy: dict[str, Any],
        paused: int | None,
        moved: bool,
    ) -> None:
        """From another store, and from a queue to the other and home again."""
        until = None if paused is None else self.twins.clock.now() + paused
        here = self.twins.seen(source, limit)
        messages = [*foreign, *here]
        self._run(
            self.twins.import_(
                queue, messages, policy=policy, paused=bool(paused), paused_until=until
            )
        )
        if moved:
            ids = [parse_id(message.id) for message in here]
            self._run(self.twins.simple(ops.Purge(source, ids=ids)))

    @rule()
    def resume(self) -> None:
        """A paused queue shows little, so this comes up often."""
        for queue in ("a", "b"):
            self._run(self.twins.simple(ops.Resume(queue)))

    @rule(queue=QUEUES, kinds=strategies.event_kinds())
    def begin_to_follow(self, queue: str, kinds: frozenset[EventKind]) -> None:
        self._run(self.twins.new_follower(queue, kinds))

    @precondition(lambda self: self.twins.followers)
    @rule(place=PLACES, limit=st.sampled_from((1, 3, 1000)))
    def follow(self, place: int, limit: int) -> None:
        followers = self.twins.followers
        self._run(self.twins.follow(followers[place % len(followers)], limit))

    @precondition(lambda self: self.twins.backend.capabilities.lasting)
    @rule(crash=st.booleans())
    def reopen(self, crash: bool) -> None:
        self._run(self.twins.reopen(crash=crash))

    # What always holds.

    @invariant()
    def figures_agree(self) -> None:
        """Equal, and conserved."""
        self._run(self.twins.compare_stats())

    @invariant()
    def the_machine_is_sound(self) -> None:
        """Its own structures agree with each other."""
        self.twins.check()

    def teardown(self) -> None:
        """Compare everything once more, drain, and remove the store."""
        try:
            self._run(self.twins.drain())
        finally:
            self._run(self.twins.close())
            self._loop.close()


def machine(harness: HarnessFactory) -> type[BackendMachine]:
    """The state machine for that backend."""
    return type("BackendMachineOfYours", (BackendMachine,), {"harness": staticmethod(harness)})
