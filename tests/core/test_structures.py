"""The line, the table and the timers against plain lists, with random moves."""

from __future__ import annotations

import random
from heapq import nsmallest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supersoniq.core import ops
from supersoniq.core.ids import Seal
from supersoniq.core.machine import Machine
from supersoniq.core.messages import Details, Lease, Record, prepare
from supersoniq.core.ready import Line
from supersoniq.core.states import Status
from supersoniq.core.table import Table
from supersoniq.core.timers import NEVER, Alarm, LeaseClock

SEAL = Seal(bytes(32), 1)
PLAIN = Details("x/y")


def record(sequence: int, priority: int = 0) -> Record:
    return Record(sequence, b"", PLAIN, priority, 0, 0, Status.READY)


def order(one: Record) -> tuple[int, int]:
    return -one.priority, one.sequence


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=120))
def test_a_line_is_a_sorted_list(moves: list[tuple[int, int]]) -> None:
    line = Line()
    ready: list[Record] = []
    out: list[Record] = []
    sequence = 0
    for what, n in moves:
        if what == 0:
            sequence += 1
            line.append(record(sequence, n % 3))
            ready.append(record(sequence, n % 3))
        elif what == 1:
            fresh = [record(sequence + 1 + k, (n + k) % 3) for k in range(n)]
            sequence += n
            line.extend(fresh)
            ready += fresh
        elif what == 2:
            popped = line.pop_many(n)
            wanted = nsmallest(n, ready, key=order)
            assert [order(one) for one in popped] == [order(one) for one in wanted]
            for one in popped:
                ready.remove(next(r for r in ready if r.sequence == one.sequence))
                one.status = Status.LEASED
                out.append(one)
        elif what == 3 and out:
            one = out.pop(n % len(out))
            one.status = Status.READY
            line.put_back(one)
            ready.append(one)
        elif what == 4 and (head := line.head()) is not None:
            head.status = Status.DEAD  # expired: it leaves, and may come back
            line.left(head)
            ready.remove(next(r for r in ready if r.sequence == head.sequence))
            out.append(head)
        elif what == 5:
            one_out = line.pop()
            assert (one_out is None) is (not ready)
            if one_out is not None:
                assert order(one_out) == min(map(order, ready))
                ready.remove(next(r for r in ready if r.sequence == one_out.sequence))
        line._check()
        assert len(line) == len(ready)
    ahead = [line.ahead_of(one.priority, one.sequence) for one in sorted(ready, key=order)]
    assert ahead == list(range(len(ready)))


def test_a_line_sweeps_out_what_left_it() -> None:
    line = Line()
    records = [record(n) for n in range(1, 2001)]
    line.extend(records)
    for one in records[500:]:
        one.status = Status.DEAD
        line.left(one)
        line._check()
    kept = sum(len(rank.fresh) for rank in line._ranks.values())
    assert kept < 1200
    assert [one.sequence for one in line.pop_many(5000)] == list(range(1, 501))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 700)), max_size=25), st.integers(0, 3000))
def test_a_table_is_a_dict(moves: list[tuple[bool, int]], after: int) -> None:
    table, plain, sequence = Table(), dict[int, Record](), 0
    rng = random.Random(after)
    for add, n in moves:
        if add:
            fresh = [record(sequence + 1 + k) for k in range(n)]
            sequence += n
            table.extend(fresh)
            plain.update({one.sequence: one for one in fresh})
        else:
            for gone in rng.sample(sorted(plain), min(n, len(plain))):
                table.remove(gone)
                del plain[gone]
        table._check()
    assert len(table) == len(plain)
    wanted = [n for n in sorted(plain) if n > after]
    assert [one.sequence for one in table.after(after)] == wanted
    for n in (0, 1, sequence, sequence + 1, sequence + 5000):
        assert table.get(n) is plain.get(n)


def test_a_table_keeps_no_empty_pages() -> None:
    # One message at a time: each page empties while it is the last one.
    table = Table()
    for n in range(1, 5001):
        table.extend([record(n)])
        table.remove(n)
        table._check()
    assert len(table._pages) == 1


