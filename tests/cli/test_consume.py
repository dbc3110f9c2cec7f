"""``supersoniq consume``: what is printed is done, and nothing else is."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

import supersoniq.sync
from tests.cli.shell import Shell, on_a_terminal


def contents(out: bytes | str) -> list[Any]:
    return [json.loads(line)["content"] for line in out.splitlines()]


def test_it_prints_in_order_and_acknowledges(shell: Shell) -> None:
    for text, priority in (("b", 0), ("c", 0), ("a", 9)):
        shell.lines("publish", text, "--priority", str(priority))
    done = shell.run("consume", "--wait", "0")
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents(done.stdout) == ["a", "b", "c"]
    first = json.loads(done.stdout.splitlines()[0])
    assert set(first) == {
        "id", "queue", "content", "content_type", "headers", "sender", "recipient", "priority",
        "key", "created_at", "available_at", "expires_at", "status", "deliveries", "reason",
    }  # fmt: skip
    assert (first["status"], first["deliveries"]) == ("leased", 1)
    assert shell.stats()["acked"] == 3


def test_a_limit_leaves_the_others_alone(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\nc\n")
    done = shell.run("consume", "--limit", "2")
    assert contents(done.stdout) == ["a", "b"]
    figures = shell.stats()
    assert (figures["acked"], figures["ready"], figures["leases"]) == (2, 1, 2)


def test_it_waits_for_a_while(shell: Shell) -> None:
    began = time.monotonic()
    process = shell.start("consume", "--wait", "60", "--limit", "1")
    assert shell.run("consume", "--wait", "0.5", "--queue", "other").returncode == 0
    assert time.monotonic() - began >= 0.5
    shell.lines("publish", "x")
    out, _ = process.communicate(timeout=60)
    assert contents(out) == ["x"]
    assert process.returncode == 0


def test_a_recipient_gets_its_own(shell: Shell) -> None:
    shell.lines("publish", "for ada", "--recipient", "ada")
    assert shell.run("consume", "--wait", "0").stdout == b""
    assert contents(shell.run("consume", "--wait", "0", "--recipient", "ada").stdout) == ["for ada"]


def test_no_ack_gives_them_back_uncounted(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\nc\n")
    before = shell.lines("browse")
    done = shell.run("consume", "--no-ack", "--limit", "2")
    assert contents(done.stdout) == ["a", "b"]
    after = shell.lines("browse")
    for message in (*before, *after):
        del message["available_at"]  # it is the moment at which it became ready again
    assert after == before
    assert shell.stats()["released"] == 2


def test_ctrl_c_ends_a_waiting_consumer(shell: Shell) -> None:
    shell.lines("publish", "x")
    process = shell.start("consume")
    assert process.stdout is not None
    assert contents(process.stdout.readline()) == ["x"]
    assert shell.end(process) == ("", "")
    assert process.returncode == 0
    figures = shell.stats()
    assert (figures["acked"], figures["leased"]) == (1, 0)


def test_a_limit_not_reached_is_told_by_the_exit_status(shell: Shell) -> None:
    process = shell.start("consume", "--limit", "2")
    shell.lines("publish", "x")
    assert process.stdout is not None
    process.stdout.readline()
    shell.end(process, signal.SIGTERM)
    assert process.returncode == 143


def test_a_reader_that_goes_away_loses_nothing(shell: Shell) -> None:
    large = "x" * 50_000
    shell.lines("publish", input=b"".join(b"%d%s\n" % (n, large.encode()) for n in range(20)))
    process = shell.start("consume")
    assert process.stdout is not None
    read = process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""
    figures = shell.stats()
    assert figures["leased"] == 0
    assert 1 <= figures["acked"] <= 3  # what a pipe takes, and its reader's buffer
    assert figures["acked"] + figures["ready"] == 20
    rest = shell.lines("browse")
    assert {message["deliveries"] for message in rest} == {0}
    assert json.loads(read)["content"] == "0" + large


def test_ctrl_c_while_the_reader_stalls_loses_nothing(shell: Shell) -> None:
    shell.lines("publish", input=b"".join(b"%d\n" % n + b"x" * 60_000 + b"\n" for n in range(9)))
    process = shell.start("consume")
    shell.until(lambda: shell.stats()["leased"])
    time.sleep(0.3)  # until the pipe is full
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    whole = out[: out.rfind(b"\n") + 1]
    assert (process.returncode, err) == (0, b"")
    figures = shell.stats()
    assert figures["leased"] == 0
    assert figures["acked"] == len(whole.splitlines())
    assert figures["acked"] + figures["ready"] == 18


def test_leases_are_extended_while_the_reader_stalls(shell: Shell) -> None:
    shell.lines("publish", input=b"".join(b"%d\n" % n + b"x" * 60_000 + b"\n" for n in range(5)))
    # Two thirds of the lease are what a busy machine may stand still without it being lost.
    process = shell.start("consume", "--lease", "3", "--wait", "0")
    shell.until(lambda: shell.stats()["leased"])
    time.sleep(3.5)  # longer than the lease
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert len(out.splitlines()) == 10
    figures = shell.stats()
    assert (figures["acked"], figures["lapsed"]) == (10, 0), figures


def test_a_full_disk_loses_nothing(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\n")
    with open("/dev/full", "wb") as full:
        done = shell.run("consume", "--wait", "0", stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"Error: No space left on device\n"
    assert shell.stats()["ready"] == 2


def test_a_terminal_gets_sentences_that_cannot_steer_it(shell: Shell) -> None:
    shell.lines("publish", "\x1b[31mred\a", "--priority", "3")
    shown = on_a_terminal(shell, "consume", "--wait", "0")
    assert "p3  \\x1b[31mred\\x07" in shown
    assert "\x1b" not in shown


def test_progress_is_shown_where_the_lines_are_not(shell: Shell) -> None:
    (shell.folder / "many.txt").write_text("".join(f"{n}\n" for n in range(1200)))
    shown = on_a_terminal(shell, "publish", "--file", "many.txt")
    assert "1200 messages" in shown
    assert "Published 1200 messages to queue 'default' in " in shown
    with open("out.ndjson", "wb") as out:
        shown = on_a_terminal(shell, "consume", "--limit", "1200", stdout=out)
    assert "1200 messages" in shown
    assert len((shell.folder / "out.ndjson").read_text().splitlines()) == 1200


# --exec


def test_a_command_gets_the_message(shell: Shell) -> None:
    shell.lines("publish", "a\nb", "--priority", "4", "--key", "k", "-H", "x=ü")
    command = 'printf "%s|" "$SUPERSONIQ_PRIORITY" "$SUPERSONIQ_ATTEMPT" "$SUPERSONIQ_KEY"; cat'
    done = shell.run("consume", "--limit", "1", "--exec", f'{command}; echo "$SUPERSONIQ_HEADERS"')
    assert done.stdout.decode() == '4|1|k|a\nb{"x": "\\u00fc"}\n'
    assert (done.returncode, shell.stats()["acked"]) == (0, 1)


def test_a_command_that_fails_brings_it_back(shell: Shell) -> None:
    shell.lines("publish", "x")
    command = "cat; echo first >&2; echo 'no such user' >&2; exit 3"
    done = shell.run("consume", "--limit", "1", "--exec", command)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines()[:2] == ["first", "no such user"]
    [message] = shell.lines("browse")
    assert message["status"] in ("scheduled", "ready")  # its backoff is a second
    assert message["deliveries"] == 1
    assert message["reason"] == "exit status 3: no such user"
    [explained] = shell.lines("explain", message["id"])
    assert "its last failure: exit status 3: no such user" in explained["explanation"]


def test_a_command_need_not_read_its_input(shell: Shell) -> None:
    shell.lines("publish", "x" * 1_000_000)
    assert shell.run("consume", "--limit", "1", "--exec", "true").returncode == 0
    assert shell.stats()["acked"] == 1


def test_a_lease_is_extended_while_its_command_runs(shell: Shell) -> None:
    shell.lines("publish", "x")
    # Two thirds of the lease are what a busy machine may stand still without it being lost.
    command = "until [ -e enough ]; do sleep 0.05; done"
    process = shell.start("consume", "--limit", "1", "--lease", "3", "--exec", command)
    with (
        supersoniq.sync.connect("sqlite:///supersoniq.db") as broker,
        broker.queue().watch(kinds=["extended"]) as watch,
    ):
        assert watch.next(60) is not None
    (shell.folder / "enough").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    figures = shell.stats()
    assert (figures["acked"], figures["lapsed"], figures["leases"]) == (1, 0, 1)


def test_a_lost_lease_ends_its_command(shell: Shell) -> None:
    shell.lines("publish", "x")
    words = ("consume", "--limit", "1", "--lease", "0.5", "--exec", "exec sleep 100")
    process = shell.start(*words)
    shell.until(lambda: shell.stats()["leases"])
    process.send_signal(signal.SIGSTOP)
    shell.until(lambda: shell.stats()["lapsed"])
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"it will come again" in err
    assert shell.stats()["ready"] == 1


def test_commands_run_at_the_same_time(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\nc\n")
    # Each waits for all three to be there.
    command = 'touch at-$SUPERSONIQ_ID; until [ "$(ls at-* | wc -l)" = 3 ]; do sleep 0.05; done'
    words = ("consume", "--wait", "0", "--concurrency", "3", "--exec", command)
    assert shell.run(*words).returncode == 0
    assert shell.stats()["acked"] == 3


def test_the_first_signal_lets_commands_finish(shell: Shell) -> None:
    shell.lines("publish", input=b"a\nb\n")
    command = "touch began; until [ -e told ]; do sleep 0.05; done"
    process = shell.start("consume", "--exec", command)
    shell.until((shell.folder / "began").exists)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert b"Stopping" in process.stderr.readline()
    (shell.folder / "told").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    figures = shell.stats()
    assert (figures["acked"], figures["ready"], figures["leased"]) == (1, 1, 0)


@pytest.mark.parametrize("way", ["second signal", "no grace"])
def test_a_command_that_is_ended_leaves_its_message_ready(shell: Shell, way: str) -> None:
    shell.lines("publish", "x")
    grace = ("--grace", "0.2") if way == "no grace" else ()
    # The shell's child must go, too: it would hold on to the pipes.
    process = shell.start("consume", *grace, "--exec", "touch began; sleep 100; true")
    shell.until((shell.folder / "began").exists)
    process.send_signal(signal.SIGINT)
    if way == "second signal":
        assert process.stderr is not None
        assert b"Stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    [message] = shell.lines("browse")
    assert (message["status"], message["deliveries"]) == ("ready", 0)


@pytest.mark.parametrize(
    "words",
    [
        ["--limit", "0"],
        ["--wait", "-1"],
        ["--concurrency", "2"],
        ["--exec", "true", "--no-ack"],
        ["--exec", " "],
        ["--concurrency", "0", "--exec", "true"],
    ],
)
def test_wrong_usage_is_exit_status_2(shell: Shell, words: list[str]) -> None:
    result = shell.ask("consume", *words)
    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_bad_values_are_one_line(shell: Shell) -> None:
    for words, complaint in (
        (("--lease", "0.01"), b"lease = 0.01: takes seconds from 0.1"),
        (("--recipient", ""), b"recipient = '': takes"),
        (("--queue", "-"), b"queue = '-': 1 to 128"),
    ):
        done = shell.run("consume", "--wait", "0", *words, stderr=subprocess.PIPE)
        assert done.returncode == 1
        assert complaint in done.stderr
        assert done.stderr.count(b"\n") == 1
