"""The history checker: a sound history has no findings, and each planted bug has its own."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from supersoniq.testing.history import check, read
from supersoniq.testing.recorder import Recorder


class Story:
    """A history told with instants of one's own."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.made = 0

    def line(self, t: float, n: int, phase: str, **fields: Any) -> None:
        self.lines.append(json.dumps({"t": t, "w": "w", "n": n, "phase": phase, **fields}))

    def call(
        self, op: str, begun: float, ended: float | None, answer: Any = None, **asked: Any
    ) -> None:
        self.made += 1
        self.line(begun, self.made, "invoke", op=op, **asked)
        if ended is not None:
            refused = answer == "refused"
            fields = {} if refused or answer is None else answer
            self.line(ended, self.made, "refused" if refused else "ok", **fields)

    def publish(self, t: float, id: str | None, content: str = "", **options: Any) -> None:
        duplicate = options.pop("duplicate", False)
        answer = "refused" if options.pop("refused", False) else None
        entry = {"content": content or f"content of {id}", **options}
        if answer is None and id is not None:
            answer = {"ids": [id], "duplicates": [duplicate]}  # type: ignore[assignment]
        ended = t + 1 if answer is not None else None
        self.call("publish", t, ended, answer, messages=[entry])

    def take(self, t: float, *leases: dict[str, Any]) -> None:
        self.call("take", t, t + 1, {"leases": list(leases)})

    def settle(
        self, op: str, t: float, receipt: str, answer: Any = None, done: bool = True
    ) -> None:
        self.call(op, t, t + 1 if done else None, answer, id=receipt[0], receipt=receipt)

    def final(self, t: float, ready: str = "", dead: str = "") -> None:
        self.made += 1
        self.line(t, self.made, "final", op="final", ready=list(ready), dead=list(dead))

    def kinds(self) -> list[str]:
        return [finding.kind for finding in check(self.lines, slack=50)]


def lease(receipt: str, deadline: float, **other: Any) -> dict[str, Any]:
    """``a2`` is the second lease of message a."""
    fields = {"id": receipt[0], "receipt": receipt, "content": f"content of {receipt[0]}"}
    return {**fields, "deadline": deadline, "attempt": int(receipt[1]), "priority": 0, **other}


@pytest.fixture
def story() -> Story:
    made = Story()
    made.publish(0, "a")
    made.publish(0, "b")
    return made


def test_a_sound_history(story: Story) -> None:
    story.publish(5, "k", key="k")
    story.publish(9, "k", "content of k", key="k", duplicate=True)
    story.publish(10, "r", refused=True)
    story.take(100, lease("a1", 1000), lease("b1", 1000))
    story.settle("ack", 200, "a1")
    story.settle("ack", 300, "a1")  # repeated
    story.settle("nack", 200, "b1")
    story.take(300, lease("b2", 500))
    story.take(500, lease("b3", 1000))  # lapsed
    story.settle("ack", 520, "b2", "refused")
    story.settle("extend", 600, "b3", {"deadline": 5000})
    story.settle("release", 4000, "b3")
    story.take(4010, lease("b4", 9000, attempt=3))
    story.settle("reject", 4020, "b4")
    story.take(4030, lease("k1", 9000))
    story.settle("ack", 4040, "k1", done=False)  # killed: it may have been done
    story.final(9000, dead="b")
    assert story.kinds() == []


def test_an_unknown_ack_excuses_both_ways(story: Story) -> None:
    story.take(100, lease("a1", 1000), lease("b1", 1000))
    story.settle("ack", 200, "a1", done=False)
    story.settle("ack", 200, "b1", done=False)
    story.take(2000, lease("a2", 3000))
    story.settle("ack", 2001, "a2")
    story.final(9000)
    assert story.kinds() == []


def test_an_unknown_publish_may_come_out_or_not(story: Story) -> None:
    story.publish(5, None, "content of c")
    story.publish(5, None, "content of d", key="key")
    story.publish(9, "d", "content of d", key="key", duplicate=True)
    story.take(100, lease("a1", 1000), lease("b1", 1000), lease("c1", 1000), lease("d1", 1000))
    for receipt in ("a1", "b1", "c1", "d1"):
        story.settle("ack", 200, receipt)
    story.final(9000)
    assert story.kinds() == []


