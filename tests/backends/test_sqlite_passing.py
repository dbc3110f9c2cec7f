"""A storm of lapses: in slices, between which others get the lock, and never seen half done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supersoniq.backends.sqlite import passing
from supersoniq.backends.sqlite.lock import WriteLock
from supersoniq.backends.sqlite.store import Store
from supersoniq.core import ops
from supersoniq.core.messages import EventKind, prepare
from supersoniq.core.ops import Outcome, Settlement
from supersoniq.testing import ManualClock

MANY, SLICE = 300, 25


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "SLICE", SLICE)


class Storm:
    """A store in which many leases are over, and what happens between two transactions."""

    def __init__(self, path: Path, *, watched: bool = False) -> None:
        self.path = path
        self.clock = ManualClock()
        self.store = self.another()
        self.do(ops.Configure("q", {"max_deliveries": 0}))
        self.do(ops.Publish("q", [prepare(b"%d" % n, n % 3) for n in range(MANY)]))
        self.since = self.do(ops.Follow("q", None, frozenset({EventKind.LAPSED}))).offset
        if not watched:
            self.clock.advance(ms=400_000)
        self.taken = self.do(ops.Take("q", MANY, duration=1000)).leases
        assert len(self.taken) == MANY
        self.clock.advance(1)

    def another(self) -> Store:
        made = Store(str(self.path), self.clock, "normal", 1.0, 0)
        made.open()
        return made

    def do(self, op: ops.AnyOp, store: Store | None = None) -> Any:
        [answer], _ = (store or self.store).run([op])
        return answer

    def between(self, call: Callable[[], object]) -> list[int]:
        """Have something happen after each slice; gives how many rows each slice has changed."""
        lock, connection = self.store._lock, self.store._connection
        assert lock is not None
        assert connection is not None
        changes = [connection.total_changes]
        rows: list[int] = []

        def step_aside() -> None:
            rows.append(connection.total_changes - changes[-1])
            changes.append(connection.total_changes)
            call()

        self.lock, lock.step_aside = lock, step_aside  # type: ignore[method-assign]
        return rows


@pytest.mark.parametrize("watched", [False, True])
def test_each_transaction_is_bounded_and_others_write_in_between(
    watched: bool, tmp_path: Path
) -> None:
    storm = Storm(tmp_path / "q.db", watched=watched)
    other = storm.another()
    mine = WriteLock(f"{storm.path}-lock")

    def others_write() -> None:
        mine.acquire(0)  # without any patience
        mine.release()
        storm.do(ops.Publish("other", [prepare("hi")]), other)

    rows = storm.between(others_write)
    figures = storm.do(ops.Stats("q"))
    assert len(rows) == MANY // SLICE
    # A lapse is a row less and a row more; an event is another. And the queue's own row.
    assert max(rows) <= SLICE * (3 if watched else 2) + 1
    assert (figures.lapsed, figures.ready, figures.leased) == (MANY, MANY, 0)
    assert storm.do(ops.Stats("other")).published == len(rows)
    events = storm.do(ops.Follow("q", storm.since, frozenset({EventKind.LAPSED}), MANY)).events
    if watched:
        [seen] = {event.kind for event in events}
        assert (seen, len(events)) == (EventKind.LAPSED, MANY)
    again = [lease.record.content for lease in storm.do(ops.Take("q", MANY)).leases]
    assert again == [lease.record.content for lease in storm.taken]
    for store in (storm.store, other):
        store.close()
    mine.close()


def test_who_comes_meanwhile_does_not_see_half_of_it(tmp_path: Path) -> None:
    storm = Storm(tmp_path / "q.db")
    other = storm.another()
    answers: list[Any] = []

    def come() -> None:
        if not answers:
            # The last one has not been moved yet. To settle it would be the easiest to get wrong.
            receipt = storm.taken[-1].receipt
            answers.append(storm.do(ops.Settle("q", [Settlement(receipt, Outcome.ACK)]), other))
            answers.append(storm.do(ops.Take("q", 1), other))
            answers.append(storm.do(ops.Stats("q"), other))

    storm.between(come)
    storm.do(ops.Describe("q"))
    [[verdict], taken, figures] = answers
    assert type(verdict).__name__ == "LeaseLost"
    assert taken.leases[0].record.sequence == storm.taken[0].record.sequence
    assert (figures.lapsed, figures.ready, figures.leased) == (MANY, MANY - 1, 1)
    assert storm.do(ops.Stats("q")) == figures
    for store in (storm.store, other):
        store.close()


def test_who_dies_in_the_middle_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    storm = Storm(tmp_path / "q.db")

    def die() -> None:
        if len(rows) == 3:
            raise KeyboardInterrupt

    rows = storm.between(die)
    with pytest.raises(KeyboardInterrupt):
        storm.do(ops.Stats("q"))
    storm.store.close()
    storm.store = storm.another()
    assert len(storm.between(lambda: None)) == 0
    figures = storm.do(ops.Stats("q"))
    assert (figures.lapsed, figures.ready, figures.leased) == (MANY, MANY, 0)
    storm.store.close()


def test_waiters_hear_of_what_lapsed_before_the_batch_failed(tmp_path: Path) -> None:
    """A slice is committed, whatever becomes of the batch that came with it."""
    storm = Storm(tmp_path / "q.db")
    store = storm.store

    def fail() -> None:
        raise RuntimeError

    storm.between(fail)
    with pytest.raises(RuntimeError):
        store.run([ops.Stats("q")])
    storm.between(lambda: None)
    _, stirred = store.run([ops.Queues()])
    assert set(stirred) == {"q"}
    store.close()


def test_dues_expiries_and_the_forgotten_come_in_slices_too(tmp_path: Path) -> None:
    storm = Storm(tmp_path / "q.db")
    storm.do(ops.Settle("q", [Settlement(each, Outcome.ACK) for each in storm.taken]))
    storm.do(ops.Purge("q"))
    storm.do(ops.Configure("q", {"on_expiry": "dead", "keep_dead": 2}))
    storm.do(ops.Publish("q", [prepare(b"", delay=1, ttl=2) for _ in range(MANY)]))
    for status in ("ready", "dead", None):
        storm.clock.advance(1 if status else 2)
        rows = storm.between(lambda: None)
        figures = storm.do(ops.Stats("q"))
        assert len(rows) == MANY // SLICE
        assert max(rows) <= SLICE * 3 + 1
        assert figures.scheduled == 0
        assert (figures.ready, figures.dead) == (
            MANY if status == "ready" else 0,
            MANY if status == "dead" else 0,
        )
    assert figures.forgotten == MANY
    storm.store.close()
