"""Clients with tokens, through every door: who is let in, until when, and what nobody may see."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import supersoniq
from supersoniq import AuthenticationFailed, BackendUnavailable, InvalidSetting, PermissionDenied
from supersoniq.auth import Issuer, Secret, Verifier
from supersoniq.backends.memory import MemoryBackend
from supersoniq.backends.remote import bearer, renewal
from supersoniq.backends.remote.bearer import Bearer
from tests.auth import tokens
from tests.backends.served import House, tls
from tests.servers.http2 import until

doors = pytest.mark.parametrize("door", ["1.1", "2", "3", "ws"])
BAD = tokens.good(exp=int(time.time()) + 36_000, iat=int(time.time()), aud="elsewhere")


def token(seconds: float = 600, **changes: Any) -> str:
    return tokens.good(exp=time.time() + seconds, iat=int(time.time()), **changes)


@asynccontextmanager
async def house(door: str) -> AsyncIterator[House]:
    """A server that asks for tokens."""
    issuer = Issuer(Secret(tokens.SECRET), name=tokens.ISSUER, audience=tokens.AUDIENCE)
    certificate = tls()[1] if door == "3" else None
    async with House(MemoryBackend(), certificate=certificate, auth=Verifier(issuer)) as made:
        yield made


def client(there: House, door: str, **options: Any) -> supersoniq.Broker:
    if door == "3":
        options["ca"] = tls()[0]
    return supersoniq.Broker(there.connect(door, **options))


HOLDS = 4.0
"""Seconds that a token holds which is replaced in good time: after 0.2 of them, so that a busy
machine may stand still for seconds meanwhile."""


@pytest.fixture
def in_good_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another token is asked for long before the one at hand ends."""
    due = Bearer._due

    def soon(self: Bearer, value: str) -> float | None:
        then, now = due(self, value), asyncio.get_running_loop().time()
        return then if then is None or then > now + HOLDS else now + 0.2

    monkeypatch.setattr(Bearer, "_due", soon)
    monkeypatch.setattr(bearer, "SHORTEST", 0.01)
    monkeypatch.setattr(renewal, "SHORTEST", 0.01)


@asynccontextmanager
async def ending(there: House, door: str, seconds: float) -> AsyncIterator[supersoniq.Broker]:
    """A client whose token ends in so many seconds; later, if opening takes as long."""
    while True:
        broker = client(there, door, token=token(seconds))
        try:
            await broker.open()
        except AuthenticationFailed:
            seconds *= 2
        else:
            break
    async with broker:
        yield broker


async def cut(there: House) -> None:
    """Break all connections, and let clients notice."""
    there.cut()
    await asyncio.sleep(0.05)


@doors
def test_a_token_lets_in(door: str) -> None:
    async def main() -> None:
        async with house(door) as there:
            async with client(there, door, token=token()) as broker:
                queue = broker.queue("q")
                waiting = asyncio.ensure_future(queue.get())
                await asyncio.sleep(0.05)  # it listens
                await queue.publish("x", sender="somebody else")
                delivery = await waiting
                assert delivery is not None
                assert delivery.sender == "anna"
                await delivery.ack()
                async with queue.watch() as events:
                    await queue.publish("y")
                    event = await anext(aiter(events))
                    assert event.message is not None
                    assert event.message.content == b"y"
            with pytest.raises(AuthenticationFailed, match="there is no token"):
                async with client(there, door) as broker:
                    await broker.queue("q").publish("x")
            with pytest.raises(AuthenticationFailed, match="audience"):
                await client(there, door, token=BAD).open()

    asyncio.run(main())


@doors
def test_what_its_scope_leaves_out_is_refused(door: str) -> None:
    async def main() -> None:
        async with (
            house(door) as there,
            client(there, door, token=token(scope="consume:a publish:b")) as broker,
        ):
            await broker.queue("b").publish("x")
            for work in (broker.queue("a").publish("x"), broker.queue("b").get()):
                with pytest.raises(PermissionDenied, match="scope"):
                    async with asyncio.timeout(20):
                        await work

    asyncio.run(main())


