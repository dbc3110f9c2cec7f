"""Certificates and keys: what is wrong with them is said before a server begins."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import niquests
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from supersoniq.adapters import create_app
from supersoniq.api.broker import Broker
from supersoniq.backends.memory import MemoryBackend
from supersoniq.core.errors import InvalidSetting
from supersoniq.servers.devcert import dev_certificate
from supersoniq.servers.h3 import H3Server, udp_socket
from supersoniq.servers.tls import check_pair, whose

AUTHORITY = trustme.CA()
NAMES = ["a.example", "b.example", "c.example", "d.example", "127.0.0.1"]


class Files:
    """A certificate, its key, both of them, another's key, and an encrypted one."""

    def __init__(self, folder: Path) -> None:
        pair, other = AUTHORITY.issue_cert(*NAMES), AUTHORITY.issue_cert("other.example")
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.both, self.others = folder / "both.pem", folder / "others.pem"
        self.locked, self.junk = folder / "locked.pem", folder / "junk.pem"
        self.chain.write_bytes(b"".join(each.bytes() for each in pair.cert_chain_pems))
        pair.private_key_pem.write_to_path(str(self.key))
        pair.private_key_and_cert_chain_pem.write_to_path(str(self.both))
        other.private_key_pem.write_to_path(str(self.others))
        key = load_pem_private_key(self.key.read_bytes(), None)
        encrypted = BestAvailableEncryption(b"secret")
        self.locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted))
        self.junk.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        self.nowhere = folder / "nowhere.pem"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def test_what_fits(files: Files) -> None:
    check_pair(files.both)
    check_pair(files.chain, files.key)
    check_pair(str(files.chain), str(files.key))


@pytest.mark.parametrize(
    ("chain", "key", "setting", "problem"),
    [
        ("chain", None, "certfile", "is there a keyfile"),
        ("key", None, "certfile", "holds no certificate and key"),
        ("junk", None, "certfile", "holds no certificate and key"),
        ("chain", "others", "keyfile", "is not the key of the first certificate"),
        ("both", "others", "keyfile", "is not the key of the first certificate"),
        ("chain", "locked", "certfile", "locked.pem' no key"),
        ("chain", "chain", "certfile", "no key"),
        ("junk", "key", "certfile", "holds no certificate"),
    ],
)
def test_what_does_not(
    files: Files, chain: str, key: str | None, setting: str, problem: str
) -> None:
    with pytest.raises(InvalidSetting, match=problem) as caught:
        check_pair(getattr(files, chain), None if key is None else getattr(files, key))
    assert caught.value.setting == setting
    assert caught.value.value == str(getattr(files, chain if setting == "certfile" else key or ""))


@pytest.mark.parametrize(("chain", "key"), [("nowhere", None), ("chain", "nowhere")])
def test_what_is_not_there(files: Files, chain: str, key: str | None) -> None:
    with pytest.raises(FileNotFoundError):
        check_pair(getattr(files, chain), None if key is None else getattr(files, key))


def test_whose_it_is(files: Files, tmp_path: Path) -> None:
    told = whose(files.chain)
    assert told.startswith("a.example, b.example, c.example and 2 more; issued by ")
    assert "trustme" in told
    own = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(own))
    told = whose(own)  # it names no host
    assert "; self-signed; until " in told
    assert "trustme" in told.partition(";")[0]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_strict_clients_take_the_certificate_for_development(tmp_path: Path, host: str) -> None:
    """Of which RFC 5280 asks for more than most do (Python's default from 3.13 on)."""
    made = dev_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(made.certfile))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    trust.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made.certfile, made.keyfile)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=host)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert client.version() == "TLSv1.3"
    assert len(trust.get_ca_certs()) == 1  # its authority, and nothing else


def test_a_client_that_trusts_authorities_alone(tmp_path: Path) -> None:
    """qh3, over HTTP/3; so do others that are made of rustls."""

    async def main() -> None:
        made = dev_certificate(tmp_path)
        app = create_app(Broker(MemoryBackend()))
        server = H3Server(app, made.certfile, made.keyfile)
        await server.start(udp_socket("127.0.0.1", 0, socket.AF_INET))
        async with niquests.AsyncSession(disable_http1=True, disable_http2=True) as session:
            session.trust_env = False
            session.verify = str(made.certfile)
            session.quic_cache_layer[("localhost", server.port)] = ("localhost", server.port)
            answer = await session.get(f"https://localhost:{server.port}/")
            assert (answer.status_code, answer.http_version) == (200, 30)
        await server.stop(1)

    asyncio.run(main())
