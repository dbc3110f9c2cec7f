"""What many processes did with one queue, and whether a queue could have done it.

A worker records each operation twice (``recorder``): before the call (``invoke``) and after it
(``ok`` or ``refused``). The lines go to a pipe whose other end is outside the processes under test,
never to the store itself. An operation with no second line has an unknown outcome: it may have
happened, at any later time, and excuses what follows from either (Jepsen's ``:info``). Forgetting
that makes a checker cry wolf: a message is missing because its ack was under way when the worker
was killed.

``check`` reads such lines, in any order, and gives a ``Finding`` for whatever no correct queue
could have done:

======================  ============================================================================
lost                    published, never finished by anybody, and not there when all was drained
duplicated              delivered again before its lease could have ended, or stored twice
resurrected             delivered after an ack of it had been answered
phantom                 delivered, though nobody tried to publish it, or it was refused
overlapping             two leases of a message in force at the same time
stale ack               a settlement answered as done with a receipt that was over
inversion               a lower priority delivered before a higher one, in one take
dedup                   a key stored twice within its window, or a duplicate of nothing
dead twice              dead, and acked or dead once more
attempts                a later delivery whose attempt is not greater
content                 delivered otherwise than published
======================  ============================================================================

**Time** is each worker's wall clock, in milliseconds, on one machine. ``slack`` is how much two
readings may disagree, and how late a store may be; what is within it is never held against it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

__all__ = ["Call", "Finding", "History", "check", "read"]

FOREVER = 1 << 60
SETTLING = ("ack", "nack", "release", "reject", "extend")


@dataclass
class Call:
    """One operation: from when it was made until when it was answered, if ever."""

    worker: str
    op: str
    begun: float
    asked: dict[str, Any]
    ended: float = FOREVER
    outcome: str = "unknown"
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass
class Delivery:
    """One lease that somebody was given."""

    id: str
    receipt: str
    content: str
    attempt: int
    priority: int
    deadline: float
    call: Call
    settled: list[Call] = field(default_factory=list)

    def holds_until(self) -> float:
        """When it ended at the earliest: its deadline, or the first try to end it."""
        until = self.deadline
        for call in self.settled:
            if call.op != "extend" and call.outcome != "refused":
                until = min(until, call.begun)
            elif call.op == "extend" and call.outcome == "unknown":
                until = min(until, call.begun)  # it may have been shortened
        return until

    def may_settle_until(self) -> float:
        """Until when a settlement can have been in time, at the latest."""
        if any(call.op == "extend" and call.outcome == "unknown" for call in self.settled):
            return FOREVER
        ends = [call.answer.get("deadline", 0) for call in self.settled if call.outcome == "ok"]
        return float(max([self.first_deadline, *ends]))

    def __post_init__(self) -> None:
        self.first_deadline = self.deadline


@dataclass(frozen=True)
class Finding:
    """Something that no correct queue does."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


def read(lines: Iterable[str]) -> list[Call]:
    """The calls of a history. A last line that a killed worker could not finish is left out."""
    calls: dict[tuple[str, int], Call] = {}
    answers: list[dict[str, Any]] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["phase"] in ("invoke", "final"):
            call = Call(entry["w"], entry["op"], entry["t"], entry)
            calls[entry["w"], entry["n"]] = call
            if entry["phase"] == "final":
                call.ended, call.outcome, call.answer = entry["t"], "ok", entry
        else:
            answers.append(entry)
    for entry in answers:
        call = calls[entry["w"], entry["n"]]
        call.ended, call.outcome, call.answer = entry["t"], entry["phase"], entry
    return sorted(calls.values(), key=lambda call: call.begun)


def check(
    lines: Iterable[str], *, slack: float = 50.0, dedup_window: float = 300_000.0
) -> list[Finding]:
    """Everything wrong with a history of one queue.

    Args:
        lines: what ``Recorder`` wrote, of all workers together.
        slack: milliseconds by which clocks may disagree and deadlines be missed.
        dedup_window: the queue's, in milliseconds.
    """
    history = History(read(lines), slack, dedup_window)
    findings: list[Finding] = []
    for look in CHECKS:
        findings += look(history)
    return findings


