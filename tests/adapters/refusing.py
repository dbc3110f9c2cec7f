"""What every refusal has in common, for the tests of them."""

from __future__ import annotations

import json

import httpx


def check(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """It is a whole problem document, and says what it should."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:supersoniq:problem:{problem['code']}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"] == code
    assert ("retry-after" in answer.headers) == problem["retry"]
    if field is not None:
        assert problem["data"]["field"] == field
        assert len(json.dumps(problem)) < 2000


async def stored(client: httpx.AsyncClient) -> list[tuple[str, int, int]]:
    """What publishes have done; time changes the other figures."""
    stats = (await client.get("/stats")).json()
    return [(name, each["published"], each["duplicates"]) for name, each in stats.items()]
