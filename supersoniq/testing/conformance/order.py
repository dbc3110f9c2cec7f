"""Guarantee 4: order."""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect


async def g04_higher_priority_first_then_publish_order(t: Trial) -> None:
    """Over the whole range of priorities, in one take or in many."""
    priorities = [0, 5, -5, 32767, 0, -32768, 5, 32767, 1, -1, -32768, 0]
    for queue in ("one", "many"):
        for n, priority in enumerate(priorities):
            await t.put(b"%d" % n, priority=priority, queue=queue)
    wanted = [b"%d" % n for n in sorted(range(12), key=lambda n: (-priorities[n], n))]
    expect(await t.contents(queue="one"), wanted, "order in one take")
    many = [(await t.one(queue="many")).message().content for _ in priorities]
    expect(many, wanted, "order in many takes")


async def g04_a_batch_keeps_its_order(t: Trial) -> None:
    """Messages of one publish stand in the order in which they were given."""
    await t.publish(*(prepare(b"%d" % n, priority=n % 3) for n in range(60)))
    wanted = [b"%d" % n for n in sorted(range(60), key=lambda n: (-(n % 3), n))]
    got: list[bytes] = []
    for limit in (1, 7, 2, 50, 50):
        got += await t.contents(limit)
    expect(got, wanted, "order of a batch")


async def g04_contents_are_never_compared(t: Trial) -> None:
    """Neither bytes, nor types, nor length, nor anything else decides but priority and sequence."""
    contents = [b"z", b"a", "m", {"b": 1}, {"a": 1}, b"", [3], b"a", None, "zz", 1.5]
    for content in contents:
        await t.put(content)
    wanted = [prepare(content).content for content in contents]
    expect(await t.contents(), wanted, "order of contents")


async def g04_what_returns_has_its_old_place(t: Trial) -> None:
    """A nack, a release, a lapse and a redrive: before everything that was published later."""
    for n in range(6):
        await t.put(b"%d" % n)
    leases = await t.take(4, duration=5)
    await t.put(b"late")
    await t.settle(leases[3], Outcome.REJECT)
    await t.nack(leases[2])
    await t.settle(leases[0], Outcome.RELEASE)
    t.clock.advance(5)  # leases[1] lapses
    await t.do(ops.Redrive("q"))
    wanted = [b"0", b"1", b"2", b"3", b"4", b"5", b"late"]
    expect(await t.contents(), wanted, "order after four kinds of return")


async def g04_what_returns_keeps_its_priority(t: Trial) -> None:
    """A returned message is before lower priorities and behind higher ones."""
    await t.put(b"low")
    await t.put(b"mid", priority=1)
    await t.nack(await t.one())
    await t.put(b"high", priority=2)
    await t.put(b"mid2", priority=1)
    expect(await t.contents(), [b"high", b"mid", b"mid2", b"low"], "order by priority")


async def g04_what_comes_due_has_the_place_of_its_publish(t: Trial) -> None:
    """A delayed message stands where it was published, not where its delay ended."""
    await t.put(b"1", delay=10)
    await t.put(b"2", delay=5)
    await t.put(b"3")
    t.clock.advance(5)
    await t.put(b"4")
    expect(await t.contents(1), [b"2"], "the one that is due")
    t.clock.advance(5)
    expect(await t.contents(), [b"1", b"3", b"4"], "order of those left")


async def g04_order_holds_through_many_returns(t: Trial) -> None:
    """Takes and returns in a fixed disorder never change the order of what is ready."""
    await t.configure(max_deliveries=0)
    for n in range(50):
        await t.put(b"%02d" % n)
    for step in (7, 3, 11, 2, 13):
        leases = await t.take(step * 3)
        for lease in leases[::-2]:
            await t.nack(lease)
        for lease in leases[-2::-2]:
            await t.settle(lease, Outcome.RELEASE)
    expect(await t.contents(), [b"%02d" % n for n in range(50)], "order after many returns")


async def g04_gone_messages_leave_no_hole(t: Trial) -> None:
    """Cancelled and expired ones among the ready change nothing for the others."""
    numbers = [await t.put(b"%d" % n, ttl=10 if n % 3 == 0 else None) for n in range(200)]
    for n in range(1, 200, 3):
        await t.do(ops.Cancel("q", numbers[n]))
    t.clock.advance(10)
    wanted = [b"%d" % n for n in range(2, 200, 3)]
    await t.figures("after them", ready=len(wanted), expired=67, cancelled=67)
    expect(await t.contents(1000), wanted, "order of those left")


async def g04_ids_are_in_publish_order(t: Trial) -> None:
    """Ids of a queue sort as the messages were published, in a batch, in time and within one."""
    numbers: list[int] = []
    for _ in range(5):
        numbers += [one.number for one in await t.publish(*map(prepare, (b"a", b"b", b"c")))]
        t.clock.advance(ms=1)
    expect(numbers, sorted(set(numbers)), "ids in publish order")
    t.clock.set(t.clock.now() - 5000)  # clocks do that
    numbers.append(await t.put())
    expect(numbers, sorted(set(numbers)), "ids after the clock went back")


@needs("lasting")
async def g04_order_holds_after_opening_again(t: Trial) -> None:
    """Also for what had come back, and for what is published afterwards."""
    for n in range(8):
        await t.put(b"%d" % n, priority=n % 2)
    leases = await t.take(6)
    await t.nack(leases[5])
    await t.nack(leases[0])
    await t.reopen()
    await t.put(b"new", priority=1)
    if t.can.leases_stay:  # otherwise they were released when their opener was closed
        for lease in leases[1:5]:
            await t.settle(lease.receipt, Outcome.RELEASE)
    wanted = [b"1", b"3", b"5", b"7", b"new", b"0", b"2", b"4", b"6"]
    expect(await t.contents(), wanted, "order after opening again")