class History:
    """A history by message."""

    def __init__(self, calls: list[Call], slack: float, dedup_window: float) -> None:
        self.slack = slack
        self.dedup_window = dedup_window
        self.publishes = [call for call in calls if call.op == "publish"]
        self.takes = [call for call in calls if call.op == "take"]
        self.finals = [call for call in calls if call.op == "final"]
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        """By message, in the order in which their takes were answered."""
        self.settlements: dict[str, list[Call]] = defaultdict(list)
        """By message."""
        self.content: dict[str, str] = {}
        """By message, what it was published with."""
        by_receipt: dict[str, Delivery] = {}
        for call in self.takes:
            for lease in call.answer.get("leases", ()):
                delivery = Delivery(call=call, **lease)
                self.deliveries[delivery.id].append(delivery)
                by_receipt[delivery.receipt] = delivery
        for found in self.deliveries.values():
            # A take may have waited for longer than a later one, so not by when it was begun.
            found.sort(key=lambda delivery: delivery.call.ended)
        for call in calls:
            if call.op in SETTLING:
                self.settlements[call.asked["id"]].append(call)
                if call.asked["receipt"] in by_receipt:
                    by_receipt[call.asked["receipt"]].settled.append(call)
        for delivery in by_receipt.values():
            for call in delivery.settled:
                if call.op == "extend" and call.outcome == "ok":
                    delivery.deadline = call.answer["deadline"]
        for call in self.publishes:
            for entry, id in zip(call.asked["messages"], call.answer.get("ids", ()), strict=False):
                self.content.setdefault(id, entry["content"])

    def settled(self, id: str, *ops: str, outcomes: tuple[str, ...] = ("ok",)) -> list[Call]:
        """Settlements of a message of such kinds and outcomes."""
        return [c for c in self.settlements[id] if c.op in ops and c.outcome in outcomes]


# The checks.


def _lost(h: History) -> Iterator[Finding]:
    if not h.finals:
        return  # nobody drained, so nothing can be said to be missing
    there = {id for final in h.finals for id in (*final.asked["ready"], *final.asked["dead"])}
    for id in h.content:
        # A nack and a lapse can also be a message's end (the limit), but then it is among the dead.
        if id not in there and not h.settled(id, "ack", outcomes=("ok", "unknown")):
            yield Finding("lost", f"{id} was published, and neither acked nor there in the end")


def _duplicated(h: History) -> Iterator[Finding]:
    for call in h.takes:
        given = [lease["id"] for lease in call.answer.get("leases", ())]
        for id in sorted({id for id in given if given.count(id) > 1}):
            yield Finding("duplicated", f"{id} twice in one take")
    published: dict[str, set[str]] = defaultdict(set)
    for id, delivered in h.deliveries.items():
        published[delivered[0].content].add(id)
    for content, id in ((content, id) for id, content in h.content.items()):
        published[content].add(id)
    times: dict[str, int] = defaultdict(int)
    for call in h.publishes:
        for entry in call.asked["messages"]:
            times[entry["content"]] += 1
    for content, ids in published.items():
        if len(ids) > max(times[content], 1):
            yield Finding("duplicated", f"{content!r} stored as {sorted(ids)}")


def _resurrected(h: History) -> Iterator[Finding]:
    for id, deliveries in h.deliveries.items():
        acks = h.settled(id, "ack")
        if acks:
            ended = min(call.ended for call in acks)
            for delivery in deliveries:
                if delivery.call.begun > ended + h.slack:
                    yield Finding("resurrected", f"{id} delivered to {delivery.call.worker}")


def _phantom(h: History) -> Iterator[Finding]:
    tried: set[str] = set()
    refused: set[str] = set()
    for call in h.publishes:
        contents = {entry["content"] for entry in call.asked["messages"]}
        (refused if call.outcome == "refused" else tried).update(contents)
    for id, deliveries in h.deliveries.items():
        content = deliveries[0].content
        if id not in h.content and content not in tried:
            why = "its publish was refused" if content in refused else "nobody published it"
            yield Finding("phantom", f"{id} delivered, but {why}")


