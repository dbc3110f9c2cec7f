"""The project's own server, in this loop."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from supersoniq.servers.h2.limits import Limits
from supersoniq.servers.native import Server
from supersoniq.servers.plugin import Options
from tests.servers.http2 import App, Running, until
from tests.servers.program import certificate

LIMITS = {field.name for field in dataclasses.fields(Limits)}


@asynccontextmanager
async def serving(
    app: App, folder: Path, *, secure: bool = True, **options: Any
) -> AsyncIterator[Running]:
    """Serve an app until the block ends, without HTTP/3.

    Args:
        app: the app.
        folder: where the certificate can be.
        secure: whether over TLS.
        **options: of ``Options``, or of a connection's ``Limits``.
    """
    limits = {name: options.pop(name) for name in LIMITS & options.keys()}
    chain = Path(certificate(folder)) if secure else None
    server = Server(app, Options(certfile=chain, http3=False, grace=2, **options))
    server._limits = dataclasses.replace(server._limits, **limits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        task = asyncio.ensure_future(server.serve([listener]))
        await until(lambda: server.started or task.done())
        try:
            yield Running(server, port, secure)
        finally:
            server.stop()
            await asyncio.wait_for(task, 20)
