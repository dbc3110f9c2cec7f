"""A WebSocket's peer that says anything at any time, and one that is none of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

import supersoniq
from supersoniq import BackendUnavailable, OutcomeUnknown
from supersoniq.backends.remote import socket
from supersoniq.core import ops
from supersoniq.core.errors import InvalidArgument

WELCOME = {
    "type": "welcome",
    "server": "supersoniq",
    "version": "9",
    "durability": "disk",
    "limits": {"max_frame": 1000, "max_batch": 10, "max_batch_body": 1000, "news": 1},
    "news": [1],
}
pack = msgspec.msgpack.encode


def test_under_a_prefix() -> None:
    paths: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        paths.append(connection.request.path)
        await connection.send(pack(WELCOME))
        await connection.wait_closed()

    async def main() -> None:
        protocols = [Subprotocol("supersoniq.v1.msgpack")]
        async with serve(handle, "127.0.0.1", 0, subprotocols=protocols) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with supersoniq.connect(f"ws://127.0.0.1:{port}/at/prefix/"):
                pass

    asyncio.run(main())
    assert paths == ["/at/prefix/ws"]


Script = Callable[[ServerConnection, Any], Awaitable[None]]


async def against(script: Script, **options: Any) -> Any:
    """What an operation gives if the server answers it like that."""

    async def handle(connection: ServerConnection) -> None:
        await connection.send(pack(WELCOME))
        async for frame in connection:
            await script(connection, msgspec.msgpack.decode(frame))  # type: ignore[arg-type]

    protocols = [Subprotocol("supersoniq.v1.msgpack")]
    async with serve(handle, "127.0.0.1", 0, subprotocols=protocols, close_timeout=0.1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with supersoniq.connect(f"ws://127.0.0.1:{port}", patience=0, **options) as broker:
            assert broker.backend.capabilities.durability == "disk"
            (result,) = await broker.backend.execute([ops.Purge("q")])
            return result


def problem(status: int, code: str) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        told = {"status": status, "code": code, "detail": "so", "data": {}, "retry": False}
        await connection.send(pack({"type": "error", "id": asked["id"], "problem": told}))

    return script


def frame(**fields: Any) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        await connection.send(pack({"id": asked["id"], **fields}))

    return script


def raw(data: bytes | str) -> Script:
    async def script(connection: ServerConnection, asked: Any) -> None:
        await connection.send(data)

    return script


async def closes(connection: ServerConnection, asked: Any) -> None:
    await connection.close(1001)


async def breaks_off(connection: ServerConnection, asked: Any) -> None:
    connection.transport.abort()


async def says_goodbye(connection: ServerConnection, asked: Any) -> None:
    bye = {"type": "bye", "code": 4429, "reason": "x", "detail": "full", "unanswered": 0}
    await connection.send(pack(bye))
    await connection.close(4429)


async def owes_an_answer(connection: ServerConnection, asked: Any) -> None:
    await connection.send(pack({"type": "bye", "code": 1001, "reason": "x", "unanswered": 1}))
    await connection.close(1001)


async def in_pieces(connection: ServerConnection, asked: Any) -> None:
    whole = pack({"type": "ok", "id": asked["id"], "at": 1, "results": [{"ok": 7}]})
    await connection.send(pack({"type": "news", "id": "other", "what": 1}))
    await connection.send(pack({"type": "ok", "id": 99}))
    await connection.send(whole[i : i + 1] for i in range(len(whole)))


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (problem(503, "closed"), BackendUnavailable),
        (problem(500, "internal-error"), OutcomeUnknown),
        (problem(504, "outcome-unknown"), OutcomeUnknown),
        (problem(403, "permission-denied"), supersoniq.PermissionDenied),
        (problem(400, "invalid-argument"), InvalidArgument),
        (frame(type="ok"), OutcomeUnknown),
        (frame(type="what"), OutcomeUnknown),
        (frame(type="ok", results=7), OutcomeUnknown),
        (frame(type="ok", at=1, results=[{"ok": "x"}]), OutcomeUnknown),
        (raw(b"\xc1"), OutcomeUnknown),
        (raw(b""), OutcomeUnknown),
        (raw("text"), OutcomeUnknown),
        (closes, OutcomeUnknown),
        (breaks_off, OutcomeUnknown),
        (says_goodbye, BackendUnavailable),
        (owes_an_answer, OutcomeUnknown),
        (in_pieces, int),
    ],
)
def test_strange_answers(script: Script, kind: type) -> None:
    result = asyncio.run(against(script))
    assert type(result) is kind, result


def test_a_frame_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "LARGEST", 1000)
    result = asyncio.run(against(raw(b"x" * 1001)))
    assert isinstance(result, OutcomeUnknown)
    assert "1001" in str(result) or "exceeds" in str(result)


def test_a_peer_that_falls_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by a ping that is not answered, long before the request's own time is over."""
    monkeypatch.setattr(socket, "SILENCE", 0.1)

    async def falls(connection: ServerConnection, asked: Any) -> None:
        connection.transport.pause_reading()

    result = asyncio.run(against(falls, timeout=60))
    assert isinstance(result, OutcomeUnknown)
    assert "not a word" in str(result)
