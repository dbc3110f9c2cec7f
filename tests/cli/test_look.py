"""``browse``, ``explain``, ``stats``, ``queues``, ``watch``: they look, and change nothing."""

from __future__ import annotations

import json
import os
from itertools import pairwise

import msgspec
import pytest

import supersoniq
from tests.cli.shell import Shell, on_a_terminal

NOBODY = "0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e9a"


def test_browse_by_status_and_page(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\nc\n")
    shell.lines("publish", "later", "--delay", "100")
    ready = shell.lines("browse", "--status", "ready")
    assert [m["content"] for m in ready] == ["a", "b", "c"]
    assert [m["content"] for m in shell.lines("browse", "--status", "scheduled")] == ["later"]
    assert shell.lines("browse", "--status", "dead") == []
    [first] = shell.lines("browse", "--limit", "1")
    rest = shell.lines("browse", "--after", first["id"])
    assert [m["content"] for m in rest] == ["b", "c", "later"]


def test_browse_goes_on_behind_a_page_of_the_store(shell: Shell) -> None:
    shell.lines("publish", input=b"".join(b"%d\n" % n for n in range(2500)))
    assert len(shell.lines("browse", "--limit", "2400")) == 2400
    everything = shell.lines("browse", "--limit", "100000")
    assert [m["content"] for m in everything] == [str(n) for n in range(2500)]


def test_a_terminal_gets_a_table_that_cannot_steer_it(shell: Shell) -> None:
    shell.lines("publish", "\x1b[2J[bold]x[/bold]" + "y" * 200, "--priority", "5")
    shown = on_a_terminal(shell, "browse")
    assert "priority" in shown
    assert "\\x1b[2J[bold]x[/bold]yyy" in shown
    assert "\x1b[2J" not in shown
    shown = on_a_terminal(shell, "browse", "--limit", "1")
    assert "Perhaps there are more: --after " in shown


def test_explain(shell: Shell) -> None:
    shell.lines("publish", "first")
    [published] = shell.lines("publish", "second")
    [explained] = shell.lines("explain", published["id"])
    sentence = "It is ready, and 1 message comes before it."
    assert explained == {"id": published["id"], "queue": "default", "explanation": sentence}
    assert sentence in on_a_terminal(shell, "explain", published["id"])


def test_stats_have_the_figures_of_every_queue_and_add_up(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\n")
    shell.lines("publish", "x", "--queue", "other")
    both = shell.lines("stats")
    assert [figures["queue"] for figures in both] == ["default", "other"]
    for figures in both:
        assert set(figures) == set(supersoniq.QueueStats.__struct_fields__)
        stats = msgspec.convert(figures, supersoniq.QueueStats)
        where = stats.scheduled + stats.ready + stats.leased + stats.dead + stats.acked
        gone = stats.expired + stats.cancelled + stats.purged + stats.forgotten
        assert stats.published == where + gone
    assert shell.stats("other")["published"] == 1
    shown = on_a_terminal(shell, "stats")
    assert "published" in shown
    assert "other" in shown


def test_stats_are_watched_until_ctrl_c(shell: Shell) -> None:
    shell.lines("publish", "a")
    process = shell.start("stats", "--watch", "--interval", "0.05")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["published"] == 1
    shell.lines("publish", "b")
    while json.loads(process.stdout.readline())["published"] != 2:
        pass
    _, err = shell.end(process)
    assert (process.returncode, err) == (0, "")


def test_stats_are_a_live_picture_on_a_terminal(shell: Shell) -> None:
    shell.lines("publish", "a")
    shown = on_a_terminal(shell, "stats", "-w", "--interval", "0.05", signal_at=b"default")
    assert "in/s" in shown


def test_queues_are_named(shell: Shell) -> None:
    for queue in ("b", "a"):
        shell.lines("publish", "x", "--queue", queue)
    assert shell.lines("queues") == [{"queue": "a"}, {"queue": "b"}]


def test_watch_tells_events_of_another_process(shell: Shell) -> None:
    shell.lines("publish", "before")
    process = shell.start("watch", "--kind", "published", "--kind", "acked", "--limit", "3")
    assert process.stdout is not None
    # It has begun once it tells of something: until then, there may be nobody to tell.
    os.set_blocking(process.stdout.fileno(), False)
    first = b""
    published = 0
    while not first:
        shell.lines("publish", "news")
        published += 1
        first = process.stdout.readline() or b""
    os.set_blocking(process.stdout.fileno(), True)
    shell.run("consume", "--limit", str(published + 1))
    events = [json.loads(line) for line in (first, *process.stdout.readlines())]
    assert process.wait(timeout=60) == 0
    assert [event["kind"] for event in events][:1] == ["published"]
    assert events[-1]["kind"] in ("published", "acked")
    assert events[0]["message"]["content"] == "news"
    assert all(a["offset"] < b["offset"] for a, b in pairwise(events))


@pytest.mark.parametrize(
    "command", ["browse", "stats", "queues", "purge --yes", f"explain {NOBODY}"]
)
def test_looking_makes_no_store(shell: Shell, command: str) -> None:
    result = shell.ask(*command.split())
    assert result.exit_code == 1
    assert "backend = 'sqlite:///supersoniq.db': no such file; name the store" in result.stderr
    assert list(shell.folder.iterdir()) == []


@pytest.mark.parametrize(
    "command", ["browse", "stats", "purge --yes", "pause", f"explain {NOBODY}"]
)
def test_looking_makes_no_queue(shell: Shell, command: str) -> None:
    shell.lines("publish", "x")
    result = shell.ask(*command.split(), "--queue", "mistyped")
    assert result.exit_code == 1
    assert "there is no queue 'mistyped'; list them with 'supersoniq queues'" in result.stderr
    assert shell.lines("queues") == [{"queue": "default"}]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ("browse --status gone", 2, "'gone' is not one of"),
        ("browse --limit 0", 2, "0 is not in the range"),
        ("browse --after x", 1, "id = 'x': is not the text of a UUIDv7"),
        (f"browse --after {NOBODY}", 1, f"holds no message {NOBODY}"),
        (f"explain {NOBODY}", 1, f"holds no message {NOBODY}; it is finished, or in another queue"),
        ("watch --kind gap", 2, "'gap' is not one of"),
        ("watch --since -1", 1, "since = -1"),
        ("stats --interval 0", 2, "0.0 is not in the range"),
        ("browse --queue ''", 1, "queue = \"''\""),
    ],
)
def test_bad_input_is_told(shell: Shell, words: str, status: int, complaint: str) -> None:
    shell.lines("publish", "x")
    result = shell.ask(*words.split())
    assert result.exit_code == status
    assert complaint in result.stderr


def test_head_ends_it_without_a_word(shell: Shell) -> None:
    shell.lines("publish", input=(b"x" * 1000 + b"\n") * 1000)
    process = shell.start("browse", "--limit", "1000")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_file_that_is_no_store_is_refused_and_left_alone(shell: Shell) -> None:
    (shell.folder / "notes.txt").write_text("dear diary\n" * 500)
    done = shell.run("browse", "--backend", "sqlite:///notes.txt")
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: ")
    assert done.stderr.count(b"\n") == 1
    assert (shell.folder / "notes.txt").read_text() == "dear diary\n" * 500
