"""A browser: WebTransport by the hash of the certificate, fetch and an event source over HTTP/3."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.servers.devcert import dev_certificate
from tests.servers.h3_client import serving
from tests.servers.test_h3_websocket import Echo

playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

# Frames of RFC 6455, as a page makes them: with a mask, as clients must, that is zero.
WEBTRANSPORT = """
async ([port, hash]) => {
  const transport = new WebTransport(`https://127.0.0.1:${port}/ws`, {
    serverCertificateHashes: [{algorithm: 'sha-256', value: new Uint8Array(hash)}]});
  await transport.ready;
  const stream = await transport.createBidirectionalStream();
  const writer = stream.writable.getWriter(), reader = stream.readable.getReader();
  const send = (kind, bytes) => {
    const n = bytes.length, head = [0x80 | kind];
    if (n < 126) head.push(0x80 | n);
    else if (n < 65536) head.push(0x80 | 126, n >> 8, n & 255);
    else head.push(0x80 | 127, 0, 0, 0, 0, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255);
    return writer.write(new Uint8Array([...head, 0, 0, 0, 0, ...bytes]));
  };
  let rest = new Uint8Array(0);
  const take = async n => {
    while (rest.length < n) {
      const {value, done} = await reader.read();
      if (done) throw new Error('the stream is over');
      const more = new Uint8Array(rest.length + value.length);
      more.set(rest); more.set(value, rest.length); rest = more;
    }
    const taken = rest.slice(0, n); rest = rest.slice(n); return taken;
  };
  const next = async () => {
    const head = await take(2);
    let n = head[1] & 127;
    if (n > 125) n = (await take(n == 126 ? 2 : 8)).reduce((sum, byte) => sum * 256 + byte, 0);
    return [head[0] & 15, await take(n)];
  };
  const seen = [];
  await send(1, new TextEncoder().encode('hello'));
  seen.push(new TextDecoder().decode((await next())[1]));
  const large = Uint8Array.from({length: 300000}, (_, n) => n % 256);
  send(2, large);
  let got = 0, whole = true;
  while (got < large.length) for (const byte of (await next())[1]) whole &&= byte === got++ % 256;
  seen.push(whole);
  await send(8, [0x0f, 0xa0]);
  const [kind, code] = await next();
  seen.push(kind, code[0] * 256 + code[1]);
  transport.close();
  await transport.closed;
  return seen;
}
"""

FETCH = """
async () => {
  const post = async (path, value) => (await fetch(path, {method: 'POST',
    headers: {'content-type': 'application/json'}, body: JSON.stringify(value)})).json();
  await post('/queues/q/messages', {content: 'from a page'});
  const [leased] = await post('/queues/q/leases', {limit: 5, wait: 1});
  const settlement = {receipt: leased.receipt, outcome: 'ack'};
  const [verdict] = await post('/queues/q/settlements', [settlement]);
  const source = new EventSource('/queues/q/events');
  const event = new Promise(done => source.addEventListener('published', done));
  await new Promise(done => source.onopen = done);
  await post('/queues/q/messages', {content: 'seen'});
  await event;
  source.close();
  const spoken = performance.getEntriesByType('resource').map(entry => entry.nextHopProtocol);
  return [leased.content, verdict.ok, [...new Set(spoken)]];
}
"""


@asynccontextmanager
async def browsing(*flags: str) -> AsyncIterator[Any]:
    """A page of a browser."""
    async with playwright.async_playwright() as tools:
        arguments = ["--no-sandbox", *flags]
        browser = await tools.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


async def blank(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A page of this machine's: one from elsewhere may not talk to it."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\npage")
    await writer.drain()
    writer.close()


def test_webtransport(tmp_path: Path) -> None:
    async def main() -> None:
        app = Echo()
        pages = await asyncio.start_server(blank, "127.0.0.1", 0)
        async with serving(app, tmp_path) as server, browsing() as page:
            certificate = dev_certificate(tmp_path / "tls")
            await page.goto(f"http://127.0.0.1:{pages.sockets[0].getsockname()[1]}/")
            asked = [server.port, list(certificate.sha256)]
            seen = await page.evaluate(WEBTRANSPORT, asked)
            assert seen == ["hello", True, 8, 4000]
            assert app.ends == [(4000, "")]
        pages.close()

    asyncio.run(main())


def test_work_over_fetch_and_an_event_source(tmp_path: Path) -> None:
    async def main() -> None:
        certificate = dev_certificate(tmp_path / "tls")
        key = x509.load_pem_x509_certificate(certificate.certfile.read_bytes()).public_key()
        public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        trusted = base64.b64encode(hashlib.sha256(public).digest()).decode()
        async with (
            supersoniq.connect("memory://") as broker,
            serving(create_app(broker), tmp_path) as server,
            browsing(
                f"--origin-to-force-quic-on=127.0.0.1:{server.port}",
                f"--ignore-certificate-errors-spki-list={trusted}",
            ) as page,
        ):
            await page.goto(f"https://127.0.0.1:{server.port}/")
            assert await page.evaluate(FETCH) == ["from a page", True, ["h3"]]

    asyncio.run(main())