@doors
@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_function_is_asked_once_and_again_when_its_token_is_refused(door: str, kind: str) -> None:
    asked: list[str] = []

    def blocking() -> str:
        asked.append(kind)
        return BAD if len(asked) == 1 else token()

    async def waits() -> str:
        return blocking()

    async def main() -> None:
        source: Any = waits if kind == "async" else blocking
        async with house(door) as there, client(there, door, token=source) as broker:
            await asyncio.gather(*(broker.queue(f"q{n}").publish("x") for n in range(20)))
            assert await broker.queue("q7").get() is not None
            assert asked == [kind] * 2
        asked.clear()
        asked.append("so the next one is good")
        async with house(door) as there, client(there, door, token=source) as broker:
            await broker.queue("q").publish("x")
            there.app.service.identity.verifier = there.app.service.verifier = Verifier(
                Issuer(Secret(tokens.SECRET), name=tokens.ISSUER, audience="elsewhere")
            )
            await cut(there)
            with pytest.raises(AuthenticationFailed, match="audience"):
                await broker.queue("q").publish("x")

    asyncio.run(main())


@doors
@pytest.mark.usefixtures("in_good_time")
def test_the_function_is_asked_before_its_token_ends(door: str) -> None:
    """And a WebSocket goes on: it keeps its leases."""
    given: list[str] = []
    holds = HOLDS if door == "ws" else 1.0  # nothing is lost elsewhere when it ends too soon
    ends = 0.0

    async def main() -> None:
        second = asyncio.Event()

        async def source() -> str:
            nonlocal ends
            if not given:
                ends = time.time() + holds
                given.append(token(holds))
                return given[0]
            second.set()
            given.append(token())
            return given[-1]

        async with house(door) as there, client(there, door, token=source) as broker:
            queue = broker.queue("q")
            await queue.publish("x")
            first = await queue.get()
            assert first is not None
            waiting = asyncio.ensure_future(broker.queue("later").get())
            if door == "ws":
                await asyncio.wait_for(second.wait(), 60)
            await asyncio.sleep(ends + 0.1 - time.time())
            await broker.queue("later").publish("y")
            assert await asyncio.wait_for(waiting, 60)
            await first.ack()
            assert (await queue.stats()).acked == 1
            assert len(given) == 2

    asyncio.run(main())


@pytest.mark.usefixtures("in_good_time")
def test_a_new_token_that_is_refused_is_asked_for_again_while_the_old_one_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given: list[float | None] = [600, None, None, HOLDS]
    ends = 0.0

    def source() -> str:
        nonlocal ends
        if (seconds := given.pop()) is None:
            return BAD
        if seconds == HOLDS:
            ends = time.time() + seconds
        return token(seconds)

    def told() -> list[str]:
        return [each.getMessage() for each in caplog.records if "token" in each.getMessage()]

    async def main() -> None:
        async with house("ws") as there, client(there, "ws", token=source) as broker:
            queue = broker.queue("q")
            await queue.publish("x")
            first = await queue.get()
            assert first is not None
            await until(lambda: not given)
            await asyncio.sleep(ends + 0.1 - time.time())
            await first.ack()
        given[:] = [None] * 60 + [HOLDS]
        async with house("ws") as there, client(there, "ws", token=source) as broker:
            await broker.queue("q").stats()
            await until(lambda: any("was not renewed in" in each for each in told()))
            assert len(given) > 40, "it waits longer each time"
            with pytest.raises(AuthenticationFailed, match="audience"):
                await broker.queue("q").stats()

    asyncio.run(main())
    assert "audience" in told()[0]


@doors
def test_a_token_that_has_ended_is_an_error(door: str) -> None:
    async def main() -> None:
        async with house(door) as there, ending(there, door, 0.7) as broker:
            waiting = asyncio.ensure_future(broker.queue("q").get())
            with pytest.raises(AuthenticationFailed):
                await asyncio.wait_for(waiting, 60)
            with pytest.raises(AuthenticationFailed):
                await broker.queue("q").publish("x")

    asyncio.run(main())


