"""Every other call: its fields, names, paths and methods; a clear problem, and nothing changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from tests.adapters.refusing import check

Visit = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
ID = "01a2094b-d385-76fe-a47b-d80000000001"


# Method, path, JSON body, status, code, field. "q" exists; "none" does not.
CALLS: list[tuple[str, str, Any, int, str, str | None]] = [
    ("POST", "/queues/q/leases", {"limit": 0}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": 10_001}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": 1.5}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"limit": None}, 400, "invalid-argument", "limit"),
    ("POST", "/queues/q/leases", {"wait": -1}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"wait": 60.001}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"wait": "5"}, 400, "invalid-argument", "wait"),
    ("POST", "/queues/q/leases", {"lease": 0.09}, 400, "invalid-argument", "lease"),
    ("POST", "/queues/q/leases", {"lease": 43_201}, 400, "invalid-argument", "lease"),
    ("POST", "/queues/q/leases", {"recipient": ""}, 400, "invalid-argument", "recipient"),
    ("POST", "/queues/q/leases", {"recipient": "x" * 257}, 400, "invalid-argument", "recipient"),
    ("POST", "/queues/q/leases", {"content": "hex"}, 400, "invalid-argument", "content"),
    ("POST", "/queues/q/leases", {"limits": 1}, 400, "invalid-argument", "limits"),
    ("POST", "/queues/q/leases", [], 400, "invalid-argument", "body"),
    ("POST", "/queues/-q/leases", {}, 400, "invalid-name", "queue"),
    ("POST", "/queues/q/settlements", {}, 400, "invalid-argument", "body"),
    ("POST", "/queues/q/settlements", [{}] * 10_001, 400, "invalid-argument", "body"),
    ("GET", "/queues/q/messages?limit=0", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?limit=10001", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?limit=x", None, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/messages?status=gone", None, 400, "invalid-argument", "status"),
    ("GET", "/queues/q/messages?after=x", None, 400, "invalid-id", "after"),
    ("GET", f"/queues/q/messages?after={ID}", None, 404, "message-not-found", None),
    ("GET", "/queues/q/messages?before=x", None, 400, "invalid-argument", "before"),
    ("GET", "/queues/none/messages", None, 404, "queue-not-found", None),
    ("GET", "/queues/q/messages/x", None, 400, "invalid-id", "id"),
    ("GET", f"/queues/q/messages/{ID}", None, 404, "message-not-found", None),
    ("GET", f"/queues/none/messages/{ID}", None, 404, "queue-not-found", None),
    ("GET", f"/queues/q/messages/{ID}?content=x", None, 400, "invalid-argument", "content"),
    ("GET", f"/messages/{ID}", None, 404, "message-not-found", None),
    ("DELETE", f"/queues/q/messages/{ID}", None, 404, "message-not-found", None),
    ("DELETE", f"/queues/q/messages/{ID}?force=1", None, 400, "invalid-argument", "force"),
    ("DELETE", f"/messages/{ID}", None, 404, "message-not-found", None),
    ("GET", f"/queues/q/messages/{ID}/explanation", None, 404, "message-not-found", None),
    ("GET", "/queues/none", None, 404, "queue-not-found", None),
    ("GET", "/queues/none/stats", None, 404, "queue-not-found", None),
    ("GET", "/queues/none/events", None, 404, "queue-not-found", None),
    ("DELETE", "/queues/none", None, 404, "queue-not-found", None),
    ("POST", "/queues/none/pause", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/resume", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/purge", {}, 404, "queue-not-found", None),
    ("POST", "/queues/none/redrive", {}, 404, "queue-not-found", None),
    ("PUT", "/queues/" + "x" * 129, {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/a%00", {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/%C3%A9", {}, 400, "invalid-name", "queue"),
    ("PUT", "/queues/q", [], 400, "invalid-argument", "body"),
    ("PUT", "/queues/q", {"leases": 1}, 400, "invalid-policy", "leases"),
    ("PUT", "/queues/none", {"lease": 0}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"lease": 43_201}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"lease": "1"}, 400, "invalid-policy", "lease"),
    ("PUT", "/queues/q", {"max_deliveries": -1}, 400, "invalid-policy", "max_deliveries"),
    ("PUT", "/queues/q", {"max_length": 0}, 400, "invalid-policy", "max_length"),
    ("PUT", "/queues/q", {"max_content": 2**30 + 1}, 400, "invalid-policy", "max_content"),
    ("PUT", "/queues/q", {"backoff": {"factor": 0}}, 400, "invalid-policy", "backoff.factor"),
    ("PUT", "/queues/q", {"backoff": {"x": 0}}, 400, "invalid-policy", "backoff.x"),
    ("PUT", "/queues/q", {"on_expiry": "keep"}, 400, "invalid-policy", "on_expiry"),
    ("PUT", "/queues/q", {"lease": 1, "keep_dead": -1}, 400, "invalid-policy", "keep_dead"),
    ("POST", "/queues/q/pause", {"duration": -1}, 400, "invalid-argument", "duration"),
    ("POST", "/queues/q/pause", {"until": 1.5}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"until": -1}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"duration": 1, "until": 1}, 400, "invalid-argument", "until"),
    ("POST", "/queues/q/pause", {"for": 1}, 400, "invalid-argument", "for"),
    ("POST", "/queues/q/resume", {"now": True}, 400, "invalid-argument", "now"),
    ("POST", "/queues/q/purge", {"status": "all"}, 400, "invalid-argument", "status"),
    ("POST", "/queues/q/purge", {"status": "leased"}, 409, "illegal-move", None),
    ("POST", "/queues/q/purge?status=dead", {}, 400, "invalid-argument", "status"),
    ("POST", "/queues/q/redrive", {"ids": []}, 400, "invalid-argument", "ids"),
    ("POST", "/queues/q/redrive", {"ids": ["x"]}, 400, "invalid-id", "id"),
    ("POST", "/queues/q/redrive", {"ids": [ID]}, 404, "message-not-found", None),
    ("POST", "/queues/q/redrive", {"ids": ID}, 400, "invalid-argument", "ids"),
    ("POST", "/queues/q/redrive", {"limit": 0}, 400, "invalid-argument", "limit"),
    ("GET", "/queues/q/events?kinds=nonsense", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?kinds=", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?kinds=gap", None, 400, "invalid-argument", "kinds"),
    ("GET", "/queues/q/events?since=-1", None, 400, "invalid-argument", "since"),
    ("GET", f"/queues/q/events?since={2**63}", None, 400, "invalid-argument", "since"),
    ("GET", "/queues/q/events?since=x", None, 400, "invalid-argument", "since"),
    ("GET", "/nothing", None, 404, "not-found", None),
    ("GET", "/queues/q/nothing", None, 404, "not-found", None),
    ("GET", "/queues/", None, 404, "not-found", None),
    ("GET", "/queues//messages", None, 404, "not-found", None),
    ("GET", "/queues/a%2Fb/messages", None, 404, "not-found", None),
    ("PATCH", "/queues/q", {}, 405, "method-not-allowed", None),
    ("DELETE", "/messages", None, 405, "method-not-allowed", None),
    ("GET", "/queues/q/leases", None, 405, "method-not-allowed", None),
    ("POST", "/", {}, 405, "method-not-allowed", None),
    ("BREW", "/queues", None, 405, "method-not-allowed", None),
]


def test_every_other_call(visit: Visit) -> None:
    async def main() -> None:
        async with visit() as client:
            await client.put("/queues/q")
            await client.post("/queues/q/messages", json={"content": 1})
            before = (await client.get("/stats")).json()
            policy = (await client.get("/queues/q")).json()
            for method, path, body, status, code, field in CALLS:
                answer = await client.request(method, path, json=body)
                check(answer, status, code, field)
                if status == 405:
                    assert "OPTIONS" in answer.headers["allow"]
            assert (await client.get("/stats")).json() == before
            assert (await client.get("/queues/q")).json() == policy

    asyncio.run(main())
