"""What goes wrong between a process and its server, and that nobody is told a lie about it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from supersoniq.backends.redis import RedisBackend, connect
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, Closed, LeaseLost, OutcomeUnknown
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Message, prepare
from supersoniq.core.ops import Outcome, Settlement
from tests.backends.redis_server import RedisServer, needs_server, shared, store_prefix, until
from tests.backends.redis_work import contents, put
from tests.ports import free_port

pytestmark = needs_server


def on_shared(work: Callable[[RedisBackend], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = connect(shared().url, prefix=store_prefix())
        await backend.open()
        try:
            await work(backend)
        finally:
            await backend.close()

    asyncio.run(main())


# Callers that go away.


def test_no_answer_reaches_the_wrong_caller_when_callers_are_cancelled() -> None:
    dice = random.Random(1)

    async def look(backend: RedisBackend, number: int) -> None:
        [message] = await backend.execute([ops.Look("q", number)])
        assert isinstance(message, Message)
        assert parse_id(message.id) == number

    async def work(backend: RedisBackend) -> None:
        numbers = [await put(backend, b"%d" % n) for n in range(20)]
        for _ in range(150):
            tasks = [asyncio.create_task(look(backend, dice.choice(numbers))) for _ in range(12)]
            for task in tasks[::2]:
                for _ in range(dice.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            wrong = [e for e in done if e and not isinstance(e, asyncio.CancelledError)]
            assert wrong == []

    on_shared(work)


def test_a_link_whose_caller_is_cancelled_keeps_questions_and_answers_together() -> None:
    """Below the shield of ``execute`` as well: at every step of the event loop."""

    async def work(backend: RedisBackend) -> None:
        connections = await backend._nodes.link_of("")
        for steps in range(60):
            task = asyncio.create_task(connections.run([("ECHO", f"lost {steps}")]))
            for _ in range(steps % 20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert await connections.run([("ECHO", f"kept {steps}")]) == [b"kept %d" % steps]

    on_shared(work)


def test_what_a_cancelled_caller_published_is_there_once_or_not_at_all() -> None:
    async def work(backend: RedisBackend) -> None:
        for n in range(60):
            task = asyncio.create_task(put(backend, b"%d" % n))
            for _ in range(n % 12):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await backend.execute([ops.Resume("q")])
        seen = await contents(backend)
        assert len(seen) == len(set(seen))

    on_shared(work)


def test_closing_finishes_what_is_under_way() -> None:
    async def main() -> None:
        prefix = store_prefix()
        backend = connect(shared().url, prefix=prefix)
        await backend.open()
        tasks = [asyncio.create_task(put(backend, b"%d" % n)) for n in range(20)]
        await asyncio.sleep(0)
        await backend.close()
        assert len(await asyncio.gather(*tasks)) == 20
        with pytest.raises(Closed):
            await backend.execute([ops.Queues()])

    asyncio.run(main())


def test_a_server_that_says_nothing_any_more() -> None:
    """Calls end in their time, and nobody claims to know what became of them."""

    async def main() -> None:
        with RedisServer() as server:
            backend = connect(server.url)
            await backend.open()
            await put(backend, b"x")
            (await backend._nodes.link_of(""))._patience = 0.3  # only now: it takes a while to open
            with server.client() as client:
                client.execute_command("CLIENT", "PAUSE", 60_000, "ALL")
            operations = [ops.Publish("q", [prepare(b"y")]), ops.Stats("q")]
            published, stats = await backend.execute(operations)
            assert isinstance(published, OutcomeUnknown)
            assert isinstance(stats, BackendUnavailable)
            server.kill()
            [published] = await backend.execute([ops.Publish("q", [prepare(b"z")])])
            assert isinstance(published, BackendUnavailable)
            await backend.close()

    asyncio.run(main())


# A server that forgets.


def test_scripts_that_the_server_forgot_are_brought_again() -> None:
    async def work(backend: RedisBackend) -> None:
        await put(backend, b"first")
        for _ in range(3):
            with shared().client() as client:
                client.script_flush()
            batch = [ops.Publish("q", [prepare(b"x")]), ops.Take("q"), ops.Stats("q")]
            published, taken, stats = await backend.execute(batch)
            assert len(published) == len(taken.leases) == 1
            assert stats.published >= 1

    on_shared(work)


def test_a_server_that_was_emptied_is_a_new_store() -> None:
    """And all who are connected to it agree about it again."""

    async def main() -> None:
        with RedisServer() as server:
            one, other = connect(server.url), connect(server.url)
            await one.open()
            await other.open()
            await put(one, b"old")
            [taken] = await other.execute([ops.Take("q")])
            with server.client() as client:
                client.flushall()
            assert await one.execute([ops.Queues()]) == [[]]
            await put(one, b"new")
            [verdicts] = await other.execute(
                [ops.Settle("q", [Settlement(taken.leases[0], Outcome.ACK)])]
            )
            assert type(verdicts[0]).__name__ == "LeaseLost"
            [taken] = await other.execute([ops.Take("q")])
            [lease] = taken.leases
            assert lease.message().content == b"new"
            ack = ops.Settle("q", [Settlement(lease.receipt, Outcome.ACK)])
            assert await one.execute([ack]) == [[None]]
            await one.close()
            await other.close()

    asyncio.run(main())


def test_a_key_of_another_kind_is_an_error_and_not_the_end() -> None:
    prefix = store_prefix()

    async def main() -> None:
        backend = connect(shared().url, prefix=prefix)
        await backend.open()
        with shared().client() as client:
            client.set(f"{prefix}:{{q}}:queue", "not a hash")
        answers = await backend.execute([ops.Publish("q", [prepare(b"x")]), ops.Stats("q")])
        assert [type(answer) for answer in answers] == [OutcomeUnknown, BackendUnavailable]
        assert "WRONGTYPE" in str(answers[0])
        await put(backend, b"x", "other")
        await backend.close()

    asyncio.run(main())


@pytest.mark.parametrize("outcome", [Outcome.ACK, Outcome.REJECT, Outcome.EXTEND])
def test_a_receipt_of_what_a_failover_forgot_settles_nothing_else(outcome: Outcome) -> None:
    """Its sequence and its term are given out again: to another message."""

    async def main() -> None:
        with RedisServer(port=free_port()) as server, RedisServer() as successor:
            old, new = connect(server.url), connect(successor.url)
            await old.open()
            await put(old, b"kept")
            with successor.client() as client:
                client.replicaof("127.0.0.1", str(server.port))
                with server.client() as main:
                    await until(lambda: main.wait(1, 1000) == 1)
                await until(lambda: client.info("replication")["master_link_status"] == "up")
                client.replicaof("NO", "ONE")
            await put(old, b"forgotten")
            [taken] = await old.execute([ops.Take("q", 2)])
            await asyncio.sleep(0.005)  # made in another millisecond
            await new.open()
            await put(new, b"other")
            [again] = await new.execute([ops.Take("q", 2)])
            assert [lease.message().content for lease in again.leases] == [b"kept", b"other"]
            settlement = Settlement(taken.leases[1].receipt, outcome)
            [[verdict]] = await new.execute([ops.Settle("q", [settlement])])
            assert isinstance(verdict, LeaseLost)
            acks = [Settlement(lease, Outcome.ACK) for lease in again.leases]
            assert await new.execute([ops.Settle("q", acks)]) == [[None, None]]
            await old.close()
            await new.close()

    asyncio.run(main())