@pytest.mark.parametrize("door", ["1.1", "ws"])
def test_a_function_that_fails(door: str) -> None:
    """Is asked again for a while, unless it says that there is no use in that."""
    failures: list[Exception] = [OSError("the issuer is down")]

    async def source() -> str:
        if failures:
            raise failures.pop()
        return token()

    async def main() -> None:
        async with house(door) as there:
            with pytest.raises(BackendUnavailable, match="OSError"):
                await client(there, door, token=source).open()
            failures.append(AuthenticationFailed("the account is closed"))
            with pytest.raises(AuthenticationFailed, match="closed"):
                await client(there, door, token=source).open()
            async with client(there, door, token=source) as broker:
                await broker.queue("q").publish("x")
                held = there.app.service.verifier
                assert held is not None
                there.app.service.identity.verifier = Verifier(
                    Issuer(Secret(tokens.OTHER)), now=held.now
                )
                await cut(there)
                failures.append(OSError("the issuer is down"))
                with pytest.raises(AuthenticationFailed, match="signature"):
                    await broker.queue("q").publish("x")
                assert not failures
            with pytest.raises(AuthenticationFailed, match="gave none"):
                await client(there, door, token=lambda: "two words").open()
            with pytest.raises(AuthenticationFailed, match="gave none"):
                await client(there, door, token=lambda: None).open()

    asyncio.run(main())


def test_no_way_around_a_401() -> None:
    """A WebSocket that is not let in does not go on over HTTP."""

    async def main() -> None:
        async with house("ws") as there:
            broker = client(there, "ws", token=token(), patience=0)
            async with broker:
                await broker.queue("q").publish("x")
                assert not broker.backend.capabilities.leases_stay
                there.app.service.identity.verifier = Verifier(Issuer(Secret(tokens.OTHER)))
                await cut(there)
                with pytest.raises(AuthenticationFailed):
                    await broker.queue("q").publish("x")
                there.app.service.identity.verifier = there.app.service.verifier
                await broker.queue("q").publish("x")
                assert not broker.backend.transport.leases_stay  # type: ignore[attr-defined]

    asyncio.run(main())


@doors
def test_nobody_sees_the_token(door: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    def show(what: object) -> None:
        told.append(repr(what))
        if isinstance(what, BaseException):
            told.extend(traceback.format_exception(what))
            told.append(repr(getattr(what, "data", None)))

    async def main() -> None:
        good = token(scope="publish:q")
        async with house(door) as there:
            for given in (good, BAD):
                broker = client(there, door, token=given)
                show(broker)
                transport: Any = broker.backend.transport  # type: ignore[attr-defined]
                for thing in (broker.backend, transport, *vars(transport).values()):
                    show(thing)
                try:
                    async with broker:
                        show(vars(transport))
                        await broker.queue("q").publish("x")
                        await broker.queue("q").get(wait=0)
                except PermissionError as error:
                    show(error)
                else:
                    raise AssertionError("both end so")
            for options in ({"tokens": good}, {"token": f" {good}"}, {"token": [good]}):
                with pytest.raises(InvalidSetting) as refused:
                    client(there, door, **options)
                show(refused.value)
            for url in (f"{there.url}/?token={good}", f"https://anna:{good}@host/"):
                with pytest.raises(InvalidSetting) as refused:
                    supersoniq.connect(url)
                show(refused.value)
        with pytest.raises(InvalidSetting) as refused:
            supersoniq.connect("memory://", token=good)
        show(refused.value)
        signatures = [each.rpartition(".")[2] for each in (good, BAD)]
        told.extend(each.getMessage() for each in caplog.records)
        assert len(told) > 20
        for text in told:
            assert not any(each in text for each in signatures), text

    asyncio.run(main())


@pytest.mark.parametrize(
    "options", [{"token": ""}, {"token": "a b"}, {"token": "a\r\nx: y"}, {"token": 7}]
)
@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_tokens_that_cannot_be(scheme: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match="hidden"):
        supersoniq.connect(f"{scheme}://host", **options)


def test_a_token_is_not_sent_in_clear_text() -> None:
    for url in ("http://queues.example", "ws://10.0.0.1:80"):
        with pytest.raises(InvalidSetting, match="clear_text"):
            supersoniq.connect(url, token="a.b.c")
        supersoniq.connect(url, token="a.b.c", clear_text=True)
    for url in ("http://127.0.0.1", "ws://localhost", "http://[::1]:1"):
        supersoniq.connect(url, token="a.b.c")
    with pytest.raises(InvalidSetting, match="true or false"):
        supersoniq.connect("https://host", token="a.b.c", clear_text="yes")
