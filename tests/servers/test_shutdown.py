"""SIGTERM to a real server, with clients of every kind."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

import supersoniq
from tests.servers import guests
from tests.servers.guests import POLITE, QUIC, RUDE, RUDE_QUIC, TLS, Guest
from tests.servers.http2 import Running, run
from tests.servers.program import running

CUT = "did not end within the grace time: cut"


async def fill(folder: Path) -> None:
    """One message for whoever works, and much for whoever does not read."""
    async with supersoniq.connect(f"sqlite:///{folder}/store.db") as broker:
        await broker.queue("q", max_deliveries=1).publish("work")
        await broker.queue("large").publish_many([bytes(500_000) for _ in range(4)])


async def nothing_is_held(folder: Path) -> None:
    async with supersoniq.connect(f"sqlite:///{folder}/store.db") as broker:
        for name in ("q", "large"):
            stats = await broker.queue(name).stats()
            assert (stats.leased, stats.dead) == (0, 0)


async def nobody_is_let_in(server: Running) -> None:
    """Wait until it does not listen any more."""
    async with asyncio.timeout(30):
        with suppress(ConnectionRefusedError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.transport.abort()
                await asyncio.sleep(0.02)


def cases(*kinds: Guest) -> list[object]:
    return [
        pytest.param(kind, secure, id=f"{kind.__name__}-{'tls' if secure else 'clear'}")
        for kind in kinds
        for secure in ((True,) if kind in (*TLS, *QUIC, *RUDE_QUIC) else (False, True))
    ]


def visit(folder: Path, secure: bool, grace: int, *kinds: Guest, then: int = 0) -> str:
    """Let guests in, stop the server, and see them out. Gives what the server has to say."""

    async def main() -> str:
        await fill(folder)
        how = ("--grace", str(grace))
        async with running(folder, *how, secure=secure) as server:
            async with AsyncExitStack() as inside:
                for kind in kinds:
                    await inside.enter_async_context(kind(server))
                server.signal()
                if then:
                    await nobody_is_let_in(server)  # the first one has come
                    server.signal(then)
                code = await server.over()
                assert code == 0, server.told
            await nothing_is_held(folder)
            return server.told

    return run(main)


@pytest.mark.parametrize(("kind", "secure"), cases(*POLITE, *TLS, *QUIC))
def test_who_is_told_to_go_holds_nobody_up(kind: Guest, secure: bool, tmp_path: Path) -> None:
    assert visit(tmp_path, secure, 30, kind) == ""


@pytest.mark.parametrize(("kind", "secure"), cases(*RUDE, *RUDE_QUIC))
def test_who_does_not_go_is_cut_after_the_grace(kind: Guest, secure: bool, tmp_path: Path) -> None:
    assert CUT in visit(tmp_path, secure, 1, kind)


def test_all_of_them_at_once(tmp_path: Path) -> None:
    alone = (guests.worker, guests.deaf_worker, guests.h2_worker, guests.h3_worker)
    polite = [kind for kind in (*POLITE, *TLS, *QUIC) if kind not in alone]
    told = visit(tmp_path, True, 2, *polite, *RUDE, *RUDE_QUIC)
    assert CUT in told
    assert "Traceback" not in told


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(second: int, tmp_path: Path) -> None:
    told = visit(tmp_path, True, 600, *RUDE, *RUDE_QUIC, then=second)
    assert "told to stop again" in told
    assert "Traceback" not in told
