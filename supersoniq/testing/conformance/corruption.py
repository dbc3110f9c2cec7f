"""Guarantee 11: corruption is never delivered and never cleaned up.

Stores whose bytes never leave the process have nothing to verify; the others let the suite flip a
bit (``Harness.corrupt``).
"""

from __future__ import annotations

from supersoniq.core import ops
from supersoniq.core.messages import DAMAGED, is_damaged, prepare
from supersoniq.core.states import Status
from supersoniq.core.tally import conserved
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect, that


async def g11_what_is_delivered_is_what_was_published(t: Trial) -> None:
    """To the byte, however often it is delivered, and whatever the publisher's buffer does then."""
    buffer = bytearray(b"first")
    await t.publish(prepare(buffer), prepare(memoryview(buffer)))
    buffer[:] = b"other"
    for _ in range(3):
        leases = await t.take(2)
        contents = [lease.message().content for lease in leases]
        expect(contents, [b"first", b"first"], "delivered contents")
        for lease in leases:
            await t.nack(lease)


@needs("medium")
async def g11_a_corrupt_message_is_set_aside(t: Trial) -> None:
    """It is dead with the reason ``corrupt`` and counted, and the rest goes on."""
    numbers = [one.number for one in await t.publish(*(prepare(b"%d" % n * 9) for n in range(5)))]
    await t.harness.corrupt("q", numbers[0])
    await t.harness.corrupt("q", numbers[3])
    got = await t.contents(10)
    got += await t.contents(10)  # a short page is fine, as long as what is good comes
    expect(sorted(got), [b"%d" % n * 9 for n in (1, 2, 4)], "deliveries")
    await t.figures("with two corrupt ones", dead=2, corrupt=2, ready=0, leased=3)
    that(conserved(await t.stats()), "corrupt messages are not conserved")
    dead = await t.browse(Status.DEAD)
    expect(
        [(one.id, one.reason) for one in dead],
        [((await t.look(numbers[n])).id, "corrupt") for n in (0, 3)],
        "what stands among the dead",
    )


@needs("medium")
async def g11_damage_is_seen_by_who_looks(t: Trial) -> None:
    """Before any consumer's turn at it, so that whoever copies messages can leave it out."""
    numbers = [one.number for one in await t.publish(*(prepare(b"%d" % n * 9) for n in range(3)))]
    await t.harness.corrupt("q", numbers[1])
    expect([is_damaged(one) for one in await t.browse()], [False, True, False], "seen in a page")
    seen = await t.look(numbers[1])
    expect((seen.status, seen.reason), (Status.READY, DAMAGED), "status, reason")
    await t.figures("after a look", ready=3, corrupt=0)


@needs("medium")
async def g11_a_waiter_behind_a_corrupt_message_gets_the_next(t: Trial) -> None:
    """A take of one does not come back empty-handed because the first one is damaged."""
    for n in range(4):
        await t.put(b"%d" % n)
    for message in (await t.browse())[:3]:
        await t.harness.corrupt("q", int(message.id.replace("-", ""), 16))
    got = await t.contents(1) or await t.contents(1) or await t.contents(1) or await t.contents(1)
    expect(got, [b"3"], "the first delivery")
    await t.figures("after it", corrupt=3, dead=3, leased=1)


@needs("medium")
async def g11_it_is_never_cleaned_up_unseen(t: Trial) -> None:
    """It can be looked up and stays as any dead one does; a redrive does not get it delivered."""
    number = await t.put(b"x" * 100)
    await t.harness.corrupt("q", number)
    expect(await t.contents(), [], "deliveries")
    seen = await t.look(number)
    expect((seen.status, seen.reason), (Status.DEAD, "corrupt"), "status, reason")
    t.clock.advance(14 * 86_400, ms=-1)
    await t.figures("in the last millisecond of its retention", dead=1)
    await t.do(ops.Redrive("q"))
    expect(await t.contents(), [], "deliveries after a redrive")
    await t.figures("after a redrive and a take", dead=1, corrupt=2, ready=0)


@needs("medium")
async def g11_damage_while_a_message_is_leased(t: Trial) -> None:
    """It is found when the message would be delivered again, and the ack of the good copy holds."""
    first, second = await t.put(b"first" * 9), await t.put(b"second" * 9)
    one, two = await t.take(2)
    await t.harness.corrupt("q", first)
    await t.harness.corrupt("q", second)
    await t.ack(one)
    await t.nack(two)
    expect(await t.contents(), [], "deliveries")
    await t.figures("after it", acked=1, dead=1, corrupt=1)


@needs("lasting")
async def g11_what_was_set_aside_stays_so(t: Trial) -> None:
    """After opening again it is still dead, and corrupt."""
    if not t.harness.medium:
        return
    number = await t.put(b"x" * 100)
    await t.harness.corrupt("q", number)
    await t.reopen()
    expect(await t.contents(), [], "deliveries of damage found after opening again")
    await t.reopen()
    expect((await t.look(number)).reason, "corrupt", "reason after opening again")
    await t.figures("after opening again", dead=1, corrupt=1)
