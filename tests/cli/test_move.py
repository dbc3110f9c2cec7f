"""``supersoniq move``: between any two stores, and what it says."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

import supersoniq
import supersoniq.sync
from supersoniq.api.moving import Ending
from supersoniq.core.imports import REMEMBERED
from tests.backends.redis_server import needs_server
from tests.cli.moves import STORES, move_and_kill, store
from tests.cli.shell import Shell, on_a_terminal
from tests.moving import fill, on_a_loop, seen

PAIRS = [
    pytest.param(one, two, marks=[needs_server] if "redis" in (one, two) else [])
    for one in STORES
    for two in STORES
]
A, B = "sqlite:///a.db", "sqlite:///b.db"


@pytest.mark.parametrize(("one", "two"), [*PAIRS, ("ws", "sqlite")])
@on_a_loop
async def test_from_any_store_to_any_other(shell: Shell, one: str, two: str) -> None:
    with ExitStack() as stack:
        source, target = (stack.enter_context(store(shell, kind)) for kind in (one, two))
        async with supersoniq.connect(source) as broker:
            number = await fill(broker)
            before = await seen(broker)
        [told] = await asyncio.to_thread(shell.lines, "move", source, target, "--queue", "q")
        assert told == {
            "queue": "q", "into": "q", "ending": "done", "moved": number, "stored": number,
            "held": 0, "damaged": 0, "paused": False, "both": 0,
        }  # fmt: skip
        async with supersoniq.connect(target) as broker:
            assert await seen(broker) == before
        back = ("move", target, source, "--queue", "q", "--into", "home")
        [again] = await asyncio.to_thread(shell.lines, *back)
        assert (again["moved"], again["paused"]) == (number, False)
        async with supersoniq.connect(source) as broker:
            assert await seen(broker, "home") == before
            assert await seen(broker) == []


@pytest.mark.parametrize(
    ("one", "two"), [("sqlite", "memory"), pytest.param("redis", "sqlite", marks=needs_server)]
)
@on_a_loop
async def test_killed_and_given_again_it_goes_on(shell: Shell, one: str, two: str) -> None:
    with ExitStack() as stack:
        source, target = (stack.enter_context(store(shell, kind)) for kind in (one, two))
        await move_and_kill(shell, source, target, 4, random.Random(one))


def test_the_page_has_every_ending() -> None:
    page = (Path(__file__).parents[2] / "docs" / "moving.md").read_text()
    assert all(f"\n| `{ending}` | " in page for ending in Ending)
    assert REMEMBERED == 7 * 86_400_000, "the page speaks of a week"


def test_all_queues(shell: Shell) -> None:
    for name in ("a", "b", "c"):
        shell.lines("publish", "x", "-b", A, "--queue", name)
    told = shell.lines("move", A, B, "--all")
    assert [(each["queue"], each["moved"]) for each in told] == [("a", 1), ("b", 1), ("c", 1)]
    assert shell.ask("move", A, B, "--all", "--into", "d").exit_code == 2


def test_what_consumers_hold_and_ctrl_c(shell: Shell) -> None:
    with supersoniq.sync.connect(A) as broker:
        queue = broker.queue()
        queue.publish("x")
        held = queue.get(wait=0)
        assert held is not None
        result = shell.ask("move", A, B, "--wait", "0", "--json")
        assert result.exit_code == 1
        assert json.loads(result.stdout)["ending"] == "held"
        assert not queue.stats().paused
        mover = shell.start("move", A, B)
        shell.until(lambda: queue.stats().paused)
        out, err = shell.end(mover, signal.SIGINT)
        assert mover.returncode == 130, err
        assert json.loads(out)["ending"] == "stopped"
        assert not queue.stats().paused
        held.ack()
    [told] = shell.lines("move", A, B)
    assert (told["ending"], told["moved"]) == ("done", 0)


def test_between_two_servers_with_tokens(shell: Shell) -> None:
    """Each gets its own token, and never the other's."""
    urls = []
    for name, scope in (("one", "browse:* manage:*"), ("two", "manage:d*")):
        shell.lines("token", "keys", name)
        made = shell.ask(
            "token", "make", "--key", f"{name}.key", "--sub", "mover", "--iss", "us", "--aud", name,
            "--scope", scope,
        )  # fmt: skip
        Path(f"{name}.token").write_text(made.stdout)
        server = shell.start(
            "serve", "--port", "0", "--backend", f"sqlite:///{name}.db", "--auth-public-key",
            f"{name}.pem", "--auth-issuer", "us", "--auth-audience", name,
        )  # fmt: skip
        assert server.stdout is not None
        urls.append(json.loads(server.stdout.readline())["url"])
    shell.lines("publish", "x", "-b", "sqlite:///one.db")
    from_one, to_two = ("--from-token-file", "one.token"), ("--to-token-file", "two.token")
    assert "token" in shell.ask("move", *urls, *from_one).stderr
    [told] = shell.lines("move", *urls, *from_one, *to_two)
    assert (told["ending"], told["moved"]) == ("done", 1)
    refused = shell.ask("move", *urls, *from_one, *to_two, "--into", "x")
    assert refused.exit_code == 1
    assert "manage" in refused.stderr
    shell.env["SUPERSONIQ_TOKEN"] = Path("two.token").read_text().strip()
    assert b"must not be shown to another" in shell.run("move", *urls).stderr
    done = shell.run("move", *urls, *from_one)
    assert done.returncode == 0, done.stderr


def test_what_it_refuses(shell: Shell) -> None:
    def refused(*words: str) -> str:
        result = shell.ask("move", *words)
        assert result.exit_code == 1, result.output
        return result.stderr

    assert "no such file" in refused(A, B)
    shell.lines("publish", "x", "-b", A)
    assert "is the very queue that is to be moved\n" in refused(A, A)
    assert "name the server that holds it" in refused(A, "memory://")
    assert "name the server that holds it" in refused("memory://", A)
    assert "nobody" in refused(A, B, "--queue", "nobody")
    assert "the store is unavailable" in refused(A, "http://127.0.0.1:9")
    [stats] = shell.lines("stats", "-b", A)
    assert (stats["ready"], stats["paused"]) == (1, False)


def test_a_message_that_the_target_refuses_is_named_and_stays(shell: Shell) -> None:
    with ExitStack() as stack:
        target = stack.enter_context(store(shell, "memory"))
        with supersoniq.sync.connect(A) as broker:
            queue = broker.queue(max_content=17 << 20)
            queue.publish("small")
            large = queue.publish(bytes(17 << 20)).id
            result = shell.ask("move", A, target)
            assert result.exit_code == 1
            assert "is over the 16777216 bytes that a request may have" in result.stderr
            assert f"at message {large}, after 1; 'default' stays paused in FROM" in result.stderr
            assert [message.id for message in queue.browse()] == [large]


def test_it_says_what_to_do_next(shell: Shell) -> None:
    for n in range(3):
        shell.lines("publish", f"{n}", "-b", A)
    shown = on_a_terminal(shell, "move", A, B)
    assert "Moving default" in shown
    assert "3 messages" in shown
    said = " ".join(shown.split())
    assert "Moved 3 messages of queue 'default' to 'default' in sqlite:///b.db; " in said
    assert "'default' stays paused" in said
