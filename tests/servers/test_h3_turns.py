"""All who send datagrams have their turn, however many one of them sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from supersoniq.servers.h3 import H3Server
from supersoniq.servers.h3.inbox import Inbox
from supersoniq.servers.h3.listener import SHARE, TURN
from tests import steady
from tests.servers.h3_client import honest, serving, until, visiting
from tests.servers.h3_rude import app, connection_of
from tests.servers.test_turns import turning

INITIAL = b"\xc0\0\0\0\1\x08clientid\x08sourceid\x00\x44\x96" + bytes(1174)


def test_senders_take_turns_and_none_has_more_than_its_room() -> None:
    inbox: Inbox[str, int] = Inbox(each=4, most=6)
    assert [inbox.put("a", n) for n in range(5)] == [True] * 4 + [False]
    assert [inbox.put("b", n) for n in range(3)] == [True, True, False]
    assert inbox.put("c", 0)  # who has nothing here may still have one
    assert not inbox.put("c", 1)
    taken = [inbox.take(3) for _ in range(4)]
    assert taken == [("a", [0, 1, 2]), ("b", [0, 1]), ("c", [0]), ("a", [3])]
    assert not inbox
    assert all(inbox.put(f"{n}", n) for n in range(6))
    assert not inbox.put("one too many", 0)
    assert len(inbox) == 6
    inbox.clear()
    assert not inbox


def worked_on(server: H3Server, client: Any, name: str, record: list[str], count: Any) -> bytes:
    """Put down what is worked on of a connection; gives a datagram for it, which is nothing."""
    quic: Any = connection_of(server, client).quic
    ours = b"\x40" + bytes(quic.host_cid) + b"?" * 30

    def receive(data: bytes, addr: Any, now: float) -> None:
        if data == ours:
            record.append(name)
            count()

    quic.receive_datagram = receive
    return ours


@pytest.mark.parametrize("flooder", ["a connection", "strangers"])
def test_a_flood_of_datagrams_holds_no_other_connection_up(flooder: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serving(app, tmp_path) as server,
            visiting(server.port) as one,
            visiting(server.port) as other,
            turning() as turns,
        ):
            listener: Any = server._listener
            record: list[str] = []
            mine = worked_on(server, other, "other", record, turns.count)
            if flooder == "strangers":
                first = listener._first

                def strange(*arguments: Any) -> None:
                    record.append("flood")
                    turns.count()
                    first(*arguments)

                listener._first = strange
                flood = INITIAL
            else:
                flood = worked_on(server, one, "flood", record, turns.count)
            for _ in range(300):
                listener.datagram_received(flood, ("127.0.0.1", 9))
            listener.datagram_received(mine, ("127.0.0.1", 9))
            await until(lambda: len(record) == 301)
            assert record.index("other") <= SHARE
            assert turns.most <= TURN

    steady.run(main())


def test_what_comes_for_a_connection_that_is_over_is_not_looked_at(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server.port) as one:
            names: list[str] = []
            datagram = worked_on(server, one, "gone", names, lambda: None)
            listener: Any = server._listener
            await until(lambda: not listener._inbox)
            connection_of(server, one).close()
            for _ in range(100):
                listener.datagram_received(datagram, ("127.0.0.1", 9))
            assert not listener._inbox
            await honest(server)
            assert not names

    steady.run(main())


def test_answers_of_a_turn_leave_together(tmp_path: Path) -> None:
    """What is to be said to datagrams that came together is sent once, and not after each."""

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server.port) as one:
            protocol = connection_of(server, one)
            datagram = worked_on(server, one, "", [], lambda: None)
            sent = 0
            transmit = protocol.transmit

            def counted() -> None:
                nonlocal sent
                sent += 1
                transmit()

            protocol.transmit = counted  # type: ignore[method-assign]
            protocol.take([(datagram, ("127.0.0.1", 9))] * SHARE)
            assert sent == 1

    steady.run(main())
