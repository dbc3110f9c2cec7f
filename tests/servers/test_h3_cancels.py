"""Requests that are cancelled, in each state, and without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import steady
from tests.servers.h3_client import Client, honest, request_head, serving, until, visiting
from tests.servers.h3_rude import GET, app, without

pytestmark = pytest.mark.usefixtures("no_traceback")

STATES: dict[str, Callable[[Client], int]] = {}


def state(make: Callable[[Client], int]) -> Callable[[Client], int]:
    STATES[make.__name__] = make
    return make


@state
def nothing_sent(client: Client) -> int:
    stream_id = client._quic.get_next_available_stream_id()
    client._quic._get_or_create_stream_for_send(stream_id)
    return stream_id


@state
def half_a_head(client: Client) -> int:
    stream_id = client._quic.get_next_available_stream_id()
    client.raw(stream_id, b"\x01\x20\x00\x00\xd1")
    return stream_id


@state
def head_sent(client: Client) -> int:
    return client.open(request_head("POST", "/"))


@state
def half_a_body(client: Client) -> int:
    stream_id = client.open(request_head("POST", "/"))
    client.raw(stream_id, b"\x00\x40\xff" + b"x" * 60)
    return stream_id


@state
def all_sent(client: Client) -> int:
    return client.open(GET, end=True)


@state
def answered_early(client: Client) -> int:
    return client.open(request_head("POST", "/early"))


@state
def refused(client: Client) -> int:
    return client.open(without(b":path"))


@pytest.mark.parametrize("how", ["reset", "stop", "both"])
def test_cancelled_in_each_state(tmp_path: Path, how: str) -> None:
    async def visit(server: Any, name: str, pause: float) -> None:
        async with visiting(server) as client:
            client.never_stop()
            stream_id = STATES[name](client)
            await asyncio.sleep(pause)
            if how != "stop" and stream_id in client._quic._streams:
                client.reset(stream_id)
            if how != "reset" and stream_id in client._quic._streams:
                client.stop(stream_id)
            await asyncio.sleep(0.01)
            assert (await client.request("GET", "/")).status == 200
            assert client.ended is None
            await honest(server)

    async def main() -> None:
        async with serving(app, tmp_path) as server:
            before = len(asyncio.all_tasks())
            for name in STATES:
                for pause in (0.0, 0.03):
                    await visit(server, name, pause)
            await until(lambda: len(asyncio.all_tasks()) <= before)

    steady.run(main())


def test_who_cancels_without_end_is_shown_out(tmp_path: Path) -> None:
    async def main() -> None:
        limits = {"cancels": 50, "cancels_per_second": 0.0, "max_streams": 20}
        async with serving(app, tmp_path, **limits) as server, visiting(server) as client:
            sent = 0
            async with asyncio.timeout(30):
                while client.ended is None:
                    if client.may_open():
                        client.reset(client.open(request_head("POST", "/")))
                        sent += 1
                    await asyncio.sleep(0.001)
            assert client.ended.error_code == 0x107
            assert 50 <= sent <= 80
            await honest(server)

    steady.run(main())
