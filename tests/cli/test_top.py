"""``top``: what its screen shows, and what keys do to it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from typing import Any

import pytest
from rich.console import Console

import supersoniq
from supersoniq.cli.keys import named
from supersoniq.cli.top_view import Close, Look, Row, Screen, age
from supersoniq.core.messages import Message
from supersoniq.core.states import Status
from tests.cli.shell import Shell

NONE = dict.fromkeys(supersoniq.QueueStats.__struct_fields__, 0) | {
    "paused": False,
    "paused_until": None,
}


def row(queue: str, oldest: float | None = None, **figures: Any) -> Row:
    return Row(supersoniq.QueueStats(**(NONE | {"queue": queue} | figures)), oldest)


def text(screen: Screen, height: int = 20) -> list[str]:
    console = Console(width=110, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(screen.render(height, 110))
    console.file.close()
    return console.export_text().splitlines()


def names(screen: Screen) -> list[str]:
    return [match[1] for line in text(screen) if (match := re.match(r"(q\d)\b", line))]


def test_rates_are_against_the_look_before() -> None:
    screen = Screen("s")
    screen.show(Look(10.0, [row("q1", published=100, acked=50, nacked=1)]))
    screen.show(Look(12.0, [row("q1", 75.0, published=300, acked=150, nacked=4, lapsed=1)]))
    [line] = [line for line in text(screen) if line.startswith("q1")]
    assert re.split(r"\s+", line)[5:9] == ["100", "50", "2.0", "1m15s"]


def test_it_is_sorted_by_what_one_wants() -> None:
    screen = Screen("s")
    rows = [row("q1", ready=5, dead=1), row("q2", ready=9), row("q3", ready=1, dead=7)]
    screen.show(Look(1.0, rows))
    assert names(screen) == ["q2", "q1", "q3"]
    screen.key("r")
    assert names(screen) == ["q3", "q1", "q2"]
    screen.key("r")
    for _ in range(3):
        screen.key("s")
    assert names(screen) == ["q3", "q1", "q2"]  # by dead
    for _ in range(5):
        screen.key("s")
    assert names(screen) == ["q1", "q2", "q3"]  # by name


def test_more_queues_than_lines_are_scrolled_to_the_picked_one() -> None:
    screen = Screen("s")
    screen.show(Look(1.0, [row(f"q{n}", ready=9 - n) for n in range(10)]))
    assert "1 to 4 of 10 queues" in "\n".join(text(screen, 9))
    for _ in range(20):
        screen.key("down")
    assert "7 to 10 of 10 queues" in "\n".join(text(screen, 9))
    for _ in range(20):
        screen.key("up")
    assert "1 to 4 of 10 queues" in "\n".join(text(screen, 9))


def test_a_queue_is_looked_into_and_left() -> None:
    message = Message(
        id="an-id", queue="q2", content=b"\x1b[2J[bold]", content_type="text/plain", headers={},
        sender=None, recipient=None, priority=3, key=None, created_at=int(time.time() * 1000),
        available_at=0, expires_at=None, status=Status.DEAD, deliveries=4, reason="it [red]broke",
    )  # fmt: skip
    screen = Screen("s")
    rows = [row("q1", ready=3), row("q2", ready=2, dead=1)]
    screen.show(Look(1.0, rows))
    screen.key("down")
    screen.key("enter")
    assert screen.opened == "q2"
    close = Close("q2", supersoniq.Policy(), {Status.DEAD: [message]})
    screen.show(Look(2.0, rows, close))
    shown = "\n".join(text(screen))
    assert "\\x1b[2J[bold]" in shown
    assert "it [red]broke" in shown
    assert "4 deliveries" in shown
    screen.key("escape")
    assert names(screen) == ["q1", "q2"]
    screen.key("enter")
    screen.show(Look(3.0, [row("q1")]))  # somebody deleted it
    assert screen.opened is None


def test_trouble_is_told_above_what_was_seen_last() -> None:
    screen = Screen("s")
    screen.show(Look(1.0, [row("q1", ready=3)]))
    screen.trouble = "no connection\x1b[2J"
    shown = text(screen)
    assert "no connection\\x1b[2J" in "\n".join(shown)
    assert names(screen) == ["q1"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.04, "0.0s"),
        (59.4, "59s"),
        (61, "1m01s"),
        (3_700, "1h01m"),
        (90_000, "1d01h"),
    ],
)
def test_ages(seconds: float | None, shown: str) -> None:
    assert age(seconds) == shown


def test_keys_have_names_and_others_are_left_out() -> None:
    sent = b"q\x1b[A\x1bOBs\x1b[15~\x1b[1;5C\r\x01\xc3\xa9\x1b"
    assert named(sent) == ["q", "up", "down", "s", "enter", "escape"]


class Terminal:
    """``top`` on a terminal of its own."""

    def __init__(self, shell: Shell, *words: str) -> None:
        self.ours, theirs = pty.openpty()
        self.theirs = theirs
        shell.env |= {"COLUMNS": "120", "LINES": "30", "TERM": "xterm"}
        all_theirs: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self.process: subprocess.Popen[bytes] = shell.start("top", *words, **all_theirs)
        self.shown = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while True:
            try:
                more = os.read(self.ours, 10_000)
            except OSError:
                return
            self.shown += more  # what there is now: a key may have been pressed meanwhile

    def press(self, keys: bytes) -> None:
        self.shown = b""
        os.write(self.ours, keys)

    def close(self) -> None:
        os.close(self.theirs)
        self._thread.join(10)
        os.close(self.ours)


def test_on_a_terminal(shell: Shell) -> None:
    shell.lines("publish", input=b"first\nsecond\n")
    terminal = Terminal(shell, "--interval", "0.1")
    shell.until(lambda: b"default" in terminal.shown)
    shell.lines("publish", "x", "--queue", "another")
    shell.until(lambda: b"another" in terminal.shown)
    terminal.press(b"\r")
    shell.until(lambda: b"first" in terminal.shown and b"max length" in terminal.shown)
    terminal.press(b"\x1b")
    shell.until(lambda: b"of late" in terminal.shown)
    terminal.press(b"q")
    assert terminal.process.wait(60) == 0
    terminal.close()
    assert b"Traceback" not in terminal.shown


def test_a_signal_ends_it_and_the_terminal_is_as_before(shell: Shell) -> None:

    shell.lines("publish", "x")
    terminal = Terminal(shell, "--interval", "0.1")
    shell.until(lambda: b"default" in terminal.shown)
    assert not termios.tcgetattr(terminal.theirs)[3] & termios.ECHO
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(60) in (0, 143)
    assert termios.tcgetattr(terminal.theirs)[3] & termios.ECHO
    assert b"\x1b[?1049l" in terminal.shown  # the screen that was there is back
    terminal.close()


def test_it_wants_a_terminal(shell: Shell) -> None:
    result = shell.ask("top")
    assert result.exit_code == 2
    assert "stats --watch" in result.output
