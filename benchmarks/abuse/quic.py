"""HTTP/3 for the attacks: the client of the tests, which sends whatever it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.servers.h3_client import Client, Fields, request_head, visiting

__all__ = ["Client", "Fields", "drained", "request_head", "vanish", "visiting"]

MOST = 256 * 1024
"""Bytes that may wait to be acknowledged."""


async def drained(
    one: Client, stream_id: int, over: Callable[[], bool] = lambda: False, patience: float = 60
) -> None:
    """Wait until most of what was put on a stream has arrived.

    Raises:
        TimeoutError: the server takes nothing.
    """
    quic: Any = one._quic
    async with asyncio.timeout(patience):
        while not over() and one.ended is None:
            stream = quic._streams.get(stream_id)
            if stream is None or len(stream.sender._buffer) <= MOST:
                return
            await asyncio.sleep(0.005)


class _Nowhere:
    """A socket whose datagrams go nowhere."""

    def sendto(self, data: bytes, address: Any = None) -> None:
        pass


def vanish(one: Client) -> None:
    """Say nothing more, not even goodbye."""
    nowhere: Any = _Nowhere()
    one._transport = nowhere
