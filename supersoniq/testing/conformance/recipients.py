"""Recipients (contract, section 1): who gets an addressed message, and who does not."""

from __future__ import annotations

from supersoniq.core.messages import prepare
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect


async def recipient_gets_its_own_and_the_unaddressed(t: Trial) -> None:
    """Together, by priority and publish order; nobody else gets its own."""
    await t.publish(
        prepare(b"1"),
        prepare(b"2 ann", recipient="ann"),
        prepare(b"3 bob", recipient="bob"),
        prepare(b"4"),
        prepare(b"5 ann high", recipient="ann", priority=1),
        prepare(b"6 high", priority=1),
        prepare(b"7 ann", recipient="ann"),
    )
    got = await t.contents(recipient="ann")
    expect(got, [b"5 ann high", b"6 high", b"1", b"2 ann", b"4", b"7 ann"], "what ann gets")
    expect(await t.contents(), [], "what a consumer without a name gets")
    expect(await t.contents(recipient="carl"), [], "what carl gets")
    expect(await t.contents(recipient="bob"), [b"3 bob"], "what bob gets")


async def recipient_less_consumers_get_the_unaddressed_only(t: Trial) -> None:
    """However many addressed ones stand before them."""
    for n in range(30):
        await t.put(b"addressed", recipient=f"r{n % 3}", priority=5)
    await t.put(b"for all")
    expect(await t.contents(), [b"for all"], "what a consumer without a name gets")
    await t.figures("after it", ready=30, leased=1)


async def recipient_names_are_exact(t: Trial) -> None:
    """No case folding, prefixes, patterns or normal forms."""
    await t.put(b"x", recipient="Ann")
    for name in ("ann", "Ann ", "An", "Anna", "*", "%", "A_n", "\u0391nn"):
        expect(await t.contents(recipient=name), [], f"what {name!r} gets")
    expect(await t.contents(recipient="Ann"), [b"x"], "what Ann gets")


async def recipient_is_kept_through_returns(t: Trial) -> None:
    """A message that came due, was nacked or lapsed is still the recipient's alone."""
    await t.put(b"x", recipient="ann", delay=5)
    t.clock.advance(5)
    await t.nack(await t.one(recipient="ann"))
    expect(await t.contents(), [], "what others get after a nack")
    await t.one(recipient="ann", duration=1)
    t.clock.advance(1)
    expect(await t.contents(), [], "what others get after a lapse")
    expect(await t.contents(recipient="bob"), [], "what bob gets after a lapse")
    expect(await t.contents(recipient="ann"), [b"x"], "what ann gets after a lapse")


async def recipient_order_holds_through_returns(t: Trial) -> None:
    """A returned message of either kind is merged at its old place."""
    for n in range(8):
        await t.put(b"%d" % n, recipient=("ann", None)[n % 2])
    leases = await t.take(6, recipient="ann")
    for n in (4, 1, 0, 3):
        await t.nack(leases[n])
    wanted = [b"0", b"1", b"3", b"4", b"6", b"7"]
    expect(await t.contents(recipient="ann"), wanted, "what ann gets")


async def recipient_messages_of_nobody_wait_and_expire(t: Trial) -> None:
    """They harm nobody, are counted, and end at their ``ttl``."""
    for n in range(5):
        await t.put(b"%d" % n, recipient=f"gone{n}", ttl=10)
    await t.put(b"x")
    await t.ack(await t.one())
    await t.figures("while they wait", ready=5, acked=1)
    t.clock.advance(10)
    await t.figures("when they expired", ready=0, expired=5)


@needs("lasting")
async def recipient_is_kept_after_opening_again(t: Trial) -> None:
    """With its place among the others."""
    await t.publish(prepare(b"1", recipient="ann"), prepare(b"2"), prepare(b"3", recipient="bob"))
    await t.reopen()
    expect(await t.contents(recipient="ann"), [b"1", b"2"], "what ann gets")
    expect(await t.contents(recipient="bob"), [b"3"], "what bob gets")
