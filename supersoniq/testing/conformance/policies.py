"""A queue's policy (contract, section 4): stored with the queue, the same for everybody."""

from __future__ import annotations

from typing import Any

from supersoniq.core import ops
from supersoniq.core.errors import InvalidPolicy
from supersoniq.core.policy import Backoff, Policy
from supersoniq.testing.conformance.suite import needs
from supersoniq.testing.conformance.trial import Trial, expect

CHANGES: dict[str, Any] = {
    "lease": 12.5,
    "max_deliveries": 3,
    "backoff": {"initial": 2, "factor": 3, "maximum": 100, "jitter": 0.5},
    "dedup_window": 17,
    "keep_done": 60,
    "keep_dead": 120,
    "max_length": 1000,
    "max_content": 5000,
    "on_expiry": "dead",
}
WANTED = Policy(
    lease=12.5,
    max_deliveries=3,
    backoff=Backoff(2, 3, 100, 0.5),
    dedup_window=17,
    keep_done=60,
    keep_dead=120,
    max_length=1000,
    max_content=5000,
    on_expiry="dead",
)


async def policy_defaults_are_the_contracts(t: Trial) -> None:
    """A queue made by a publish has them."""
    await t.put()
    policy = await t.do(ops.Describe("q"))
    expect(policy, Policy(), "policy of a queue that was only published to")
    expect((policy.lease, policy.max_deliveries), (30, 10), "lease, max_deliveries")
    expect((policy.dedup_window, policy.keep_done), (300, 0), "dedup_window, keep_done")
    expect((policy.keep_dead, policy.max_content), (14 * 86_400, 2**20), "keep_dead, max_content")
    expect((policy.max_length, policy.on_expiry), (None, "drop"), "max_length, on_expiry")


async def policy_changes_are_kept_field_by_field(t: Trial) -> None:
    """What is not named stays; all of it is given back."""
    for field, value in CHANGES.items():
        policy = await t.configure(**{field: value})
        expect(policy, await t.do(ops.Describe("q")), f"policy after changing {field}")
    expect(await t.do(ops.Describe("q")), WANTED, "policy after changing every field")
    expect(await t.configure(), WANTED, "policy after changing nothing")
    await t.configure(max_length=None)
    expect((await t.do(ops.Describe("q"))).max_length, None, "max_length taken back")


async def policy_makes_the_queue(t: Trial) -> None:
    """Configuring one that is not there makes it, empty."""
    await t.configure("made", lease=5)
    expect(await t.do(ops.Queues()), ["made"], "queues")
    await t.figures("of the new queue", "made", published=0, ready=0)


async def policy_that_is_refused_changes_nothing(t: Trial) -> None:
    """Not even its good fields."""
    await t.configure(**CHANGES)
    for bad in (
        {"lease": 0.09}, {"lease": 43_200.1}, {"lease": "30"}, {"max_deliveries": -1},
        {"max_deliveries": 1.5}, {"max_deliveries": True}, {"dedup_window": -1},
        {"keep_done": float("nan")}, {"keep_dead": None}, {"max_length": 0},
        {"max_content": 2**30 + 1}, {"max_content": 0}, {"on_expiry": "keep"},
        {"backoff": {"initial": -1}}, {"backoff": {"initial": 5, "maximum": 1}},
        {"backoff": {"more": 1}}, {"backoff": "1"}, {"unknown": 1},
    ):  # fmt: skip
        op = ops.Configure("q", {"max_deliveries": 7, **bad})
        await t.refused(InvalidPolicy, op, f"the policy {bad}")
        expect(await t.do(ops.Describe("q")), WANTED, f"policy after refusing {bad}")


async def policy_limits_are_taken_exactly(t: Trial) -> None:
    """The smallest and the largest of each."""
    for field, value in (
        ("lease", 0.1), ("lease", 43_200), ("max_deliveries", 0), ("max_deliveries", 1_000_000),
        ("dedup_window", 0), ("keep_done", 0), ("keep_dead", 0), ("max_length", 1),
        ("max_content", 1), ("max_content", 2**30),
    ):  # fmt: skip
        policy = await t.do(ops.Configure("q", {field: value}))
        expect(getattr(policy, field), value, field)


async def policy_belongs_to_its_queue(t: Trial) -> None:
    """And goes with it."""
    await t.configure(lease=5)
    await t.configure("other", lease=6)
    expect((await t.do(ops.Describe("q"))).lease, 5, "lease")
    await t.do(ops.Delete("q"))
    await t.put()
    expect(await t.do(ops.Describe("q")), Policy(), "policy of a queue made anew")
    expect((await t.do(ops.Describe("other"))).lease, 6, "lease of the other queue")


async def policy_changes_hold_for_what_comes(t: Trial) -> None:
    """What is already stored keeps the times it was given."""
    await t.configure(lease=10, keep_dead=100)
    await t.kill(b"dead")
    await t.put()
    lease = await t.one()
    await t.configure(lease=50, keep_dead=5)
    expect(lease.deadline, t.clock.now() + 10_000, "deadline of a lease given before")
    t.clock.advance(10)
    await t.figures("when the earlier lease is over", lapsed=1, dead=1, ready=1)
    expect((await t.one()).deadline, t.clock.now() + 50_000, "deadline of a lease given after")
    t.clock.advance(90)
    await t.figures("when the earlier retention is over", forgotten=1, dead=0)


@needs("lasting")
async def policy_is_stored_with_the_queue(t: Trial) -> None:
    """Opening again finds every field, also of a queue that never had a message."""
    await t.configure(**CHANGES)
    await t.put(b"x")
    await t.configure("empty", lease=1)
    await t.reopen()
    expect(await t.do(ops.Describe("q")), WANTED, "policy after opening again")
    expect((await t.do(ops.Describe("empty"))).lease, 1, "lease of the empty queue")
    expect((await t.one()).deadline, t.clock.now() + 12_500, "deadline after opening again")


@needs("shared")
async def policy_is_the_same_for_every_opener(t: Trial) -> None:
    """Also when it was changed after the other one began to use it."""
    other = await t.open()
    await t.put()
    await t.take(1, on=other)
    await t.configure(**CHANGES)
    expect(await t.do(ops.Describe("q"), other), WANTED, "policy as the other opener sees it")
    await t.put(b"x")
    lease = await t.one(on=other)
    expect(lease.deadline, t.clock.now() + 12_500, "deadline through the other opener")
