"""``rediss://``: with the right certificates, and only with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import trustme

from supersoniq.backends.redis import connect
from supersoniq.core import ops
from supersoniq.core.errors import BackendUnavailable
from supersoniq.core.messages import prepare
from tests.backends.redis_server import RedisServer, needs_server
from tests.ports import free_port

pytestmark = needs_server


class Papers:
    """A certificate authority, and what server and client show.

    Args:
        folder: where their files go.
    """

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.authority = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.authority)
        for name, identity in (("server", "localhost"), ("client", "worker@example.com")):
            issued = self.ca.issue_cert(identity)
            issued.private_key_pem.write_to_path(folder / f"{name}.key")
            for pem in issued.cert_chain_pems:
                pem.write_to_path(folder / f"{name}.pem", append=True)
        self.folder = folder

    def server(self) -> tuple[RedisServer, int]:
        """A server that shows its papers and wants to see others'."""
        port = free_port()
        return (
            RedisServer(
                "--tls-port", str(port), "--tls-ca-cert-file", self.authority,
                "--tls-cert-file", str(self.folder / "server.pem"),
                "--tls-key-file", str(self.folder / "server.key"),
            ),
            port,
        )  # fmt: skip


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return Papers(tmp_path)


async def publish(url: str, **options: str) -> None:
    backend = connect(url, **options)
    await backend.open()
    heard = asyncio.Event()
    stop = backend.listen("q", heard.set)
    [[_]] = await backend.execute([ops.Publish("q", [prepare(b"x")])])
    await asyncio.wait_for(heard.wait(), 30)
    stop()
    await backend.close()


def test_with_papers_and_without(papers: Papers, tmp_path: Path) -> None:
    server, port = papers.server()
    try:
        server.start()
    except AssertionError as error:
        if "tls" not in str(error):
            raise
        pytest.skip("this redis-server was built without TLS; make redis-tools installs one")
    mine = {"certfile": str(tmp_path / "client.pem"), "keyfile": str(tmp_path / "client.key")}
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    try:
        url = f"rediss://localhost:{port}"
        asyncio.run(publish(url, ca=papers.authority, **mine))
        for wrong_url, wrong in (
            (url, {}),  # an authority that the system does not know
            (url, {"ca": str(stranger), **mine}),
            (url, {"ca": papers.authority}),  # nothing to show
            (f"rediss://127.0.0.1:{port}", {"ca": papers.authority, **mine}),  # not its name
            (f"redis://localhost:{port}", {}),  # no TLS at all
        ):
            with pytest.raises(BackendUnavailable):
                asyncio.run(publish(wrong_url, **wrong))
    finally:
        server.remove()
