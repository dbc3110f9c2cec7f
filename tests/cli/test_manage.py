"""``cancel``, ``redrive``, ``purge``, ``pause``, ``resume``."""

from __future__ import annotations

from typing import Any

import supersoniq.sync
from tests.cli.shell import Shell

NOBODY = "0199e0f5-3b5c-7d2f-8a1e-5f0c6b7d8e9a"


def kill(shell: Shell, *texts: str) -> list[str]:
    """Publish messages and have them die; gives their ids."""
    ids = []
    with supersoniq.sync.connect("sqlite:///supersoniq.db") as broker:
        queue = broker.queue()
        for text in texts:
            ids.append(queue.publish(text).id)
            delivery = queue.get(wait=0)
            assert delivery is not None
            delivery.reject("no good")
    return ids


def test_cancel(shell: Shell) -> None:
    [published] = shell.lines("publish", "x")
    id = published["id"]
    told = shell.lines("cancel", id)
    assert told == [{"id": id, "queue": "default", "cancelled": 1}]
    assert shell.stats()["cancelled"] == 1
    again = shell.ask("cancel", id)
    assert again.exit_code == 1
    assert f"holds no message {id}" in again.stderr


def test_what_a_consumer_holds_cannot_be_cancelled(shell: Shell) -> None:
    with supersoniq.sync.connect("sqlite:///supersoniq.db") as broker:
        queue = broker.queue()
        id = queue.publish("x").id
        assert queue.get(wait=0) is not None
        result = shell.ask("cancel", id)
    assert result.exit_code == 1
    assert "a message that is leased cannot take the move" in result.stderr
    assert "; wait for its consumer" in result.stderr


def test_redrive(shell: Shell) -> None:
    first, second, third = kill(shell, "a", "b", "c")
    assert shell.lines("redrive", second) == [{"queue": "default", "redriven": 1}]
    assert shell.lines("redrive", "--limit", "1") == [{"queue": "default", "redriven": 1}]
    status = {m["id"]: (m["status"], m["deliveries"]) for m in shell.lines("browse")}
    assert status == {first: ("ready", 0), second: ("ready", 0), third: ("dead", 1)}
    refused = shell.ask("redrive", third, first)
    assert refused.exit_code == 1
    assert "a message that is ready cannot take the move 'redrive'" in refused.stderr
    assert shell.stats()["dead"] == 1


def test_purge(shell: Shell) -> None:
    kill(shell, "a", "b")
    shell.lines("publish", "c")
    asked = shell.ask("purge", "--status", "dead", input="n\n")
    assert asked.exit_code == 1
    assert "Drop all dead messages of queue 'default'" in asked.stderr
    assert shell.stats()["dead"] == 2
    told = shell.lines("purge", "--status", "dead", input="y\n")
    assert told == [{"queue": "default", "purged": 2}]
    assert shell.lines("purge", "--yes") == [{"queue": "default", "purged": 1}]
    assert shell.lines("browse") == []


def test_pause_and_resume(shell: Shell) -> None:
    shell.lines("publish", "x")
    told: list[dict[str, Any]] = shell.lines("pause")
    assert told == [{"queue": "default", "paused": True, "paused_until": None}]
    assert shell.run("consume", "--wait", "0").stdout == b""
    assert shell.lines("resume") == [{"queue": "default", "paused": False}]
    assert shell.run("consume", "--wait", "0").stdout != b""
    [told_for] = shell.lines("pause", "--for", "100")
    assert told_for["paused_until"] > 0


def test_bad_input_is_one_line(shell: Shell) -> None:
    shell.lines("publish", "x")
    for words, complaint in (
        ("cancel x", "id = 'x': is not the text of a UUIDv7"),
        (f"cancel {NOBODY}", f"holds no message {NOBODY}"),
        (f"redrive {NOBODY}", f"holds no message {NOBODY}"),
        ("pause --for -1", "takes seconds"),
    ):
        result = shell.ask(*words.split())
        assert result.exit_code == 1
        assert complaint in result.stderr
        assert len(result.stderr.splitlines()) == 1
    for words in ("cancel", "redrive --limit 0", "purge --status leased", "pause --for nan"):
        assert shell.ask(*words.split()).exit_code == 2
    assert shell.stats()["ready"] == 1
