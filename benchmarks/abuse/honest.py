"""Honest clients, one through each door, and how long they wait.

Each does the work of a queue: publish a message, lease it, acknowledge it. That takes three
requests over HTTP, and two frames of a WebSocket; the time of the whole is what is told.

As a program it takes words on its standard input. ``go`` opens the doors and begins, and is
answered when each has been through once; ``stop`` closes them and is answered with the times.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from typing import Any

from websockets.exceptions import WebSocketException

from benchmarks.abuse import doors
from benchmarks.abuse.serving import ROOT

__all__ = ["DOORS", "Honest", "Times", "beside"]

PAUSE = 0.01
"""Seconds between two messages of a door."""
PATIENCE = 60.0
"""Seconds after which a message that does not come counts as lost, and the door is opened anew."""

SOMETHING = 10.0
"""Seconds that each has to get something done, though an attack be over sooner."""

Times = dict[str, dict[str, Any]]
"""For each door: ``waited``, milliseconds for each message, and ``failed``, what went wrong."""


class Walk:
    """What one honest client does over and over again."""

    def __init__(self, name: str, port: int) -> None:
        self.queue = f"honest-{name}"
        self.port = port

    @asynccontextmanager
    async def http(self, door: Callable[..., Any]) -> AsyncIterator[Callable[[], Any]]:
        async with door(self.port) as ask:

            async def call(path: str, value: Any) -> Any:
                status, body = await ask("POST", f"/queues/{self.queue}/{path}", json.dumps(value))
                if status >= 300:
                    raise OSError(f"{path}: {status} {body[:100]!r}")
                return json.loads(body)

            async def once() -> None:
                await call("messages", {"content": "honest"})
                held = await call("leases", {"limit": 10, "wait": 30})
                done = [{"receipt": each["receipt"], "outcome": "ack"} for each in held]
                if not done:
                    raise OSError("a message did not come")
                await call("settlements", done)

            yield once

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Callable[[], Any]]:
        from websockets.asyncio.client import connect
        from websockets.typing import Subprotocol

        names = [Subprotocol("supersoniq.v1.json")]
        url = f"wss://127.0.0.1:{self.port}/ws"
        async with connect(url, ssl=doors.tls(), subprotocols=names, close_timeout=1) as line:

            async def hear(field: str) -> Any:
                while True:
                    frame = json.loads(await line.recv())
                    if field in frame:
                        return frame[field]
                    if frame["type"] in ("error", "bye"):
                        raise OSError(json.dumps(frame))

            async def once() -> None:
                message = {"content": "honest"}
                publish = {"type": "publish", "id": 2, "queue": self.queue, "messages": [message]}
                await line.send(json.dumps(publish))
                told = await hear("messages")
                done = [{"receipt": each["receipt"], "outcome": "ack"} for each in told]
                settle = {"type": "settle", "id": 3, "queue": self.queue, "settlements": done}
                await line.send(json.dumps(settle))
                if not all(each["ok"] for each in await hear("verdicts")):
                    raise OSError("a message could not be acknowledged")

            subscribe = {"type": "subscribe", "id": 1, "queue": self.queue}
            await line.send(json.dumps({**subscribe, "mode": "work", "credit": 10}))
            yield once


def _door(name: str, port: int) -> AbstractAsyncContextManager[Callable[[], Any]]:
    walk = Walk(name, port)
    return walk.socket() if name == "ws" else walk.http(DOORS[name])


DOORS: dict[str, Any] = {"h1": doors.http1, "h2": doors.http2, "h3": doors.http3, "ws": None}


async def _keep_on(name: str, port: int, times: dict[str, Any], begun: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.timeout(PATIENCE) as limit, _door(name, port) as once:
                while True:
                    started = time.perf_counter()
                    limit.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                    await once()
                    if begun.is_set():
                        times["waited"].append(1000 * (time.perf_counter() - started))
                    begun.set()
                    await asyncio.sleep(PAUSE)
        except (OSError, EOFError, RuntimeError, WebSocketException) as error:
            times["failed"].append(f"{type(error).__name__}: {error}"[:200])
            await asyncio.sleep(0.1)


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()

    async def word() -> str:
        line: str = await loop.run_in_executor(None, sys.stdin.readline)
        return line.strip()

    while await word() == "go":
        times: Times = {name: {"waited": [], "failed": []} for name in DOORS}
        begun = {name: asyncio.Event() for name in DOORS}
        tasks = [
            asyncio.create_task(_keep_on(name, port, times[name], begun[name])) for name in DOORS
        ]
        for each in begun.values():
            await each.wait()
        enough = loop.time() + SOMETHING
        print("going", flush=True)
        await word()
        while not all(each["waited"] for each in times.values()) and (  # noqa: ASYNC110
            loop.time() < enough
        ):
            await asyncio.sleep(0.05)
        left = set(tasks)
        while left:  # wait_for of Python 3.11 may lose a cancellation
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=1)
        print(json.dumps(times), flush=True)


class Honest:
    """The process with the honest clients."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def go(self) -> None:
        """Begin; gives when each has been through once."""
        if self._say("go") != "going\n":
            raise RuntimeError("the honest clients do not come in")

    def stop(self) -> Times:
        """End, and tell how it was."""
        times: Times = json.loads(self._say("stop"))
        return times

    def _say(self, word: str) -> str:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{word}\n")
        stdin.flush()
        return stdout.readline()


@contextmanager
def beside(port: int) -> Iterator[Honest]:
    """Run the honest clients until the block ends."""
    command = [sys.executable, "-m", "benchmarks.abuse.honest", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Honest(process)
        finally:
            process.kill()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1])))
