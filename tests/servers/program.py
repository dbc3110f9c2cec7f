"""``supersoniq serve`` as a process of its own, with a certificate that the clients here trust."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from tests.servers.http2 import Running, authority


class Program(Running):
    """A server process."""

    def __init__(self, process: Process, said: dict[str, Any]) -> None:
        url = said["url"]
        super().__init__(cast(Any, None), int(url.rpartition(":")[2]), url.startswith("https"))
        self.process = process
        self.said = said
        self.told = ""
        """What it has written to standard error, once it is over."""

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def over(self, seconds: float = 60) -> int:
        """Wait for its end; gives the exit status."""
        _, err = await asyncio.wait_for(self.process.communicate(), seconds)
        self.told = said(err)
        assert self.process.returncode is not None
        return self.process.returncode


def said(err: bytes) -> str:
    """What a program has written to standard error, but that the store took long.

    That is a busy machine's fault, and so told in any test.
    """
    lines = err.decode().splitlines(keepends=True)
    return "".join(line for line in lines if "the store took long" not in line)


def certificate(folder: Path) -> str:
    """A chain with its key, for localhost."""
    path = folder / "chain.pem"
    pair = authority().issue_cert("localhost", "127.0.0.1")
    pair.private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


@asynccontextmanager
async def running(
    folder: Path, *words: str, secure: bool = False, store: str | None = None
) -> AsyncIterator[Program]:
    """Run it on a store, or on a file in a folder."""
    tls = ("--certfile", certificate(folder)) if secure else ()
    store = store or f"sqlite:///{folder}/store.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "supersoniq",
        "serve", "--port", "0", "--backend", store, *tls, *words,
        stdout=PIPE, stderr=PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert line, (await process.stderr.read()).decode()
        yield Program(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
