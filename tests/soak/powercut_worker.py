"""Publishes, takes and acks on one SQLite file, under strace: see ``powercut``."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import warnings
from pathlib import Path

from supersoniq.backends.sqlite import SqliteBackend
from supersoniq.core import ops
from supersoniq.core.messages import prepare
from supersoniq.core.ops import Outcome
from supersoniq.testing.recorder import Recorder
from tests.soak import workers


async def main() -> None:
    folder, synchronous, calls, seed = sys.argv[1:]
    rng = random.Random(int(seed))
    backend = SqliteBackend(Path(folder) / "q.db", synchronous=synchronous)  # type: ignore[arg-type]
    await backend.open()
    with (Path(folder) / "history").open("w") as stream:
        recorder = Recorder(stream, "w")
        for n in range(int(calls)):
            if n % 2 == 0:
                # Some are longer than a page, so that the log fills and is checkpointed.
                count = rng.choice((1, 3))
                contents = [b"%d" % n * rng.choice((1, 100, 2500)) for _ in range(count)]
                entries = [prepare(content, rng.choice((0, 1))) for content in contents]
                number = recorder.invoke("publish")
                answer = await workers.do(backend, ops.Publish(workers.QUEUE, entries))
                assert isinstance(answer, list)
                recorder.ok(number, ids=[published.id for published in answer])
                continue
            taken = await workers.do(backend, ops.Take(workers.QUEUE, rng.choice((1, 3))))
            assert isinstance(taken, ops.Taken)
            for lease in taken.leases:
                outcome = Outcome.ACK if rng.random() < 0.9 else Outcome.NACK
                await workers.settle(backend, recorder, lease, outcome)
    os._exit(0)  # without closing: the power goes


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
