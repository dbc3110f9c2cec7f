"""Several processes, or several backends, on one file: waking, locking, forking, dying."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from supersoniq.api.broker import Broker
from supersoniq.backends.sqlite import SqliteBackend, backend, wake
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, LeaseLost
from supersoniq.core.messages import prepare

HI = prepare("hi")


def backend_on(path: Path, **options: Any) -> SqliteBackend:
    return SqliteBackend(path, **{"min_free": 0, "synchronous": "normal", **options})


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def python(path: Path, program: str, **how: Any) -> subprocess.Popen[str]:
    """A process that runs a program with ``PATH`` as its argument."""
    text = (
        "import asyncio, os, sys\nfrom supersoniq.api.broker import Broker\n"
        "from supersoniq.backends.sqlite import SqliteBackend\n" + textwrap.dedent(program)
    )
    return subprocess.Popen(
        [sys.executable, "-c", text, str(path)],
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        **how,
    )


async def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110  # what is waited for comes by a callback without one
            await asyncio.sleep(0.001)


# Waking.


def test_a_waiter_hears_another_process(tmp_path: Path) -> None:
    async def work() -> None:
        async with Broker(backend_on(tmp_path / "q.db")) as broker:
            queue = broker.queue("q")
            await queue.publish("first")
            other = python(
                tmp_path / "q.db",
                """
                async def work():
                    async with Broker(SqliteBackend(sys.argv[1], min_free=0)) as broker:
                        queue = broker.queue("q")
                        async for delivery in queue.receive():
                            await delivery.ack()
                            await broker.queue("answers").publish(delivery.text())
                            if delivery.text() == "end":
                                break
                asyncio.run(work())
                """,
            )
            try:
                async with asyncio.timeout(60):
                    for text in ("first", *map(str, range(30)), "end"):
                        if text != "first":
                            await queue.publish(text)
                        answer = await broker.queue("answers").get()
                        assert answer is not None
                        await answer.ack()
                        assert answer.text() == text
            finally:
                other.wait(60)

    run(work())


@pytest.mark.parametrize("deaf", ["no datagrams", "no socket"])
def test_the_net_beneath_hears_what_no_datagram_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deaf: str
) -> None:
    async def work() -> None:
        monkeypatch.setattr(backend, "LOOK_EVERY", 0.01)
        monkeypatch.setattr(backend, "LOOK_DEAF", 0.01)
        if deaf == "no socket":
            (tmp_path / "q.db-wake").write_text("in the way")
        else:
            monkeypatch.setattr(wake.Bell, "ring", lambda self, stirred: None)
        one, two = backend_on(tmp_path / "q.db"), backend_on(tmp_path / "q.db")
        await one.open()
        await two.open()
        heard: list[str] = []
        stops = [one.listen(name, lambda name=name: heard.append(name)) for name in ("a", "b")]  # type: ignore[misc]
        # The first write by anybody after listen() is told to all, to be on the safe side.
        await two.execute([ops.Publish("c", [HI])])
        await until(lambda: sorted(heard) == ["a", "b"])
        heard.clear()
        await two.execute([ops.Publish("a", [HI])])
        await until(lambda: heard == ["a"])
        await two.execute([ops.Publish("a", [HI]), ops.Publish("b", [HI])])
        await until(lambda: sorted(heard) == ["a", "a", "b"])
        await two.execute([ops.Delete("a")])
        await until(lambda: len(heard) == 4)
        await two.execute([ops.Stats("b"), ops.Take("b", 5)])  # nothing to wake up for
        await asyncio.sleep(0.05)
        assert len(heard) == 4
        for stop in stops:
            stop()
        await two.execute([ops.Publish("a", [HI])])
        await asyncio.sleep(0.05)
        assert len(heard) == 4
        assert one._look is None
        await one.close()
        await two.close()

    run(work())


def test_a_datagram_is_heard_once_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        monkeypatch.setattr(backend, "LOOK_EVERY", 600.0)
        one, two = backend_on(tmp_path / "q.db"), backend_on(tmp_path / "q.db")
        await one.open()
        await two.open()
        heard: list[str] = []
        one.listen("q", lambda: heard.append("q"))
        await two.execute([ops.Publish("other", [HI])])
        for times in (1, 2):
            await two.execute([ops.Publish("q", [HI])])
            await until(lambda: len(heard) >= times)  # noqa: B023  # long before the net's turn
            one._look_again()  # which finds nothing new
            assert heard == ["q"] * times
        await one.close()
        await two.close()

    run(work())


def test_dead_sockets_are_cleared_away(tmp_path: Path) -> None:
    async def work() -> None:
        one, two = backend_on(tmp_path / "q.db"), backend_on(tmp_path / "q.db")
        await one.open()
        await two.open()
        heard: list[int] = []
        stop = one.listen("q", lambda: heard.append(1))
        left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        left.bind(str(tmp_path / "q.db-wake" / "1-dead"))
        left.close()
        await two.execute([ops.Publish("q", [HI])])
        await until(lambda: bool(heard))
        assert len(os.listdir(tmp_path / "q.db-wake")) == 1
        stop()
        await one.close()
        assert os.listdir(tmp_path / "q.db-wake") == []
        await two.close()

    run(work())


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 60) / "e"
    folder = wake.folder_for(str(long / "q.db"))
    assert folder == wake.folder_for(str(long / "q.db"))
    assert len(folder) < 80
    assert not folder.startswith(str(tmp_path))
    assert wake.folder_for("/x/q.db") == "/x/q.db-wake"


def test_datagrams() -> None:
    tokens = {"a": (1, 2), "b.c-d_e": (3, 4)}
    assert wake.decode(wake.encode(tokens)) == tokens
    many = {f"queue-{n}": (n, n) for n in range(5000)}
    assert wake.encode(many) == wake.ANY
    for strange in (wake.ANY, b"", b"a b", b"\xff", b"a 1 x", b"a 1 2 3"):
        assert wake.decode(strange) is None


# Sharing.


def test_two_backends_see_each_other(tmp_path: Path) -> None:
    async def work() -> None:
        one, two = backend_on(tmp_path / "q.db"), backend_on(tmp_path / "q.db")
        await one.open()
        await two.open()
        await one.execute([ops.Configure("q", {"max_deliveries": 1}), ops.Publish("q", [HI] * 3)])
        [policy] = await two.execute([ops.Describe("q")])
        assert policy.max_deliveries == 1
        [taken] = await two.execute([ops.Take("q", 2)])
        mine, other = taken.leases
        # A lease object is good where it was taken, its receipt everywhere.
        settle = [
            ops.Settlement(mine, ops.Outcome.ACK),
            ops.Settlement(other.receipt, ops.Outcome.ACK),
        ]
        [[lost, done]] = await one.execute([ops.Settle("q", settle)])
        assert isinstance(lost, LeaseLost)
        assert done is None
        [verdicts] = await two.execute([ops.Settle("q", settle[:1])])
        assert verdicts == [None]
        [[one_stats], [two_stats]] = [await each.execute([ops.Stats("q")]) for each in (one, two)]
        assert one_stats == two_stats
        assert (one_stats.acked, one_stats.ready, one_stats.stale) == (2, 1, 1)
        await one.execute([ops.Delete("q"), ops.Publish("q", [HI])])
        [lost_again] = await two.execute([ops.Settle("q", settle[1:])])
        assert isinstance(lost_again[0], LeaseLost)
        await one.close()
        await two.close()

    run(work())


def test_many_processes_share_the_work(tmp_path: Path) -> None:
    """Nothing is lost or doubled, and nobody ever hears that the database is locked."""
    program = """
        async def work():
            backend = SqliteBackend(sys.argv[1], min_free=0, synchronous="normal")
            async with Broker(backend) as broker:
                queue = broker.queue("q")
                done = []
                async def consume():
                    while (await queue.stats()).acked < 400:
                        while (delivery := await queue.get(wait=0.3)) is not None:
                            done.append(delivery.text())
                            await delivery.ack()
                async def produce():
                    for n in range(100):
                        await queue.publish(f"{os.getpid()}-{n}")
                await asyncio.gather(produce(), *(consume() for _ in range(4)))
                print(*done)
        asyncio.run(work())
        """
    processes = [python(tmp_path / "q.db", program, stdout=subprocess.PIPE) for _ in range(4)]
    done: list[str] = []
    for process in processes:
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0
        done += output.split()
    expected = [f"{process.pid}-{n}" for process in processes for n in range(100)]
    assert sorted(done) == sorted(expected)
    assert sound(tmp_path / "q.db")


def sound(path: Path) -> bool:
    other = sqlite3.connect(path)
    try:
        return other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        other.close()


# Forking.


def test_a_forked_child_is_told_and_harms_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        one = backend_on(tmp_path / "q.db")
        await one.open()
        await one.execute([ops.Publish("q", [HI])])
        child = os.fork()
        if child == 0:
            os._exit(in_child(one))
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        [taken] = await one.execute([ops.Take("q", 5)])
        assert len(taken.leases) == 1
        await one.close()
        assert sound(tmp_path / "q.db")

    run(work())


def in_child(inherited: SqliteBackend) -> int:
    """0 if each use is refused."""
    refused = 0
    try:
        inherited.listen("q", lambda: None)
    except BackendUnavailable:
        refused += 1
    for call in (inherited.execute([ops.Queues()]), inherited.open(), inherited.close()):
        try:
            call.send(None)
        except BackendUnavailable as error:
            refused += "fork" in str(error)
        except StopIteration:
            pass  # closing has nothing to do
    return 0 if refused == 3 else 1


# Dying.


def test_kill_9(tmp_path: Path) -> None:
    """What was answered is there, what was acknowledged stays away, and the file is whole."""
    program = """
        async def work():
            async with Broker(SqliteBackend(sys.argv[1], min_free=0)) as broker:
                queue = broker.queue("q", lease=3600)
                async def loop(n):
                    while True:
                        one = await queue.publish(str(n))
                        print("p", one.id, flush=True)
                        delivery = await queue.get(wait=0)
                        if delivery is not None and n % 2:
                            print("t", delivery.id, flush=True)
                            await delivery.ack()
                            print("a", delivery.id, flush=True)
                await asyncio.gather(*(loop(n) for n in range(4)))
        asyncio.run(work())
        """
    published: set[str] = set()
    tried: set[str] = set()
    acked: set[str] = set()
    for cycle in range(20):
        process = python(tmp_path / "q.db", program, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process:
            for count, line in enumerate(process.stdout):
                if line.endswith("\n"):  # the last one may be torn
                    {"p": published, "t": tried, "a": acked}[line[0]].add(line[2:].strip())
                if count == 10 + 13 * cycle:
                    process.send_signal(signal.SIGKILL)
    assert len(acked) > 100
    other = sqlite3.connect(tmp_path / "q.db")
    count = other.execute("SELECT count(*) FROM messages").fetchall()[0][0]
    other.close()

    async def work() -> None:
        async with Broker(backend_on(tmp_path / "q.db")) as broker:
            queue = broker.queue("q")
            kept: set[str] = set()
            after: str | None = None
            while page := await queue.browse(after=after, limit=1000):
                kept |= {message.id for message in page}
                after = page[-1].id
            assert not kept & acked, "acknowledged, and back again"
            assert published - tried <= kept, "published, and lost"
            figures = await queue.stats()
            assert len(kept) == count == figures.ready + figures.leased

    run(work())
    assert sound(tmp_path / "q.db")
