"""What happens in the demo: publishers and consumers of one queue, over HTTP, who keep records."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["DEAD_AT", "MESSAGES", "QUEUE", "Story"]

QUEUE = "demo"
MESSAGES = 300
CONSUMERS = 4
BATCH = 5
"""Messages that a consumer leases together."""
DEAD_AT = 3
"""Deliveries after which a message that fails is dead."""
PUBLISHING, WORKING = 2.5, 4.0
"""Seconds that it should take, at most, for people to see it. A smaller demo takes less."""
KINDS = {"alarm": 10, "text": 5, "mail": 0, "report": -5}
"""Jobs and their priorities."""


@dataclass
class Story:
    """The demo's messages, and what its people saw of them.

    Args:
        http: a client whose base address is the server's.
        messages: how many.
    """

    http: httpx.AsyncClient
    messages: int
    published: list[str] = field(default_factory=list)
    """Ids, in the order of their publishing."""
    acked: list[str] = field(default_factory=list)
    """Ids, as the server confirmed them."""
    taken: dict[int, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    """By consumer: priority and id of each first delivery, in order."""
    flaky: str = ""
    """The id of the message that fails once."""
    poison: str = ""
    """The id of the message that always fails."""
    tries: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How often each was delivered."""
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the queue; its answer, which must be a success."""
        answer = await self.http.request(method, f"/queues/{QUEUE}{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def prepare(self) -> None:
        """Begin with an empty queue of the demo's own policy."""
        answer = await self.http.delete(f"/queues/{QUEUE}")
        if answer.status_code != 404:
            answer.raise_for_status()
        backoff = {"initial": 1.0, "jitter": 0}
        await self.call("PUT", "", {"max_deliveries": DEAD_AT, "lease": 10, "backoff": backoff})

    async def publish(self) -> None:
        """Publish, a third of them one by one, the others in batches of twenty."""
        flaky, poison = self.messages // 3, self.messages // 5
        drafts = []
        for number in range(self.messages):
            kind = list(KINDS)[number % len(KINDS)]
            job = {"job": number, "kind": kind}
            if number in (flaky, poison):
                job["kind"] = kind = "alarm"
                job["fails"] = "once" if number == flaky else "always"
            drafts.append({"content": job, "priority": KINDS[kind], "sender": "demo"})
        pause = PUBLISHING / max(self.messages, MESSAGES)
        start = 0
        while start < len(drafts):
            one = start % 30 >= 20
            size = 1 if one else 20
            part = drafts[start : start + size]
            answer = await self.call("POST", "/messages", part[0] if one else part)
            self.published += [each["id"] for each in ([answer] if one else answer)]
            start += len(part)
            await asyncio.sleep(pause * len(part))
        self.flaky, self.poison = self.published[flaky], self.published[poison]

    async def consume(self) -> None:
        """Have several consumers work until every message is done or dead."""
        consumers = [asyncio.ensure_future(self._consumer(n)) for n in range(CONSUMERS)]
        try:
            await asyncio.gather(*consumers)
        finally:
            for consumer in consumers:
                consumer.cancel()
            await asyncio.gather(*consumers, return_exceptions=True)

    async def counts(self) -> dict[str, int]:
        """The queue's figures."""
        found: dict[str, int] = await self.call("GET", "/stats")
        return found

    async def _consumer(self, number: int) -> None:
        work = WORKING * CONSUMERS / max(self.messages, MESSAGES)
        while not self.over.is_set():
            batch = await self.call("POST", "/leases", {"limit": BATCH, "wait": 0.5})
            settlements = []
            for message in batch:
                id, attempt = message["id"], message["attempt"]
                self.tries[id] = max(self.tries[id], attempt)
                if attempt == 1:
                    self.taken[number].append((message["priority"], id))
                await asyncio.sleep(work)
                fails = message["content"].get("fails")
                verdict = {"receipt": message["receipt"], "outcome": "ack"}
                if fails == "always" or (fails == "once" and attempt == 1):
                    verdict |= {"outcome": "nack", "reason": "this job was made to fail"}
                settlements.append(verdict)
            if settlements:
                verdicts = await self.call("POST", "/settlements", settlements)
                for message, said, verdict in zip(batch, settlements, verdicts, strict=True):
                    if verdict["ok"] and said["outcome"] == "ack":
                        self.acked.append(message["id"])
            elif not await self._unfinished():
                self.over.set()

    async def _unfinished(self) -> int:
        counts = await self.counts()
        return counts["scheduled"] + counts["ready"] + counts["leased"]
