"""A bad settlement has a verdict of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


SETTLEMENTS: list[tuple[Any, str, str | None]] = [
    (1, "invalid-argument", "[1]"),
    ({}, "invalid-argument", "[1].receipt"),
    ({"receipt": "x"}, "invalid-argument", "[1].outcome"),
    ({"receipt": 1, "outcome": "ack"}, "invalid-argument", "[1].receipt"),
    ({"receipt": "x", "outcome": "done"}, "invalid-argument", "[1].outcome"),
    ({"receipt": "x", "outcome": "ack", "x": 1}, "invalid-argument", "[1].x"),
    ({"receipt": "x", "outcome": "ack", "delay": 0}, "invalid-argument", "[1].delay"),
    ({"receipt": "x", "outcome": "nack", "delay": -1}, "invalid-argument", "[1].delay"),
    ({"receipt": "x", "outcome": "nack", "duration": 1}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "release", "reason": ""}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "reject", "reason": "x" * 1001}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "reject", "reason": 1}, "invalid-argument", "[1].reason"),
    ({"receipt": "x", "outcome": "extend", "duration": 0}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "extend", "duration": 43_201}, "invalid-argument", "[1].duration"),
    ({"receipt": "x", "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "", "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "é" * 43, "outcome": "ack"}, "lease-lost", None),
    ({"receipt": "A" * 100_000, "outcome": "ack"}, "lease-lost", None),
]


def test_a_bad_settlement_has_its_own_verdict_and_hinders_no_other(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            for bad, code, field in SETTLEMENTS:
                await client.post("/queues/q/messages", json={"content": 1})
                receipt = (await client.post("/queues/q/leases")).json()[0]["receipt"]
                good = {"receipt": receipt, "outcome": "ack"}
                answer = await client.post("/queues/q/settlements", json=[good, bad, good])
                assert answer.status_code == 200
                first, second, third = answer.json()
                assert first == {"ok": True}
                assert second["ok"] is False
                assert second["problem"]["code"] == code
                if field is not None:
                    assert second["problem"]["data"]["field"] == field
                assert third["ok"] is False  # acked and, with keep_done 0, forgotten
            assert (await client.get("/queues/q/stats")).json()["acked"] == len(SETTLEMENTS)

    asyncio.run(main())