def test_lost(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("ack", 200, "a1")
    story.final(9000)
    assert story.kinds() == ["lost"]


def test_nothing_is_lost_that_was_never_drained(story: Story) -> None:
    assert story.kinds() == []


def test_duplicated_in_one_take(story: Story) -> None:
    story.take(100, lease("a1", 1000), lease("a2", 1000))
    assert story.kinds() == ["duplicated"]


def test_duplicated_in_the_store(story: Story) -> None:
    story.take(100, lease("a1", 1000), lease("c1", 1000, content="content of a"))
    assert "duplicated" in story.kinds()


def test_resurrected(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("ack", 200, "a1")
    story.take(2000, lease("a2", 3000))
    assert story.kinds() == ["resurrected"]


def test_phantom(story: Story) -> None:
    story.publish(5, None, "content of r", refused=True)
    story.take(100, lease("r1", 1000))
    story.take(100, lease("x1", 1000))
    assert story.kinds() == ["phantom", "phantom"]


def test_overlapping(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.take(400, lease("a2", 2000))
    assert story.kinds() == ["overlapping"]


def test_overlapping_an_extended_lease(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("extend", 500, "a1", {"deadline": 5000})
    story.take(1100, lease("a2", 2000))
    assert story.kinds() == ["overlapping"]


def test_what_is_within_the_slack_is_no_overlap(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.take(960, lease("a2", 2000))
    assert story.kinds() == []


def test_stale_ack_past_the_deadline(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("ack", 1100, "a1")
    assert story.kinds() == ["stale ack"]


def test_stale_ack_after_the_next_delivery(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("nack", 200, "a1")
    story.take(300, lease("a2", 1000))
    story.settle("ack", 500, "a1")
    assert story.kinds() == ["stale ack"]


def test_takes_that_were_under_way_together_have_no_order(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("nack", 110, "a1")
    # The second delivery was asked for before the first one, and answered after it.
    story.call("take", 90, 400, {"leases": [lease("a2", 1000)]})
    story.settle("ack", 420, "a2")
    assert story.kinds() == []


def test_inversion(story: Story) -> None:
    story.take(100, lease("a1", 1000), lease("b1", 1000, priority=5))
    assert story.kinds() == ["inversion"]


def test_dedup_stored_twice(story: Story) -> None:
    story.publish(5, "c", key="k")
    story.publish(900, "d", key="k")
    story.publish(400_000, "e", key="k")  # past the window
    assert story.kinds() == ["dedup"]


def test_dedup_of_nothing(story: Story) -> None:
    story.publish(5, "c", key="k", duplicate=True)
    assert "dedup" in story.kinds()


def test_dead_twice(story: Story) -> None:
    story.take(100, lease("a1", 1000), lease("b1", 1000))
    story.settle("ack", 200, "a1")
    story.settle("reject", 200, "b1")
    story.take(1500, lease("b2", 9000))
    story.settle("reject", 1600, "b2")
    story.final(9000, dead="aabb")
    assert story.kinds() == ["dead twice"] * 4


def test_attempts_do_not_increase(story: Story) -> None:
    story.take(100, lease("a1", 1000))
    story.settle("nack", 200, "a1")
    story.take(300, lease("a2", 1000, attempt=1))
    assert story.kinds() == ["attempts"]


def test_content_changed(story: Story) -> None:
    story.take(100, lease("a1", 1000, content="content of A"))
    assert "content" in story.kinds()


def test_a_recorder_writes_what_is_read() -> None:
    stream = io.StringIO()
    recorder = Recorder(stream, "w1")
    number = recorder.invoke("publish", messages=[{"content": "c"}])
    recorder.ok(number, ids=["i"], duplicates=[False])
    refused = recorder.invoke("take")
    recorder.refused(refused, "closed")
    recorder.invoke("take")
    recorder.final(ready=["i"], dead=[])
    torn = stream.getvalue() + '{"t": 1, "w'
    calls = read(torn.splitlines())
    assert sorted((call.op, call.outcome) for call in calls) == [
        ("final", "ok"), ("publish", "ok"), ("take", "refused"), ("take", "unknown"),
    ]  # fmt: skip
    assert check(torn.splitlines()) == []


def test_a_take_that_waited_longer_than_a_later_one_is_no_overlap() -> None:
    story = Story()
    story.publish(0, "a")
    story.call("take", 10, 300, {"leases": [lease("a2", 800, attempt=2)]})
    story.call("take", 20, 100, {"leases": [lease("a1", 600, attempt=1)]})
    story.settle("nack", 200, "a1")
    story.settle("ack", 310, "a2")
    story.final(1000)
    assert story.kinds() == []
