"""``supersoniq publish``: what is given is what is stored, or one line says why not."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from typing import Any

import pytest

from tests.cli.shell import Shell


def stored(shell: Shell, *words: str, input: bytes | None = None) -> dict[str, Any]:
    """Publish one message and look at it."""
    [published] = shell.lines("publish", *words, input=input)
    assert set(published) == {"id", "duplicate", "durability"}
    [message] = shell.lines("browse")
    assert message["id"] == published["id"]
    assert isinstance(message, dict)
    return message


def test_a_text_with_all_its_fields(shell: Shell) -> None:
    fields = {"priority": "7", "ttl": "100", "key": "k", "sender": "me", "recipient": "you"}
    options = [word for name, value in fields.items() for word in (f"--{name}", value)]
    message = stored(shell, "héllo", *options, "-H", "a=1", "-H", "b=x=y")
    assert message == message | {
        "queue": "default",
        "content": "héllo",
        "content_type": "text/plain; charset=utf-8",
        "headers": {"a": "1", "b": "x=y"},
        "sender": "me",
        "recipient": "you",
        "priority": 7,
        "key": "k",
        "expires_at": message["created_at"] + 100_000,
        "available_at": message["created_at"],
        "status": "ready",
        "deliveries": 0,
        "reason": None,
    }


def test_a_delay_schedules_it(shell: Shell) -> None:
    message = stored(shell, "later", "--delay", "100")
    assert message["status"] == "scheduled"
    assert message["available_at"] == message["created_at"] + 100_000


def test_a_json_value(shell: Shell) -> None:
    message = stored(shell, "--json", '{"to": ["ada"]}')
    assert message["content"] == {"to": ["ada"]}
    assert message["content_type"] == "application/json"


def test_the_bytes_of_a_file(shell: Shell) -> None:
    (shell.folder / "a.bin").write_bytes(b"\x00\xff\n")
    message = stored(shell, "--content-file", "a.bin", "--content-type", "image/x")
    assert base64.b64decode(message["content_base64"]) == b"\x00\xff\n"
    assert message["content_type"] == "image/x"


def test_lines_are_texts(shell: Shell) -> None:
    published = shell.lines("publish", "--priority", "3", input=b"a\n\n b \r\nlast")
    messages = shell.lines("browse")
    assert [message["content"] for message in messages] == ["a", " b ", "last"]
    assert {message["priority"] for message in messages} == {3}
    assert [each["id"] for each in published] == [message["id"] for message in messages]


def test_lines_are_json_values(shell: Shell) -> None:
    shell.lines("publish", "--as", "json", "--file", "-", input=b'{"n": 1}\n"text"\nnull\n')
    assert [m["content"] for m in shell.lines("browse")] == [{"n": 1}, "text", None]


def test_lines_are_drafts_in_an_ndjson_file(shell: Shell) -> None:
    drafts = [{"content": "x"}, {"content": {"n": 1}, "priority": 9, "headers": {"a": "b"}}]
    (shell.folder / "jobs.ndjson").write_text("\n".join(map(json.dumps, drafts)))
    shell.lines("publish", "--file", "jobs.ndjson", "--priority", "1", "--sender", "me")
    first, second = shell.lines("browse")
    assert (first["content"], first["priority"], first["sender"]) == ("x", 1, "me")
    assert (second["content"], second["priority"], second["sender"]) == ({"n": 1}, 9, "me")
    assert second["headers"] == {"a": "b"}


def test_what_was_browsed_can_be_published_again(shell: Shell) -> None:
    (shell.folder / "a.bin").write_bytes(b"\xff")
    shell.lines("publish", "text", "--recipient", "you")
    shell.lines("publish", "--json", '"a json string"')
    shell.lines("publish", "--content-file", "a.bin")
    browsed = shell.ask("browse").stdout_bytes
    shell.lines("publish", "--queue", "copy", "--as", "draft", input=browsed)
    own = ("id", "queue", "created_at", "available_at")
    before, after = (
        [{k: v for k, v in m.items() if k not in own} for m in shell.lines("browse", "-q", queue)]
        for queue in ("default", "copy")
    )
    assert before == after


def test_a_large_file_goes_in_batches(shell: Shell) -> None:
    (shell.folder / "many.txt").write_text("".join(f"line {n}\n" for n in range(1203)))
    published = shell.lines("publish", "--file", "many.txt")
    assert len({each["id"] for each in published}) == 1203
    assert shell.stats()["ready"] == 1203


def test_a_key_stores_once(shell: Shell) -> None:
    [first] = shell.lines("publish", "a", "--key", "k")
    [second] = shell.lines("publish", "a", "--key", "k")
    assert second == {**first, "duplicate": True}
    assert shell.stats()["published"] == 1


def test_a_stream_is_followed(shell: Shell) -> None:
    process = shell.start("publish", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("one", "two"):
        process.stdin.write(f"{text}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["durability"] == "disk"
    assert shell.stats()["ready"] == 2
    process.stdin.write(b"unfinished")
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = process.stderr.readline()  # before its input ends, which would publish the last line
    assert b"Stopped; the 2 messages before are published" in told
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert shell.stats()["ready"] == 2


@pytest.mark.parametrize(
    ("words", "input", "complaint"),
    [
        (["x", "--priority", "32768"], None, "priority = 32768: takes an integer from -32768"),
        (["x", "--delay", "-1"], None, "delay = -1.0: takes seconds"),
        (["x", "--delay", "nan"], None, "delay = 'nan': takes seconds"),
        (["x", "--ttl", "0"], None, "ttl = 0.0: takes more than 0"),
        (["x", "--key", ""], None, "key = '': takes a string of 1 to 256"),
        (["x", "--key", "k" * 257], None, "key = "),
        (["x", "--sender", "a\nb"], None, "sender = "),
        (["x", "-H", "novalue"], None, "header = 'novalue': takes NAME=VALUE"),
        (["x", "--content-type", "ü"], None, "content_type = 'ü'"),
        (["x", "--queue", "a b"], None, "queue = 'a b': 1 to 128"),
        (["x" * 1_048_577], None, "content of 1048577 bytes is over the 1048576"),
        (["--json", "{"], None, "content = '(hidden)': is not JSON"),
        (["--json", "NaN"], None, "which is not JSON"),
        (["--json", "[" * 5000], None, "content"),
        (["--json", "[" * 99 + "]" * 99], None, "is nested over 64 levels"),
        ([], b"\xff\n", "line 1: content"),
        (["--as", "json"], b"{}\n{]\n", "line 2: content"),
        (["--as", "draft"], b"[]\n", "line 1: line = '(hidden)': is not a draft"),
        (["--as", "draft"], b"{}\n", "line 1: content = None: is missing"),
        (["--as", "draft"], b'{"content":1,"prio":1}', "line 1: prio = 1: no such field"),
        (["--as", "draft"], b'{"content":1,"priority":"1"}', "line 1: priority"),
        (["--as", "draft"], b'{"content":1,"delay":-1}', "line 1: delay"),
        (["--as", "draft"], b'{"content":1,"content_base64":""}', "line 1: content"),
        (["--as", "draft"], b'{"content_base64":"!"}', "line 1: content_base64"),
    ],
)
def test_bad_input_is_one_line_and_stores_nothing(
    shell: Shell, words: list[str], input: bytes | None, complaint: str
) -> None:
    shell.lines("publish", "there before")
    result = shell.ask("publish", *words, input=input)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr) < 500
    expected = 2 if input == b"{}\n{]\n" else 1  # what stands before the bad line is published
    assert shell.stats()["published"] == expected
    assert len(result.stderr.splitlines()) == 1


def test_a_bad_line_says_what_became_of_those_before_it(shell: Shell) -> None:
    lines = b"".join(b"%d\n" % n for n in range(700)) + b"{\n" + b"1\n" * 100
    result = shell.ask("publish", "--as", "json", input=lines)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: line 701: content = '(hidden)': is not JSON")
    assert result.stderr.rstrip().endswith("; the 700 messages before are published")
    assert len(result.stdout.splitlines()) == 700
    assert shell.stats()["published"] == 700


def test_a_batch_is_refused_as_a_whole(shell: Shell) -> None:
    lines = b'{"content": 1, "key": "k"}\n{"content": 2, "key": "k"}\n'
    result = shell.ask("publish", "--as", "draft", input=lines)
    assert result.exit_code == 1
    assert "lines 1 to 2: key 'k' in queue 'default' already stands for" in result.stderr
    assert "; nothing is published" in result.stderr
    assert shell.stats()["published"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["x", "--priority", "high"],
        ["x", "--json", "1"],
        ["x", "--file", "nowhere.txt"],
        ["x", "--as", "text"],
        ["--key", "k"],
        ["--content-file", "nowhere"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_is_exit_status_2(shell: Shell, words: list[str]) -> None:
    result = shell.ask("publish", *words, input=b"line\n")
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
    assert not (shell.folder / "supersoniq.db").exists()


@pytest.mark.parametrize(
    ("backend", "complaint"),
    [
        ("nonsense", "url = 'nonsense': is not a URL"),
        ("teapot://", "no backend for 'teapot'; installed ones are: "),
        ("sqlite:///no/such/folder/jobs.db", "the store"),
        ("sqlite:///", "names no file"),
        ("memory://x", "memory:// takes nothing more"),
    ],
)
def test_a_store_that_cannot_be_is_one_line(shell: Shell, backend: str, complaint: str) -> None:
    done = shell.run("publish", "x", "--backend", backend)
    assert done.returncode == 1
    assert complaint in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_a_store_that_will_be_forgotten_is_noted(shell: Shell) -> None:
    result = shell.ask("publish", "x", "--backend", "memory://")
    assert result.exit_code == 0
    assert "forgotten when this command ends" in result.stderr


def test_the_backend_can_come_from_the_environment(shell: Shell) -> None:
    shell.env["SUPERSONIQ_BACKEND"] = "sqlite:///elsewhere.db"
    assert shell.run("publish", "x").returncode == 0
    assert (shell.folder / "elsewhere.db").exists()
    assert not (shell.folder / "supersoniq.db").exists()
