"""Autobahn's fuzzing client (github.com/crossbario/autobahn-testsuite) on our WebSockets.

It is the field's test of RFC 6455: some 500 cases, of which those of compression (12 and 13) are
left out, for none is offered here. It speaks HTTP/1.1 only. So there is a bridge: a port for each
other carrier, where an upgrade is taken, and its bytes go on over a stream of HTTP/2, of HTTP/3, or
of a WebTransport session, to the same server. What the fuzzing client sees is what the server does.

The app behind it echoes, as Autobahn needs. ``/ws`` itself does not: there a text that is no frame
of its protocol ends the connection with 4400, and so must most of these cases.

    python -m tests.autobahn.run --wstest /path/to/wstest [--case '9.*'] [--markdown FILE]

``wstest`` needs Python 2.7: ``virtualenv -p python2.7 DIR; DIR/bin/pip install autobahntestsuite``
(a virtualenv older than 20.22 still makes such environments). The last Debian to have it is 11: a
``debootstrap`` of that with ``python2.7-dev`` and ``gcc`` will do, entered by ``chroot`` with
``/tmp`` bound, for the two exchange files there.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from benchmarks.abuse import doors
from supersoniq.servers.devcert import dev_certificate
from supersoniq.servers.h1_websocket import Protocol
from supersoniq.servers.h2.limits import Limits as Limits2
from supersoniq.servers.h3 import H3Server, Limits
from supersoniq.servers.negotiate import Negotiator, prepare

MESSAGE = 32 * 1024 * 1024
CARRIERS = {
    "h1": "HTTP/1.1 (uvicorn, websockets)",
    "h2": "HTTP/2",
    "h3": "HTTP/3",
    "wt": "WebTransport",
}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says what it hears."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Roomy(Negotiator):
    """Takes the large messages of part 9."""

    limits = Limits2(websocket_message=MESSAGE)


@asynccontextmanager
async def serving(directory: Path, secure: bool) -> AsyncIterator[int]:
    """The app over TCP; with TLS, also over UDP on the same port."""
    made = dev_certificate(directory)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        echo,
        http=Roomy,
        ws=Protocol,
        ws_max_size=MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=made.certfile if secure else None,
        ssl_keyfile=made.keyfile if secure else None,
    )
    prepare(config)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve([listener]))
    three = H3Server(echo, made.certfile, made.keyfile, limits=Limits(message_bytes=MESSAGE))
    if secure:
        await three.start_beside(listener)
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(task, three.stop(0.1))
        listener.close()


async def bridge(
    carrier: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Take an upgrade, and carry its bytes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    key = {name.strip().lower(): value.strip() for name, _, value in lines}[b"sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    answer = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    try:
        async with doors.wire(carrier, port, "/", b"") as wire:
            writer.write(answer + b"sec-websocket-accept: " + accept + b"\r\n\r\n")

            async def back() -> None:
                while not (wire.over() and not wire.received):
                    data = bytes(wire.received)
                    wire.received.clear()
                    writer.write(data)
                    await writer.drain()
                    if not data:
                        await asyncio.sleep(0.0005)
                writer.close()

            backwards = asyncio.ensure_future(back())
            try:
                while data := await reader.read(65536):
                    await wire.write(data)
                await asyncio.wait((backwards,), timeout=2)
            except (OSError, TimeoutError):
                await asyncio.wait((backwards,), timeout=2)
            finally:
                backwards.cancel()
    finally:
        writer.close()


async def run(wstest: str, cases: list[str], directory: Path) -> dict[str, dict[str, Any]]:
    """Gives what each case has come to, for each carrier."""
    async with serving(directory / "tls", False) as clear, serving(directory / "tls", True) as tls:
        servers = [{"agent": CARRIERS["h1"], "url": f"ws://127.0.0.1:{clear}/"}]
        bridges = []
        for carrier in ("h2", "h3", "wt"):

            async def carry(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, by: str = carrier
            ) -> None:
                try:
                    await bridge(by, tls, reader, writer)
                except (OSError, EOFError, ssl.SSLError):
                    writer.close()

            made = await asyncio.start_server(carry, "127.0.0.1", 0, limit=1 << 20)
            bridges.append(made)
            port = made.sockets[0].getsockname()[1]
            servers.append({"agent": CARRIERS[carrier], "url": f"ws://127.0.0.1:{port}/"})
        spec = {
            "outdir": str(directory / "reports"),
            "servers": [{**each, "options": {"version": 18}} for each in servers],
            "cases": cases,
            "exclude-cases": ["12.*", "13.*"],
            "exclude-agent-cases": {},
        }
        (directory / "spec.json").write_text(json.dumps(spec))
        command = [wstest, "-m", "fuzzingclient", "-s", str(directory / "spec.json")]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        await process.wait()
        for made in bridges:
            made.close()
    found: dict[str, dict[str, Any]] = json.loads((directory / "reports/index.json").read_text())
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """For each carrier how many cases ended how, and which did not pass."""
    lines = [
        "| carrier | cases | ok | informational | non-strict | failed |",
        "|---|---|---|---|---|---|",
    ]
    others = []
    for agent in sorted(found):
        results = found[agent]
        counts = Counter(each["behavior"] for each in results.values())
        good = ("OK", "INFORMATIONAL", "NON-STRICT")
        bad = sum(count for how, count in counts.items() if how not in good)
        cells = [agent, len(results), *(counts[how] for how in good), bad]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
        for case, each in sorted(results.items(), key=lambda item: [*map(int, item[0].split("."))]):
            if each["behavior"] not in ("OK", "INFORMATIONAL") or each["behaviorClose"] not in (
                "OK",
                "INFORMATIONAL",
            ):
                others.append(f"- {agent}, {case}: {each['behavior']}, {each['behaviorClose']}")
    return "\n".join([*lines, "", *others]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Autobahn's fuzzing client on our WebSockets.")
    parser.add_argument("--wstest", default=shutil.which("wstest"), help="the program")
    parser.add_argument("--case", action="append", help="as '9.*'; all but 12 and 13")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    parser.add_argument("--reports", type=Path, help="keep Autobahn's own reports there")
    options = parser.parse_args()
    if options.wstest is None:
        print(f"There is no wstest on the PATH.\n\n{__doc__}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(run(options.wstest, options.case or ["*"], Path(directory)))
        if options.reports is not None:
            shutil.copytree(Path(directory) / "reports", options.reports, dirs_exist_ok=True)
    told = table(found)
    print(told)
    if options.markdown is not None:
        options.markdown.write_text(told)
    fine = ("OK", "INFORMATIONAL", "NON-STRICT")
    bad = [each for results in found.values() for each in results.values()
           if each["behavior"] not in fine or each["behaviorClose"] not in fine]  # fmt: skip
    return int(bool(bad) or len(found) < len(CARRIERS))


if __name__ == "__main__":
    sys.exit(main())
