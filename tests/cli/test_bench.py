"""``bench``: load on a store or a server, and what it tells."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.shell import Shell, on_a_terminal

SHORT = ("--messages", "200", "--seed", "1")


def test_its_report_is_one_json_object(shell: Shell) -> None:
    [found] = shell.lines("bench", *SHORT, "--fail", "0.1", "--priorities", "0=9,5=1")
    assert found["url"] == "sqlite:///supersoniq.db"
    assert found["plan"]["priorities"] == {"0": 9.0, "5": 1.0}
    report = found["report"]
    assert (report["published"], report["finished"], report["lost"]) == (200, 200, 0)
    assert report["failed"] > 5
    figures = report["delivery_ms"]
    assert 0 < figures["min"] <= figures["p50"] <= figures["p99"] <= figures["max"]
    assert shell.lines("queues") == []


def test_what_it_drew_is_told_so_that_it_can_be_repeated(shell: Shell) -> None:
    mixed = ("--messages", "300", "--priorities", "0=1,5=1", "--fail", "0.3", "--consumers", "1")
    one_by_one = (*mixed, "--publishers", "1", "--backend", "memory://")
    [drawn], [other] = shell.lines("bench", *one_by_one), shell.lines("bench", *one_by_one)
    assert drawn["plan"]["seed"] != other["plan"]["seed"]
    [again] = shell.lines("bench", *one_by_one, "--seed", str(drawn["plan"]["seed"]))
    assert again["plan"] == drawn["plan"]
    shown = on_a_terminal(shell, "bench", "--messages", "20", "-b", "memory://")
    assert re.search(r"--seed \d+ throws the same dice again", shown)


def test_the_store_is_named_as_everywhere(shell: Shell) -> None:
    for words in (("memory://",), ("--backend", "memory://"), ("-b", "memory://")):
        [found] = shell.lines("bench", *SHORT, *words)
        assert found["url"] == "memory://"
    result = shell.ask("bench", *SHORT, "memory://", "--backend", "sqlite:///x.db")
    assert result.exit_code == 2
    assert "takes the store once: as URL, or with --backend" in result.output
    result = shell.ask("top", "memory://", "-b", "sqlite:///x.db")
    assert (result.exit_code, Path("x.db").exists()) == (2, False)


def test_a_terminal_gets_figures(shell: Shell) -> None:
    shown = on_a_terminal(shell, "bench", "--rate", "100", "--duration", "2.5")
    told = re.search(r"published 250 in (\S+) s: (\d+) a second", shown)
    assert told is not None, shown
    took, rate = float(told[1]), int(told[2])
    assert took >= 2.5  # later on a busy machine
    assert abs(rate - 250 / took) < 3
    assert "p999" in shown
    assert "in/s" in shown


def test_an_address_in_brackets_is_shown_as_it_is(shell: Shell) -> None:
    shown = on_a_terminal(shell, "bench", *SHORT, "sqlite:///[fd00]x.db")
    assert "sqlite:///[fd00]x.db" in shown


def test_a_queue_that_is_named_stays_and_must_be_empty(shell: Shell) -> None:
    [found] = shell.lines("bench", *SHORT, "--queue", "mine", "--consumers", "0")
    assert found["report"]["queued"] == 200
    assert shell.stats("mine")["ready"] == 200
    result = shell.ask("bench", *SHORT, "--queue", "mine")
    assert result.exit_code == 1
    assert "queue = 'mine': holds 200 messages; load is made on an empty queue" in result.output
    assert shell.stats("mine")["ready"] == 200


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_it_draws(shell: Shell, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    shell.lines("bench", *SHORT, "--plot", f"x.{suffix}")
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    assert Path(f"x.{suffix}").read_bytes().startswith(begins)


def test_a_picture_that_cannot_be_is_told_before_any_load(shell: Shell) -> None:
    result = shell.ask("bench", *SHORT, "--plot", "x.gif")
    assert result.exit_code == 1
    assert "must end in one of .svg, .png, .pdf" in result.output
    assert not Path("supersoniq.db").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--priorities a", "'a' is not PRIORITY=WEIGHT, as in 0=90,5=10"),
        ("--priorities 1,1", "priority 1 is given twice"),
        ("--fail 2", "fail = 2.0: takes 0 to 1"),
        ("--size 3", "size = 3: takes an integer from 16"),
        ("nowhere://", "no backend for 'nowhere'"),
    ],
)
def test_what_cannot_be_is_one_line(shell: Shell, words: str, said: str) -> None:
    result = shell.ask("bench", *words.split())
    assert result.exit_code in (1, 2)
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_server_is_measured_as_a_store_is(shell: Shell) -> None:
    server = shell.start("serve", "--port", "0")
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    for scheme in ("http", "ws"):
        [found] = shell.lines("bench", url.replace("http", scheme), *SHORT, "--batch", "10")
        assert (found["report"]["finished"], found["report"]["lost"]) == (200, 0)
    assert shell.end(server) == ("", "")


def test_ctrl_c_ends_publishing_and_leaves_nothing(shell: Shell) -> None:
    process = shell.start("bench", "--duration", "3600", "--rate", "50")
    shell.until(lambda: shell.ask("queues").stdout.strip())
    out, err = shell.end(process)
    assert err == ""
    report = json.loads(out)["report"]
    assert report["published"] == report["finished"]
    assert shell.lines("queues") == []