def _overlapping(h: History) -> Iterator[Finding]:
    for id, deliveries in h.deliveries.items():
        for first, second in pairwise(deliveries):
            if first.call is second.call:
                continue  # told as duplicated
            # Each is in force at the latest from when its take was answered.
            begun = max(first.call.ended, second.call.ended)
            if begun < min(first.holds_until(), second.holds_until()) - h.slack:
                workers = f"{first.call.worker} and {second.call.worker}"
                yield Finding("overlapping", f"{id} held by {workers}")


def _stale(h: History) -> Iterator[Finding]:
    for id, deliveries in h.deliveries.items():
        for delivery in deliveries:
            done = [call for call in delivery.settled if call.op != "extend"]
            for call in delivery.settled:
                if call.outcome != "ok":
                    continue
                if any(c is not call and c.op == call.op and c.begun < call.begun for c in done):
                    continue  # repeated: answered as the first time
                late = call.begun > delivery.may_settle_until() + h.slack
                # Certainly later: takes that were under way together have no order.
                later = [d for d in deliveries if d.call.begun > delivery.call.ended]
                after = any(d.call.ended < call.begun - h.slack for d in later)
                if late or after:
                    yield Finding("stale ack", f"{call.op} of {id} by {call.worker}")


def _inversion(h: History) -> Iterator[Finding]:
    for call in h.takes:
        priorities = [lease["priority"] for lease in call.answer.get("leases", ())]
        if priorities != sorted(priorities, reverse=True):
            yield Finding("inversion", f"a take by {call.worker} gave priorities {priorities}")


def _dedup(h: History) -> Iterator[Finding]:
    uses: dict[str, list[tuple[float, float, str, bool]]] = defaultdict(list)
    unknown: set[str] = set()
    for call in h.publishes:
        entries = call.asked["messages"]
        if call.outcome == "unknown":
            unknown.update(entry["key"] for entry in entries if entry.get("key"))
        ids, duplicates = call.answer.get("ids", ()), call.answer.get("duplicates", ())
        for entry, id, duplicate in zip(entries, ids, duplicates, strict=False):
            if entry.get("key"):
                uses[entry["key"]].append((call.begun, call.ended, id, duplicate))
    for key, all_uses in uses.items():
        stored = sorted(use for use in all_uses if not use[3])
        for (begun, _, one, _), (_, ended, other, _) in pairwise(stored):
            if ended - begun < h.dedup_window - h.slack and one != other:
                yield Finding("dedup", f"key {key!r} was stored as {one} and as {other}")
        known = {use[2] for use in stored}
        for use in all_uses:
            if use[3] and use[2] not in known and key not in unknown:
                yield Finding("dedup", f"key {key!r} was called a duplicate of {use[2]}")


def _dead_twice(h: History) -> Iterator[Finding]:
    dead = [id for final in h.finals for id in final.asked["dead"]]
    for id in sorted({id for id in dead if dead.count(id) > len(h.finals)}):
        yield Finding("dead twice", f"{id} is twice among the dead")
    for id in sorted(set(dead)):
        if h.settled(id, "ack"):
            yield Finding("dead twice", f"{id} was acked and is dead")
    for id in h.settlements:
        receipts = {call.asked["receipt"] for call in h.settled(id, "reject")}
        if len(receipts) > 1:
            yield Finding("dead twice", f"{id} was rejected {len(receipts)} times")


def _attempts(h: History) -> Iterator[Finding]:
    for id, deliveries in h.deliveries.items():
        if h.settled(id, "release", outcomes=("ok", "unknown")):
            continue  # a release takes its attempt back
        for first, second in pairwise(deliveries):
            if first.call.ended < second.call.begun and second.attempt <= first.attempt:
                told = f"{first.attempt}, then {second.attempt}"
                yield Finding("attempts", f"{id} was delivered as attempt {told}")


def _content(h: History) -> Iterator[Finding]:
    for id, deliveries in h.deliveries.items():
        wanted = h.content.get(id, deliveries[0].content)
        for delivery in deliveries:
            if delivery.content != wanted:
                yield Finding("content", f"{id}: {wanted!r} came as {delivery.content!r}")


CHECKS: tuple[Callable[[History], Iterator[Finding]], ...] = (
    _lost, _duplicated, _resurrected, _phantom, _overlapping, _stale, _inversion, _dedup,
    _dead_twice, _attempts, _content,
)  # fmt: skip
