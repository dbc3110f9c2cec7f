"""``supersoniq demo``: the main job, from end to end, as a newcomer sees it."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys

from tests.cli.shell import Shell


def test_it_runs_checks_itself_and_ends(shell: Shell) -> None:
    done = shell.run("demo", "--messages", "100")
    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b""), said
    for line in (
        "ok     published 100 = acknowledged 99 + dead 1",
        "ok     99 different messages were acknowledged, each once",
        "ok     every consumer got higher priorities first",
        "ok     the message that failed once was done at its 2nd delivery",
        "ok     the message that always fails is dead after 3 deliveries",
        "ok     the server has stopped; demo.db holds the dead message",
    ):
        assert line in said
    assert "FAILED" not in said
    assert " published 100  scheduled 0  ready 0  leased 0  acked 99  dead 1\n" in said

    # What it left is a real store, and the commands that it proposes work on it.
    [dead] = shell.lines("browse", "--backend", "sqlite:///demo.db", "--queue", "demo")
    assert dead["reason"] == "max_deliveries: this job was made to fail"
    assert f"explain {dead['id']} --queue demo --backend sqlite:///demo.db" in said
    with sqlite3.connect("demo.db") as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)
    file.close()

    again = shell.run("demo", "--messages", "20")
    assert again.returncode == 0, again.stderr


def test_an_interrupted_one_leaves_no_server_behind(shell: Shell) -> None:
    process = shell.start("demo")
    assert process.stdout is not None
    said = b""
    while b", at http://" not in said:
        said = process.stdout.readline()
    number = int(said.split()[1].rstrip(b","))
    shell.end(process)
    assert process.returncode == 130
    assert not os.path.exists(f"/proc/{number}") or sys.platform != "linux"


def test_kept_its_server_runs_until_ctrl_c(shell: Shell) -> None:
    process = shell.start("demo", "--messages", "20", "--keep")
    assert process.stdout is not None
    said = b""
    while b"until Ctrl-C" not in said:
        said = process.stdout.readline()
        assert said
    address = said.split()[4].removeprefix(b"http://127.0.0.1:")
    socket.create_connection(("127.0.0.1", int(address)), timeout=5).close()
    _, err = shell.end(process, signal.SIGTERM)
    assert (process.returncode, err) == (0, "")


def test_a_server_that_cannot_start_is_told(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = shell.run("demo", "--port", port)
    assert done.returncode == 1
    assert b"ddress already in use" in done.stderr
    assert b"Error: the server did not start" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_file_that_is_something_else_is_left_alone(shell: Shell) -> None:
    (shell.folder / "demo.db").write_text("my own words\n" * 100)
    done = shell.run("demo", stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert (shell.folder / "demo.db").read_text() == "my own words\n" * 100
