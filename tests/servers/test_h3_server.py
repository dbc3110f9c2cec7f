"""The server as a whole: who may come in, how it stops, and its certificate."""

from __future__ import annotations

import asyncio
import datetime
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from aioquic._buffer import Buffer
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from wsproto import events as ws

from supersoniq.servers.alt_svc import alt_svc
from supersoniq.servers.devcert import dev_certificate
from supersoniq.servers.h3 import H3Server, udp_socket
from supersoniq.servers.h3 import server as h3_server
from supersoniq.servers.h3.server import LAST_WORDS
from tests import steady
from tests.servers.h3_client import honest, request_head, serving, until, visiting


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/endless":
        while True:
            await send({"type": "http.response.body", "body": b"on", "more_body": True})
            await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b" done"})


class Wire(asyncio.DatagramProtocol):
    """Takes down what a server answers."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)


def test_an_address_is_validated_before_anything_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(app, tmp_path) as server:
            loop = asyncio.get_running_loop()
            transport, wire = await loop.create_datagram_endpoint(
                Wire, remote_addr=("127.0.0.1", server.port)
            )
            initial = b"\xc0\0\0\0\1\x08clientid\x08sourceid\x00\x44\x96" + bytes(1174)
            for _ in range(50):
                transport.sendto(initial)
            await until(lambda: len(wire.got) == 50)
            assert server.connections == 0
            for data in wire.got:
                header = pull_quic_header(Buffer(data=data), host_cid_length=8)
                assert header.packet_type == QuicPacketType.RETRY
                assert len(data) < len(initial) / 5
            wire.got.clear()
            # A token that was not made here.
            transport.sendto(
                b"\xc0\0\0\0\1\x08clientid\x08sourceid\x20" + bytes(32) + b"\x44\x76" + bytes(1142)
            )
            # A version that nobody speaks is told which ones there are.
            transport.sendto(b"\xc0\x1a\x2a\x3a\x4a" + initial[5:])
            await until(lambda: len(wire.got) == 2)
            kinds = [pull_quic_header(Buffer(data=each), 8).packet_type for each in wire.got]
            assert kinds == [QuicPacketType.INITIAL, QuicPacketType.VERSION_NEGOTIATION]
            assert server.connections == 0
            transport.close()
            await honest(server)

    steady.run(main())


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_address"])
def test_no_more_connections_than_there_may_be(tmp_path: Path, limit: str) -> None:
    async def main() -> None:
        async with serving(app, tmp_path, **{limit: 2}) as server:
            async with visiting(server) as one, visiting(server) as two:
                with pytest.raises(ConnectionError):
                    async with visiting(server):
                        pass
                assert server.connections == 2
                for client in (one, two):
                    assert (await client.request("GET", "/")).status == 200
            await until(lambda: not server.connections)
            await honest(server)

    steady.run(main())


def test_no_early_data_is_offered(tmp_path: Path) -> None:
    """A client gets no ticket, and so has nothing to come back with."""

    async def main() -> None:
        async with serving(app, tmp_path) as server, visiting(server) as client:
            tickets: list[Any] = []
            client._quic.tls.new_session_ticket_cb = tickets.append
            for _ in range(3):
                assert (await client.request("GET", "/")).status == 200
            assert tickets == []

    steady.run(main())


def test_a_stop_lets_finish_what_has_begun(tmp_path: Path) -> None:
    done = asyncio.Event()

    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await done.wait()
        await send({"type": "http.response.body", "body": b" done"})

    async def main() -> None:
        async with serving(slow_app, tmp_path) as server, visiting(server) as client:
            slow = client.open(request_head("GET", "/slow"), end=True)
            await client.answer(slow).until(b"begun")
            stopping = asyncio.ensure_future(server.stop(600))
            await asyncio.sleep(0.05)
            late = await client.request("GET", "/late")
            assert late.reset == 0x10B  # it may be sent again, elsewhere
            with pytest.raises(ConnectionError):
                async with visiting(server):
                    pass
            done.set()
            answer = await client.answer(slow).wait()
            assert answer.content == b"begun done"
            await asyncio.wait_for(stopping, 30)
            await until(lambda: client.ended is not None)
            assert client.ended is not None
            assert client.ended.error_code == 0x100

    steady.run(main())


def test_a_stop_waits_until_what_was_said_is_heard(tmp_path: Path) -> None:
    """The app has said all, but its client is far away."""
    size = 100_000

    async def large(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    async def main() -> None:
        async with serving(large, tmp_path) as server, visiting(server) as client:
            on_the_way: list[Any] = []
            hear, client.datagram_received = (  # type: ignore[method-assign]
                client.datagram_received,
                lambda *datagram: on_the_way.append(datagram),
            )
            number = client.open(request_head("GET", "/"), end=True)
            await until(lambda: bool(on_the_way))
            stopping = asyncio.ensure_future(server.stop(20))
            await asyncio.sleep(2 * LAST_WORDS)
            client.datagram_received = hear  # type: ignore[method-assign]
            for datagram in on_the_way:
                hear(*datagram)
            answer = await client.answer(number).wait()
            assert len(answer.content) == size
            await stopping

    steady.run(main())


def test_a_stop_does_not_wait_for_who_has_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(h3_server, "SILENCE", 0.3)
    ending = asyncio.Event()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await ending.wait()
        await send({"type": "http.response.body", "body": b"the end"})

    async def main() -> None:
        async with serving(held, tmp_path) as server, visiting(server) as client:
            number = client.open(request_head("GET", "/"), end=True)
            await client.answer(number).until(b"begun")
            client.datagram_received = lambda *_: None  # type: ignore[method-assign]
            stopping = asyncio.ensure_future(server.stop(600))
            ending.set()
            await asyncio.wait_for(stopping, 30)

    steady.run(main())


def test_a_stop_ends_within_its_grace(tmp_path: Path) -> None:
    async def main() -> None:
        before = len(asyncio.all_tasks())
        async with serving(app, tmp_path) as server, visiting(server) as client:
            endless = client.open(request_head("GET", "/endless"), end=True)
            await client.answer(endless).until(b"on")
            waiting = await client.websocket("/ws")
            clock = asyncio.get_running_loop().time
            begun = clock()
            await server.stop(0.3)
            assert clock() - begun < 4.5
            close = await waiting.next()
            assert isinstance(close, ws.CloseConnection)
            assert close.code == 1012
            answer = await client.answer(endless).wait()
            assert answer.reset is not None
            assert server.connections == 0
            assert server._listener is None
        await until(lambda: len(asyncio.all_tasks()) == before)

    steady.run(main())


@pytest.mark.parametrize("kind", ["ec", "pkcs8", "rsa", "key first", "two files"])
def test_certificates_of_all_kinds(tmp_path: Path, kind: str) -> None:
    authority = trustme.CA()
    keys = trustme.KeyType.RSA if kind == "rsa" else trustme.KeyType.ECDSA
    pair = authority.issue_cert("localhost", key_type=keys)
    secret, chain = pair.private_key_pem.bytes(), [each.bytes() for each in pair.cert_chain_pems]
    if kind == "pkcs8":
        key = serialization.load_pem_private_key(secret, None)
        secret = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    certfile, keyfile = tmp_path / "cert.pem", tmp_path / "key.pem"
    keyfile.write_bytes(secret)
    both = [secret, *chain] if kind == "key first" else [*chain, secret]
    certfile.write_bytes(b"".join(chain if kind == "two files" else both))

    async def main() -> None:
        server = H3Server(app, certfile, keyfile if kind == "two files" else None)
        await server.start(udp_socket("127.0.0.1", 0, socket.AF_INET))
        await honest(server)
        await server.stop(1)

    steady.run(main())


def test_certificates_that_are_none(tmp_path: Path) -> None:
    good, other = dev_certificate(tmp_path / "one"), dev_certificate(tmp_path / "two")
    with pytest.raises(ValueError, match=r"dev-key\.pem holds no certificate"):
        H3Server(app, good.keyfile)
    with pytest.raises(ValueError, match="holds no private key"):
        H3Server(app, good.certfile)
    with pytest.raises(ValueError, match="not that of the first certificate"):
        H3Server(app, good.certfile, other.keyfile)
    other.keyfile.write_text("-----BEGIN PRIVATE KEY-----\nno\n-----END PRIVATE KEY-----")
    with pytest.raises(ValueError, match="cannot be read"):
        H3Server(app, good.certfile, other.keyfile)


def test_what_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        H3Server(app, tmp_path / "none.pem")
    with (
        udp_socket("127.0.0.1", 0, socket.AF_INET) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        udp_socket("127.0.0.1", taken.getsockname()[1], socket.AF_INET)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_ipv6(tmp_path: Path, loop: str) -> None:
    async def main() -> None:
        certificate = dev_certificate(tmp_path)
        server = H3Server(app, certificate.certfile, certificate.keyfile)
        await server.start(udp_socket("::1", 0, socket.AF_INET6))
        async with visiting(server, host="::1") as client:
            assert (await client.request("GET", "/")).status == 200
        await server.stop(1)

    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_a_certificate_for_development(tmp_path: Path) -> None:
    made = dev_certificate(tmp_path / "new")
    assert made.made
    assert stat.S_IMODE(made.keyfile.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    certificate, authority = x509.load_pem_x509_certificates(made.certfile.read_bytes())
    certificate.verify_directly_issued_by(authority)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert datetime.timedelta(days=13) < life <= datetime.timedelta(days=14)
    assert certificate.not_valid_before_utc < datetime.datetime.now(datetime.UTC)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    for text in ("made a certificate", made.sha256.hex(), str(made.keyfile)):
        assert text in str(made)
    # It is used again, as long as it is whole.
    again = dev_certificate(tmp_path / "new")
    assert (again.made, again.sha256) == (False, made.sha256)
    assert "took" in str(again)
    made.keyfile.write_text("nothing")
    third = dev_certificate(tmp_path / "new")
    assert third.made
    assert third.sha256 != made.sha256
    assert stat.S_IMODE(made.keyfile.stat().st_mode) == 0o600


def test_small_things() -> None:
    assert alt_svc(8443) == (b"alt-svc", b'h3=":8443"; ma=3600')
