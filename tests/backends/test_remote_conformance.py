"""The remote backend through every door: the public suite, and beside the machine, over sockets.

Onto memory each time; onto SQLite, and with TLS where that is not the only way, by ``make soak``.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable

import pytest

from supersoniq import PermissionDenied
from supersoniq.auth import Issuer, Secret, Verifier
from supersoniq.testing import Conformance, Harness
from supersoniq.testing.conformance.trial import Violation
from supersoniq.testing.simulate import simulate
from tests.auth import tokens
from tests.backends.redis_server import needs_server
from tests.backends.served import MemoryHarness, RemoteHarness
from tests.backends.test_redis_conformance import RedisHarness
from tests.backends.test_sqlite_conformance import SqliteHarness


def through(
    door: str, behind: Callable[[], Harness] = MemoryHarness, *, secure: bool = False
) -> Callable[[], Harness]:
    return lambda: RemoteHarness(behind(), door, secure=secure)


class TestHttp1(Conformance):
    harness = staticmethod(through("1.1"))


class TestHttp2(Conformance):
    harness = staticmethod(through("2"))


class TestHttp3(Conformance):
    harness = staticmethod(through("3", secure=True))


class TestWebSocket(Conformance):
    harness = staticmethod(through("ws"))


def with_tokens() -> Harness:
    token = tokens.good(exp=time.time() + 3600, iat=int(time.time()))
    return RemoteHarness(
        MemoryHarness(), "ws", auth=Verifier(Issuer(Secret(tokens.SECRET))), token=token
    )


class TestWebSocketWithTokens(Conformance):
    harness = staticmethod(with_tokens)


# With tokens, sender is who the token says, and a consumer's recipient can be nobody else. These
# checks name others, and must be refused for that, and for nothing else.
OTHERS = [
    "g01_a_message_is_kept_as_it_was_published",
    "g01_content_types_follow_the_content",
    "g01_all_is_as_it_was_after_closing",
    "g01_all_is_as_it_was_after_a_crash",
    "g07_figures_agree_with_the_messages",
    "g10_a_take_is_never_more_than_was_asked",
    "g10_a_take_ends_early_where_contents_are_large",
    "import_respects_recipients",
    "recipient_gets_its_own_and_the_unaddressed",
    "recipient_names_are_exact",
    "recipient_is_kept_through_returns",
    "recipient_order_holds_through_returns",
    "recipient_is_kept_after_opening_again",
    "purge_by_status_and_all",
]


def refused(check: Callable[[Conformance], None]) -> Callable[[Conformance], None]:
    @functools.wraps(check)
    def refused(self: Conformance) -> None:
        with pytest.raises(
            (PermissionDenied, Violation), match=r"recipient may only|sender|'anna'"
        ):
            check(self)

    return refused


for name in OTHERS:
    check = getattr(TestWebSocketWithTokens, f"test_{name}")
    setattr(TestWebSocketWithTokens, f"test_{name}", refused(check))


@pytest.mark.soak
class TestHttp1WithTls(Conformance):
    harness = staticmethod(through("1.1", secure=True))


@pytest.mark.soak
class TestHttp2WithTls(Conformance):
    harness = staticmethod(through("2", secure=True))


@pytest.mark.soak
class TestWebSocketWithTls(Conformance):
    harness = staticmethod(through("ws", secure=True))


@pytest.mark.soak
class TestHttp1OntoSqlite(Conformance):
    harness = staticmethod(through("1.1", SqliteHarness))


@pytest.mark.soak
class TestHttp2OntoSqlite(Conformance):
    harness = staticmethod(through("2", SqliteHarness))


@pytest.mark.soak
class TestHttp3OntoSqlite(Conformance):
    harness = staticmethod(through("3", SqliteHarness, secure=True))


@pytest.mark.soak
class TestWebSocketOntoSqlite(Conformance):
    harness = staticmethod(through("ws", SqliteHarness))


@pytest.mark.soak
class TestWebSocketWithTlsOntoSqlite(Conformance):
    harness = staticmethod(through("ws", SqliteHarness, secure=True))


@needs_server
@pytest.mark.soak
class TestHttp1OntoRedis(Conformance):
    harness = staticmethod(through("1.1", RedisHarness))


@needs_server
@pytest.mark.soak
class TestHttp2OntoRedis(Conformance):
    harness = staticmethod(through("2", RedisHarness))


@needs_server
@pytest.mark.soak
class TestHttp3OntoRedis(Conformance):
    harness = staticmethod(through("3", RedisHarness, secure=True))


@needs_server
@pytest.mark.soak
class TestWebSocketOntoRedis(Conformance):
    harness = staticmethod(through("ws", RedisHarness))


# A WebSocket's leases end with it; the machine's do not when it is opened again.
WALKS = [("1.1", False, 300), ("2", False, 300), ("3", True, 300), ("ws", False, 0)]


@pytest.mark.parametrize(("door", "secure", "reopen_every"), WALKS)
def test_answers_are_the_machines(door: str, secure: bool, reopen_every: int) -> None:
    simulate(through(door, secure=secure), steps=1000, seed=1, reopen_every=reopen_every)


@pytest.mark.soak
@pytest.mark.parametrize("behind", [MemoryHarness, SqliteHarness])
@pytest.mark.parametrize(("door", "secure", "reopen_every"), WALKS)
def test_many_answers_are_the_machines(
    door: str, secure: bool, reopen_every: int, behind: Callable[[], Harness]
) -> None:
    harness = through(door, behind, secure=secure)
    seed = int.from_bytes(os.urandom(4))
    simulate(harness, steps=50_000, seed=seed, reopen_every=min(reopen_every * 10, 1000))