class Leases:
    """A lease clock, and a plain dict of what should be in it."""

    def __init__(self) -> None:
        self.clock = LeaseClock()
        self.now = 0
        self.records: list[Record] = []

    def lease(self, length: int) -> Record:
        one = record(len(self.records) + 1)
        one.status, one.leases, one.until = Status.LEASED, 1, self.now + length
        self.records.append(one)
        self.enter(one, length)
        return one

    def enter(self, one: Record, length: int) -> None:
        self.clock.extend(length, [Lease("q", one, SEAL, one.leases, 1, one.until)])

    def extend(self, one: Record, length: int) -> None:
        if one.until != self.now + length:
            one.until = self.now + length
            self.enter(one, length)
            self.clock.ended()

    def held(self) -> list[Record]:
        return [one for one in self.records if one.status is Status.LEASED]

    def compare(self) -> None:
        held = self.held()
        over = sorted((r.until, r.sequence) for r in held if r.until <= self.now)
        lapsed = self.clock.lapsed(self.now)
        assert [(one.deadline, one.record.sequence) for one in lapsed] == over
        for one in lapsed:
            one.record.status = Status.READY
        assert self.clock.next() == min((one.until for one in self.held()), default=NEVER)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lease", "lease", "end", "extend", "extend", "tick"]),
            st.integers(0, 40),
            st.sampled_from([10, 20, 30, 1]) | st.integers(1, 60),
        ),
        max_size=80,
    )
)
def test_a_lease_clock_is_a_dict_of_deadlines(moves: list[tuple[str, int, int]]) -> None:
    leases = Leases()
    for what, place, length in moves:
        held = leases.held()
        if what == "lease":
            leases.lease(length)
        elif what == "end" and held:
            held[place % len(held)].status = Status.DONE
            leases.clock.ended()
        elif what == "extend" and held:
            leases.extend(held[place % len(held)], length)
        elif what == "tick":
            leases.now += place % 15
            leases.compare()
    leases.now += 100
    leases.compare()
    assert not leases.held()


def test_a_lease_extended_to_its_old_deadline_lapses_once() -> None:
    leases = Leases()
    leases.lease(30)
    one = leases.lease(30)
    leases.extend(one, 10)
    leases.extend(one, 30)
    leases.now = 30
    assert [lease.record.sequence for lease in leases.clock.lapsed(30)] == [1, 2]


def test_a_lease_clock_forgets_lengths_nobody_uses() -> None:
    leases = Leases()
    for length in range(1, 1000):
        one = leases.lease(1000 + length)
        one.status = Status.DONE
        leases.clock.ended()
    assert len(leases.clock._lanes) < 50
    for length in range(1, 1000):
        leases.lease(1000 + length)
        leases.now += 10_000
        leases.compare()
    assert len(leases.clock._lanes) < 50


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=80))
def test_an_alarm_is_a_dict_of_instants(moves: list[tuple[int, int]]) -> None:
    records = [record(n) for n in range(10)]
    alarm = Alarm(lambda one, at: one.available_at == at)
    now = 0
    for which, wait in moves:
        one = records[which]
        one.available_at = now + wait
        alarm.set(one.available_at, one)
        if wait % 3 == 0:
            alarm.set(one.available_at, one)  # once more, as a record that came and went
        waiting = [r for r in records if r.available_at > 0]
        assert alarm.next() == min(r.available_at for r in waiting)
        if wait % 4 == 0:
            now += wait
            due = sorted((r.available_at, r.sequence) for r in waiting if r.available_at <= now)
            assert [(r.available_at, r.sequence) for r in alarm.rung(now)] == due
            for r in records:
                r.available_at = 0 if 0 < r.available_at <= now else r.available_at
    assert len(alarm._heap) < 300


def test_a_broken_structure_is_found() -> None:
    line = Line()
    line.append(record(1))
    line.length = 5
    with pytest.raises(AssertionError):
        line._check()
    table = Table()
    table.extend([record(1)])
    table._tail.left = 2
    with pytest.raises(AssertionError):
        table._check()


def test_recipients_come_and_go_and_leave_nothing() -> None:
    machine = Machine(b"s" * 32)
    for number in range(300):
        name = f"r{number}"
        entries = [prepare(b"x", recipient=name), prepare(b"y", recipient=name, ttl=1)]
        machine.apply(ops.Publish("q", entries), number)
        if number % 2:
            machine.apply(ops.Take("q", 5, name), number)
    machine.apply(ops.Purge("q"), 10_000)
    queue = machine.queues["q"]
    queue._check()
    assert not queue._addressed
