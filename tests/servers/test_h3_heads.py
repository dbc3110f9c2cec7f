"""Heads over HTTP/3 that are wrong, and bodies that are not as long as they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import steady
from tests.servers.h3_client import Fields, honest, request_head, serving, visiting
from tests.servers.h3_rude import GET, app, without

pytestmark = pytest.mark.usefixtures("no_traceback")

HEADS: dict[str, Fields] = {
    "non-ascii path": request_head("GET", "/\xff\xe9"),
    "no path": without(b":path"),
    "empty path": [*without(b":path"), (b":path", b"")],
    "no slash": request_head("GET", "path"),
    "space in path": request_head("GET", "/a b"),
    "no method": without(b":method"),
    "no authority": without(b":authority"),
    "no scheme": without(b":scheme"),
    "connect without path": [(b":method", b"CONNECT"), (b":authority", b"a:1")],
    "connect with path": request_head("CONNECT", "/"),
    "protocol unknown": [*request_head("CONNECT", "/"), (b":protocol", b"tea")],
    "protocol without connect": [*GET, (b":protocol", b"websocket")],
    "path twice": [*GET, (b":path", b"/")],
    "method twice": [*GET, (b":method", b"POST")],
    "pseudo field late": [(b"x-a", b"1"), *GET],
    "pseudo field unknown": [*GET, (b":tea", b"1")],
    "status in a request": [*GET, (b":status", b"200")],
    "upper case": [*GET, (b"X-A", b"1")],
    "space in a name": [*GET, (b"x a", b"1")],
    "line break": [*GET, (b"x-a", b"1\r\nx-b: 2")],
    "zero": [*GET, (b"x-a", b"\x00")],
    "connection": [*GET, (b"connection", b"close")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "length no number": [*GET, (b"content-length", b"+5")],
    "length negative": [*GET, (b"content-length", b"-5")],
    "lengths differ": [*GET, (b"content-length", b"5"), (b"content-length", b"6")],
    "hosts differ": [*GET, (b"host", b"elsewhere")],
    "fields too large": [*GET, (b"x-a", b"x" * 30_000)],
    "fields too many": [*GET, *((b"x-%d" % n, b"") for n in range(3000))],
}


def test_a_bad_head_costs_its_stream_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            client.never_stop()
            for name, head in HEADS.items():
                for end in (True, False):
                    stream_id = client.open(head, end=end)
                    answer = await client.answer(stream_id).wait()
                    assert answer.reset is None, name
                    assert answer.status in (400, 431, 501), name
                    if not end:
                        client.raw(stream_id, b"\x00\x04more", end=True)
                assert (await client.request("GET", "/")).status == 200
                assert client.ended is None
                await honest(server)

    steady.run(main())


@pytest.mark.parametrize("length", [b"3", b"9"])
def test_a_length_that_is_not_kept(tmp_path: Path, length: bytes) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            stream_id = client.open([*request_head("POST", "/"), (b"content-length", length)])
            client.send(stream_id, b"xxxxx", end=True)
            assert (await client.answer(stream_id).wait()).reset == 0x10E
            assert (await client.request("GET", "/")).status == 200
            bad_trailers = client.open(request_head("POST", "/"))
            client.http.send_headers(bad_trailers, [(b":path", b"/")], True)
            client.transmit()
            assert (await client.answer(bad_trailers).wait()).reset == 0x10E
            assert (await client.request("GET", "/")).status == 200
            await honest(server)

    steady.run(main())
