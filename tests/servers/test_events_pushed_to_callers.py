"""Messages pushed where tokens are asked for: a promised request has none, and a grant instead."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.access import Identity
from supersoniq.auth import Issuer, Secret, Verifier
from supersoniq.auth.scopes import Scopes
from supersoniq.auth.tokens import Caller
from supersoniq.core.errors import AuthenticationFailed
from tests.auth import tokens
from tests.servers.http2 import (
    Client,
    Receive,
    Scope,
    Send,
    client,
    run,
    serving,
    until,
)
from tests.servers.test_events_pushed import LINES, lines, served


def bearer(scope: str, **more: Any) -> tuple[bytes, bytes]:
    return (b"authorization", b"Bearer " + tokens.good(scope=scope, **more).encode())


def contents(one: Client) -> list[str]:
    return sorted(json.loads(bytes(each.body))["content"] for each in one.pushed)


def test_a_token_that_may_browse_has_its_messages_pushed() -> None:
    async def main() -> None:
        async with served(auth=tokens.verifier()) as (server, queue), client(server) as one:
            may = [*LINES, bearer("watch:news browse:news")]
            number = one.request("/queues/news/events", fields=may)
            await until(lambda: one.answers[number].body)
            await queue.publish_many(str(n) for n in range(200))
            await until(lambda: sum(each.done.is_set() for each in one.pushed) == 200)
            assert contents(one) == sorted(str(n) for n in range(200))
            for each in one.pushed:
                assert each.status == 200
                assert each.fields[b"cache-control"] == b"no-store"
                assert b"authorization" not in each.request
            assert len(lines(one.answers[number])) == 1  # where it starts
            # The promise was made to one stream: asking for the same needs a token, as before.
            path = one.pushed[0].request[b":path"].decode()
            assert (await one.get(path)).status == 401

    run(main)


@pytest.mark.parametrize("scope", ["watch:news", "watch:* browse:new browse:newsletter publish:*"])
def test_a_token_that_may_only_watch_has_all_in_the_stream(scope: str) -> None:
    async def main() -> None:
        async with served(auth=tokens.verifier()) as (server, queue), client(server) as one:
            number = one.request("/queues/news/events", fields=[*LINES, bearer(scope)])
            await until(lambda: one.answers[number].body)
            await queue.publish_many(str(n) for n in range(50))
            await until(lambda: len(lines(one.answers[number])) == 51)
            told = [line["message"]["content"] for line in lines(one.answers[number])[1:]]
            assert told == [str(n) for n in range(50)]
            assert not one.pushed

    run(main)


def test_what_was_promised_before_the_token_expired_is_not_given_after_it() -> None:
    """The clock jumps between the promise and its request."""
    now = tokens.NOW
    verifier = Verifier(
        Issuer(Secret(tokens.SECRET), name=tokens.ISSUER, audience=tokens.AUDIENCE),
        now=lambda: now,
    )

    async def main() -> None:
        nonlocal now
        async with supersoniq.connect("memory://") as broker:
            await broker.queue("news").publish("secret")
            app = create_app(broker, auth=verifier)

            async def slowly(scope: Scope, receive: Receive, send: Any) -> None:
                nonlocal now
                if "http.response.pushed" in scope.get("extensions", {}):
                    now = tokens.NOW + 600
                await app(scope, receive, send)

            async with serving(slowly) as server, client(server) as one:
                may = [*LINES, (b"prefer", b"wait=0"), bearer("watch:news browse:news")]
                answer = await one.get("/queues/news/events", fields=may)
                assert one.pushed[0].status == 401
                assert b"secret" not in one.pushed[0].body
                # It is not in the stream either, which ends with the reason.
                assert [each["kind"] for each in lines(answer)] == ["start", "error"]
                assert lines(answer)[1]["problem"]["status"] == 401

    run(main)


def test_a_grant_is_for_the_promised_request_and_nothing_else() -> None:
    """It is not on the wire, and no client can put it where the app looks."""
    grant = object()
    seen: list[tuple[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], scope["extensions"].get("http.response.pushed")))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/promises":
            push = {"type": "http.response.push", "headers": []}
            await send({**push, "path": "/granted", "grant": grant})
            await send({**push, "path": "/plain"})
        await send({"type": "http.response.body", "body": b""})

    async def main() -> None:
        async with serving(app) as server, client(server) as one:
            forged = [(b"http.response.pushed", b"1"), (b"grant", b"1"), (b"extensions", b"1")]
            await one.get("/forged", fields=forged)
            await one.get("/promises")
            await until(lambda: len(one.pushed) == 2 and not one.promised_open)
            assert all(set(each.request) <= FIELDS for each in one.pushed)
        assert sorted(seen, key=lambda each: each[0]) == [
            ("/forged", None),
            ("/granted", {"grant": grant}),
            ("/plain", {"grant": None}),
            ("/promises", None),
        ]

    run(main)


FIELDS = {b":method", b":scheme", b":authority", b":path"}


def test_a_grant_holds_in_the_app_that_gave_it_until_the_token_expires() -> None:
    async def main() -> None:
        caller = Caller("anna", Scopes.parse("browse:*"), tokens.NOW + 1)
        ours, theirs = Identity(tokens.verifier()), Identity(tokens.verifier())

        def promised(grant: object) -> dict[str, Any]:
            return {"headers": [], "extensions": {"http.response.pushed": {"grant": grant}}}

        assert await ours.of(promised(ours.grant(caller))) is caller
        late = Caller("anna", caller.scopes, tokens.NOW)
        for grant in (theirs.grant(caller), ours.grant(late), caller, "anna", None):
            with pytest.raises(AuthenticationFailed):
                await ours.of(promised(grant))
        assert ours.grant(None) is None

    asyncio.run(main())
