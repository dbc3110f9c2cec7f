"""Publishers and consumers on one store, made to be killed.

This is a program, run by ``nursery``: it imports everything once and then forks a worker for each
line of its input, ``role name url``, and prints the worker's process id. (Forking a process with
threads or an event loop would be asking for trouble; this one has neither.) Workers write their
history to the file descriptor given, a pipe to whoever started the nursery. Lines are shorter than
the 4,096 bytes which a pipe takes in one piece (POSIX), so a kill cuts none in two and none are
mixed.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
import warnings
from collections.abc import Callable

from supersoniq.backends import remote, sqlite
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable, OutcomeUnknown, SupersoniqError
from supersoniq.core.ids import parse_id
from supersoniq.core.messages import Lease, prepare
from supersoniq.core.ops import AnyOp, Outcome, Settlement
from supersoniq.core.states import Status
from supersoniq.port import Backend
from supersoniq.testing.recorder import Recorder

QUEUE = "q"
LEASE = 0.5
POLICY = {"lease": LEASE, "max_deliveries": 0, "keep_dead": 86_400}
STORES: dict[str, Callable[[str], Backend]] = {
    "sqlite": sqlite.connect, "http": remote.connect, "ws": remote.connect,
}  # fmt: skip
"""Without the registry: a worker that looks for plugins first would be killed before it works."""


async def do(backend: Backend, op: AnyOp) -> object:
    """One operation's answer, or its error raised."""
    (answer,) = await backend.execute([op])
    if isinstance(answer, SupersoniqError):
        raise answer
    return answer


async def publish_for_ever(backend: Backend, recorder: Recorder, name: str) -> None:
    rng = random.Random(name)
    made = 0
    while True:
        messages = []
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            made += 1
            key = f"{name}-{made}" if rng.random() < 0.3 else None
            content = f"{name}-{made}"
            messages.append({"content": content, "key": key, "priority": rng.choice((0, 0, 1, 5))})
        # A key twice, by this very publisher: the second one must be told as a duplicate.
        for _ in range(rng.choice((1, 2)) if any(m["key"] for m in messages) else 1):
            number = recorder.invoke("publish", messages=messages)
            entries = [prepare(m["content"], m["priority"], key=m["key"]) for m in messages]  # type: ignore[arg-type]
            try:
                answer = await do(backend, ops.Publish(QUEUE, entries))
            except BackendUnavailable as error:
                recorder.refused(number, str(error))
                break
            except OutcomeUnknown:
                break
            assert isinstance(answer, list)
            ids, duplicates = [p.id for p in answer], [p.duplicate for p in answer]
            recorder.ok(number, ids=ids, duplicates=duplicates)
            messages = [m for m in messages if m["key"]]
        await asyncio.sleep(rng.random() * 0.002)


async def consume_for_ever(backend: Backend, recorder: Recorder, name: str) -> None:
    rng = random.Random(name)
    while True:
        leases = await take(backend, recorder, rng.choice((1, 2, 8)))
        for lease in leases:
            fate = rng.random()
            if fate < 0.85:
                await settle(backend, recorder, lease, Outcome.ACK)
            elif fate < 0.90:
                await settle(backend, recorder, lease, Outcome.NACK, rng.choice((0, 20)))
            elif fate < 0.92:
                await settle(backend, recorder, lease, Outcome.REJECT)
            elif fate < 0.95 and await settle(backend, recorder, lease, Outcome.EXTEND):
                await settle(backend, recorder, lease, Outcome.ACK)
            # else: left to lapse
        if not leases:
            await asyncio.sleep(0.002)


async def take(backend: Backend, recorder: Recorder, limit: int) -> list[Lease]:
    """Take and record."""
    number = recorder.invoke("take")
    try:
        taken = await do(backend, ops.Take(QUEUE, limit))
    except BackendUnavailable as error:
        recorder.refused(number, str(error))
        return []
    except OutcomeUnknown:
        return []
    assert isinstance(taken, ops.Taken)
    told = []
    for lease in taken.leases:
        seen = lease.message()
        told.append(
            {
                "id": seen.id, "receipt": lease.receipt, "content": seen.content.decode(),
                "attempt": lease.attempt, "deadline": lease.deadline, "priority": seen.priority,
            }
        )  # fmt: skip
    recorder.ok(number, leases=told)
    return taken.leases


async def settle(
    backend: Backend, recorder: Recorder, lease: Lease, outcome: Outcome, delay: int = 0
) -> bool:
    """Settle and record; says whether it was done."""
    receipt = lease.receipt
    number = recorder.invoke(str(outcome), id=lease.message().id, receipt=receipt)
    settlement = Settlement(receipt, outcome, delay=delay)
    try:
        verdicts = await do(backend, ops.Settle(QUEUE, [settlement]))
    except BackendUnavailable as error:
        recorder.refused(number, str(error))
        return False
    except OutcomeUnknown:
        return False
    assert isinstance(verdicts, list)
    if isinstance(verdicts[0], SupersoniqError):
        recorder.refused(number, str(verdicts[0]))
        return False
    recorder.ok(number, **({} if verdicts[0] is None else {"deadline": verdicts[0]}))
    return True


async def drain(backend: Backend, recorder: Recorder) -> None:
    """Take and ack all that is left, and write down what is there in the end."""
    end = time.monotonic() + 2 * LEASE + 1
    while time.monotonic() < end:
        leases = await take(backend, recorder, 20)
        for lease in leases:
            await settle(backend, recorder, lease, Outcome.ACK)
        if leases:
            end = max(end, time.monotonic() + 2 * LEASE)
        else:
            await asyncio.sleep(0.05)
    left: dict[Status, list[str]] = {status: [] for status in Status}
    after = None
    while page := await do(backend, ops.Browse(QUEUE, None, after, 1000)):
        assert isinstance(page, list)
        for message in page:
            left[message.status].append(message.id)
        after = parse_id(page[-1].id)
    assert not left[Status.READY]
    assert not left[Status.LEASED]
    assert not left[Status.SCHEDULED]
    recorder.final(ready=[], dead=left[Status.DEAD])


async def work(url: str, role: str, name: str, pipe: int) -> None:
    """Open the store and go on until killed."""
    recorder = Recorder(os.fdopen(pipe, "w"), name)
    backend = STORES[url.partition(":")[0]](url)
    await backend.open()
    await do(backend, ops.Configure(QUEUE, POLICY))
    forever = publish_for_ever if role == "publish" else consume_for_ever
    await forever(backend, recorder, name)


def main() -> None:
    """The nursery."""
    pipe = int(sys.argv[1])
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        while True:  # those killed meanwhile
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break
        role, name, url = line.split()
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            asyncio.run(work(url, role, name, pipe))
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main()
