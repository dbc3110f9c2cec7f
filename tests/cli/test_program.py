"""The program as a whole: its help, what it needs, what it is packed as."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import supersoniq
from supersoniq.cli.group import group
from supersoniq.cli.options import Command
from tests.cli.shell import Shell

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMANDS = sorted(group.commands)


def leaves(parent: click.Group = group, *path: str) -> list[tuple[str, ...]]:
    """The words of every command that does something."""
    found: list[tuple[str, ...]] = []
    for name, made in sorted(parent.commands.items()):
        found += leaves(made, *path, name) if isinstance(made, click.Group) else [(*path, name)]
    return found


def found(words: tuple[str, ...]) -> tuple[click.Command, int]:
    """The command that words call, and how many of them are its name."""
    made, used = group.commands[words[0]], 1
    while isinstance(made, click.Group):
        made, used = made.commands[words[used]], used + 1
    return made, used


LEAVES = leaves()
CONTRACT = {"serve", "publish", "consume", "browse", "stats", "explain", "demo"}


def test_all_commands_are_there(shell: Shell) -> None:
    assert set(COMMANDS) >= CONTRACT
    said = shell.ask("--help").output
    for name in COMMANDS:
        assert re.search(rf"^  {name} +[A-Z].*[.]$", said, re.MULTILINE), name


@pytest.mark.parametrize("name", LEAVES, ids=" ".join)
def test_help_says_what_it_does_to_a_message_and_shows_how(
    shell: Shell, name: tuple[str, ...]
) -> None:
    said = shell.ask(*name, "--help").output
    assert "State: " in said
    assert "Examples:\n  " in said
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("name", LEAVES, ids=" ".join)
def test_the_examples_are_right(shell: Shell, name: tuple[str, ...]) -> None:
    for file in ("jobs.ndjson", "app.log", "queue.key", "queue.pem", "chain.pem", "key.pem"):
        (shell.folder / file).touch()
    command, _ = found(name)
    assert isinstance(command, Command)
    tried = 0
    for example in command.examples:
        for part in re.split(r" [|] | [<>] ", example):
            words = shlex.split(part)
            if words[:2] == ["xargs", "-n1"]:
                words = [*words[2:], "id"]
            if words[0] == "supersoniq":
                made, used = found(tuple(words[1:]))
                with made.make_context(words[used], words[used + 1 :]):
                    tried += 1
    assert tried


def test_the_version(shell: Shell) -> None:
    assert shell.ask("--version").output == f"supersoniq, version {supersoniq.__version__}\n"


def without(*modules: str) -> str:
    """A program that cannot import those."""
    return f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {modules!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Missing())
from supersoniq.cli import main
sys.argv[0] = "supersoniq"
main()
"""


@pytest.mark.parametrize(
    ("missing", "words", "extra"),
    [
        ("click", ["--help"], "supersoniq[cli]"),
        ("rich", ["--help"], "supersoniq[cli]"),
        ("uvicorn", ["serve"], "supersoniq[server]"),
        ("starlette", ["serve"], "supersoniq[server]"),
        ("uvicorn", ["demo"], "supersoniq[cli,server]"),
    ],
)
def test_a_missing_extra_is_one_line(
    shell: Shell, missing: str, words: list[str], extra: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", without(missing), *words],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"needs {missing}, which is not installed; run: pip install '{extra}'" in done.stderr


def test_all_but_serving_works_without_a_server(shell: Shell) -> None:
    program = without("starlette", "uvicorn", "httpx", "hypothesis", "pytest", "fastapi")
    for words in (["publish", "x"], ["stats"], ["consume", "--wait", "0"], ["serve", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=shell.folder,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_serve_tells_where_and_ends_on_a_signal(shell: Shell) -> None:
    process = shell.start("serve", "--port", "0")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told["url"])
    assert told["backend"] == "sqlite:///supersoniq.db"
    assert told["tls"] is None
    assert shell.end(process) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "complaint", "code"),
    [
        (["--backend", "sqlite:///no/such/folder/x.db"], "the store", 1),
        (["--backend", "teapot://"], "backend = 'teapot://': teapot is not among ", 2),
        (["--host", "256.0.0.1"], "Error: ", 1),
    ],
)
def test_a_server_that_cannot_be_is_one_line(
    shell: Shell, words: list[str], complaint: str, code: int
) -> None:
    done = shell.run("serve", "--port", "0", *words)
    assert done.returncode == code
    assert complaint in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_port_that_is_taken_is_one_line(shell: Shell) -> None:
    first = shell.start("serve", "--port", "0")
    assert first.stdout is not None
    port = first.stdout.readline().split(b":")[3].split(b'"')[0].decode()
    second = shell.run("serve", "--port", port)
    assert second.returncode == 1
    assert b"ddress already in use" in second.stderr
    assert second.stderr.count(b"\n") == 1
    shell.end(first)


def test_it_is_packed_as_the_contract_says() -> None:
    assert PROJECT["scripts"] == {"supersoniq": "supersoniq.cli:main"}
    assert PROJECT["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    extras = PROJECT["optional-dependencies"]
    assert set(extras) >= {"http", "server", "cli", "testing", "all"}
    for needed in ("click", "rich", "httpx"):
        assert any(each.startswith(needed) for each in extras["cli"])
    assert not any(each.startswith(("click", "rich")) for each in PROJECT["dependencies"])


def test_the_papers_agree_on_the_python_that_is_needed() -> None:
    assert PROJECT["requires-python"] == ">=3.11"
    assert "(3, 11)" in (ROOT / "Makefile").read_text()
    assert "Python 3.11" in (ROOT / "README.md").read_text()
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    for classifier in PROJECT["classifiers"]:
        if version := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier):
            assert f'"{version[1]}"' in workflow


def test_ci_runs_what_a_person_runs() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {"help", "run", "test", "check", "bench", "soak", "clean", "build", "format"}
    assert targets >= wanted | {"soak-tools"}
    called: set[str] = set()
    for file in (".ci/run", ".github/workflows/test.yml"):
        for line in re.findall(r"\bmake ([a-z -]+[a-z])", (ROOT / file).read_text()):
            called.update(line.split())
    assert {"check", "test"} <= called & targets
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_command_is_a_click_command_of_ours() -> None:
    assert all(isinstance(command, Command | click.Group) for command in group.commands.values())
