"""Requests over HTTP/3, as an app sees them and as a client does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests import steady
from tests.servers.h3_client import Answer, request_head, serving, until, visiting


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    fields = [(b"X-Method", scope["method"].encode()), (b"x-path", scope["path"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def test_requests_and_answers(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(echo, tmp_path) as server, visiting(server) as client:
            answers = await asyncio.gather(
                *(client.request("POST", f"/{n}", b"x" * n) for n in (1, 70_000, 300_000, 5))
            )
            for answer, n in zip(answers, (1, 70_000, 300_000, 5), strict=True):
                assert answer.status == 200
                assert answer.fields[b"x-method"] == b"POST"
                assert answer.fields[b"x-path"] == f"/{n}".encode()
                assert answer.content == b"x" * n
                assert b"date" in answer.fields
            empty = await client.request("GET", "/")
            assert (empty.status, empty.content) == (200, b"")

    steady.run(main())


def test_what_an_app_is_told(tmp_path: Path) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            fields = [(b"cookie", b"a=1"), (b"x-a", b"\xff"), (b"cookie", b"b=2")]
            answer = await client.request("GET", "/caf%C3%A9/%2F?q=%20&r", fields=fields)
            assert answer.status == 200
            scope = seen[0]
            assert scope["type"] == "http"
            assert (scope["http_version"], scope["scheme"]) == ("3", "https")
            assert scope["path"] == "/café//"
            assert scope["raw_path"] == b"/caf%C3%A9/%2F"
            assert scope["query_string"] == b"q=%20&r"
            assert scope["headers"] == [
                (b"host", b"localhost"),
                (b"x-a", b"\xff"),
                (b"cookie", b"a=1; b=2"),
            ]
            assert scope["server"] == ("127.0.0.1", server.port)
            assert scope["client"][0] == "127.0.0.1"

    steady.run(main())


def test_head_and_trailers_and_pieces(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "trailers": True}
        # aioquic's client takes a length for a fault when nothing follows, even after a HEAD.
        fields = [(b"content-length", b"6")] if scope["method"] == "GET" else []
        await send({**start, "headers": fields})
        for piece in (b"one", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": piece == b"one"})
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"42")]})

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            answer = await client.request("GET", "/")
            assert (answer.content, answer.trailers) == (b"onetwo", {b"x-sum": b"42"})
            head = await client.request("HEAD", "/")
            assert (head.status, head.content) == (200, b"")

    steady.run(main())


def test_trailers_of_a_request_are_taken_and_dropped(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(echo, tmp_path) as server, visiting(server) as client:
            stream_id = client.open(request_head("POST", "/"))
            client.send(stream_id, b"body")
            client.http.send_headers(stream_id, [(b"x-sum", b"1")], True)
            client.transmit()
            answer = await client.answer(stream_id).wait()
            assert (answer.status, answer.content) == (200, b"body")

    steady.run(main())


def test_an_app_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path != "/before":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if path == "/honest":
                await send({"type": "http.response.body"})
                return
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if path != "/silent":
            raise ZeroDivisionError(path)

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            assert (await client.request("GET", "/before")).status == 500
            for path in ("/after", "/silent"):
                broken = await client.request("GET", path)
                assert broken.reset == 0x102
            assert (await client.request("GET", "/honest")).status == 200

    steady.run(main())
    failures = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(failures) == 3


def test_the_app_learns_at_once_that_its_client_has_left(tmp_path: Path) -> None:
    """By reset, by STOP_SENDING, and by the end of the connection."""
    ends: list[str] = []
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        waiting.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        ends.append(scope["path"])

    async def main() -> None:
        async def begun(client: Any, path: str, end: bool) -> tuple[int, Answer]:
            waiting.clear()
            stream_id = client.open(request_head("GET", path), end=end)
            await client.answer(stream_id).until(b"first")
            return stream_id, client.answer(stream_id)

        async def told(path: str) -> None:
            await until(lambda: path in ends)

        async with serving(app, tmp_path) as server:
            before = len(asyncio.all_tasks())
            async with visiting(server) as client:
                stream_id, answer = await begun(client, "/reset", False)
                client.reset(stream_id)
                await told("/reset")
                await answer.wait()
                assert answer.reset == 0x10C
                stream_id, answer = await begun(client, "/stopped", True)
                client.stop(stream_id)
                await told("/stopped")
                await begun(client, "/left", True)
            await told("/left")
            await until(lambda: len(asyncio.all_tasks()) == before)
            assert server.connections <= 1

    steady.run(main())


def test_an_answer_before_the_body_harms_nobody(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "GET":
            await echo(scope, receive, send)
            return
        fields = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 413, "headers": fields})
        await send({"type": "http.response.body", "body": b"much"})

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            stream_id = client.open(request_head("POST", "/"))
            client.send(stream_id, b"x" * 1000)
            answer = await client.answer(stream_id).wait()
            assert (answer.status, answer.content) == (413, b"much")
            assert answer.reset is None
            await until(lambda: answer.stopped is not None)
            assert answer.stopped == 0x100
            # Bytes that were on their way, or come from a client that does not listen.
            client.never_stop()
            other = client.open(request_head("POST", "/"))
            await client.answer(other).wait()
            for _ in range(5):
                client.send(other, b"x" * 16)
                await asyncio.sleep(0.01)
            client.send(other, b"", end=True)
            assert (await client.request("GET", "/")).status == 200

    steady.run(main())


def test_a_client_that_is_asked_to_stop_gets_its_answer_all_the_same(tmp_path: Path) -> None:
    """It resets its half of the stream, RFC 9000, section 3.5; that cancels nothing."""
    size = 100_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size})

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            for _ in range(5):
                stream_id = client.open(request_head("POST", "/"))
                client.send(stream_id, b"some of it")
                answer = await client.answer(stream_id).wait()
                assert (answer.status, answer.reset) == (413, None)
                assert answer.content == b"x" * size

    steady.run(main())
