"""The event log: offsets grow, and no gap goes untold."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supersoniq.core import log as module
from supersoniq.core.log import CAPACITY, LINGER, EventLog, first_offset, missed, weight
from supersoniq.core.messages import EventKind, Message
from supersoniq.core.states import Status

NOW = 1_800_000_000_000
MESSAGE = Message(
    id="", queue="q", content=b"", content_type="", headers={}, sender=None, recipient=None,
    priority=0, key=None, created_at=0, available_at=0, expires_at=None, status=Status.READY,
    deliveries=0, reason=None,
)  # fmt: skip
PUBLISHED = frozenset({EventKind.PUBLISHED})
ACKED = frozenset({EventKind.ACKED})


def test_a_log_made_later_begins_above() -> None:
    assert first_offset(NOW + 1) - first_offset(NOW) == 2**10
    log = EventLog(NOW)
    _, offset = log.follow(None, PUBLISHED, 10, NOW)
    assert offset >= first_offset(NOW)


def test_nothing_is_recorded_that_nobody_follows() -> None:
    log = EventLog(NOW)
    assert not log.active
    log.follow(None, PUBLISHED, 10, NOW)
    assert log.active
    assert log.records(EventKind.PUBLISHED, NOW + LINGER - 1)
    assert not log.records(EventKind.PUBLISHED, NOW + LINGER)
    assert not log.records(EventKind.ACKED, NOW)
    log.idle(NOW + LINGER - 1)
    assert log.active
    log.idle(NOW + LINGER)
    assert not log.active


def test_what_missed_means() -> None:
    # since, oldest kept, newest given out, recorded from
    assert not missed(10, 11, 20, 5)
    assert not missed(20, 11, 20, 5)
    assert missed(9, 11, 20, 5)
    assert missed(21, 11, 20, 5)
    assert missed(15, 11, 20, 16)


def test_falling_behind_is_told_once() -> None:
    log = EventLog(NOW)
    _, offset = log.follow(None, PUBLISHED, 10, NOW)
    for _ in range(CAPACITY):
        log.add(EventKind.PUBLISHED, NOW, MESSAGE)
    events, _ = log.follow(offset, PUBLISHED, 20_000, NOW)
    assert len(events) == CAPACITY
    assert events[0].kind is EventKind.PUBLISHED  # just not too late
    log.add(EventKind.PUBLISHED, NOW, MESSAGE)
    events, onwards = log.follow(offset, PUBLISHED, 20_000, NOW)
    assert events[0].kind is EventKind.GAP
    assert len(events) == CAPACITY + 1
    assert log.follow(onwards, PUBLISHED, 10, NOW) == ([], onwards)


def test_pages_after_a_gap_go_on() -> None:
    log = EventLog(NOW)
    log.follow(None, PUBLISHED, 10, NOW)
    for _ in range(CAPACITY + 5):
        log.add(EventKind.PUBLISHED, NOW, MESSAGE)
    offset, seen, gaps = 0, 0, 0
    for _ in range(CAPACITY):
        events, offset = log.follow(offset, PUBLISHED, 1000, NOW)
        if not events:
            break
        gaps += sum(event.kind is EventKind.GAP for event in events)
        seen += sum(event.kind is not EventKind.GAP for event in events)
    assert (gaps, seen) == (1, CAPACITY)


def sized(size: int) -> Message:
    return msgspec.structs.replace(MESSAGE, content=b"x" * size)


def test_what_counts_is_content_and_headers() -> None:
    assert weight(sized(7)) == 7
    assert weight(msgspec.structs.replace(sized(7), headers={"ab": "cde"})) == 12
    assert weight(None) == 0


def test_large_contents_are_kept_as_far_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY_BYTES", 1000)
    log = EventLog(NOW)
    _, offset = log.follow(None, PUBLISHED, 10, NOW)
    for _ in range(4):
        log.add(EventKind.PUBLISHED, NOW, sized(250))
    events, _ = log.follow(offset, PUBLISHED, 100, NOW)
    assert [event.kind for event in events] == [EventKind.PUBLISHED] * 4
    log.add(EventKind.PUBLISHED, NOW, sized(1))
    events, _ = log.follow(offset, PUBLISHED, 100, NOW)
    assert [event.kind for event in events] == [EventKind.GAP] + [EventKind.PUBLISHED] * 4
    # Whoever had seen what is gone has missed nothing.
    events, _ = log.follow(offset + 1, PUBLISHED, 100, NOW)
    assert [event.kind for event in events] == [EventKind.PUBLISHED] * 4


def test_the_newest_event_is_kept_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CAPACITY_BYTES", 1000)
    log = EventLog(NOW)
    _, offset = log.follow(None, PUBLISHED, 10, NOW)
    log.add(EventKind.PUBLISHED, NOW, sized(5000))
    events, _ = log.follow(offset, PUBLISHED, 100, NOW)
    assert [event.kind for event in events] == [EventKind.PUBLISHED]
    log.add(EventKind.PUBLISHED, NOW, sized(1))
    events, _ = log.follow(offset, PUBLISHED, 100, NOW)
    assert [event.kind for event in events] == [EventKind.GAP, EventKind.PUBLISHED]


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 8), st.integers(0, 100))
def test_what_is_kept_is_the_longest_end_within_the_bounds(
    sizes: list[int], count: int, size: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CAPACITY", count)
        patch.setattr(module, "CAPACITY_BYTES", size)
        log = EventLog(NOW)
        _, offset = log.follow(None, PUBLISHED, 10, NOW)
        for each in sizes:
            log.add(EventKind.PUBLISHED, NOW, sized(each))
        longest = 0
        for n in range(1, min(count, len(sizes)) + 1):
            if n == 1 or sum(sizes[-n:]) <= size:
                longest = n
        events, _ = log.follow(offset, PUBLISHED, 100, NOW)
        told = [len(e.message.content) for e in events if e.message is not None]
        assert told == (sizes[-longest:] if longest else [])
        assert (len(events) > len(told)) is (len(sizes) > longest)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "follow", "wait", "other"]), st.integers(1, 400)),
        max_size=60,
    )
)
def test_a_follower_gets_everything_or_a_gap(moves: list[tuple[str, int]]) -> None:
    log, now, since = EventLog(NOW), NOW, 0
    _, since = log.follow(None, PUBLISHED, 10, now)
    missing: list[int] = []  # published and not yet told
    unrecorded = False
    for what, n in moves:
        if what == "add":
            if log.records(EventKind.PUBLISHED, now):
                log.add(EventKind.PUBLISHED, now, MESSAGE)
                missing.append(log.offset)
            else:
                unrecorded = True
            if log.records(EventKind.ACKED, now):
                log.add(EventKind.ACKED, now, MESSAGE)
        elif what == "follow":
            events, onwards = log.follow(since, PUBLISHED, n, now)
            assert onwards >= since
            told = [event.offset for event in events if event.kind is not EventKind.GAP]
            gap = len(told) != len(events)
            assert told == missing[: len(told)]
            assert gap or not unrecorded
            if len(told) < n - gap:
                assert told == missing
            missing = missing[len(told) :]
            unrecorded = unrecorded and onwards < log.offset and not gap
            since = onwards
        elif what == "wait":
            now += n * 2_000
        else:
            log.follow(None, ACKED, 10, now)
