"""``supersoniq serve`` as a process, for clients that nobody here wrote."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE = 30
"""Seconds after which something hangs."""


def needs(program: str, *others: str) -> pytest.MarkDecorator:
    """Skip where a program is missing, under any of its names."""
    return pytest.mark.skipif(
        not any(map(shutil.which, (program, *others))),
        reason=f"there is no {program}: make test-tools installs it",
    )


class Served:
    """A server that runs, and what somebody beside its clients does there and sees of it.

    Args:
        url: its address.
        certfile: the certificate that it shows, if it speaks TLS.
    """

    def __init__(self, url: str, certfile: Path | None) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.certfile = certfile
        self.http = httpx.Client(base_url=url, verify=self.trust(), timeout=PATIENCE)
        self._names = (f"q{number}" for number in itertools.count())

    @property
    def secure(self) -> bool:
        return self.certfile is not None

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """What a client has to know to trust it; with the protocols that it offers by ALPN."""
        context = ssl.create_default_context(cafile=self.certfile)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context

    def new_queue(self) -> str:
        """The name of a queue that is there, and that nobody else uses."""
        name = next(self._names)
        assert self.http.put(f"/queues/{name}", json={}).status_code == 201
        return name

    def publish(self, queue: str, *contents: object) -> list[str]:
        """Publish; gives the ids."""
        messages = [{"content": content} for content in contents]
        answer = self.http.post(f"/queues/{queue}/messages", json=messages)
        assert answer.status_code == 201, answer.text
        return [published["id"] for published in answer.json()]

    def stats(self, queue: str) -> dict[str, Any]:
        figures = self.http.get(f"/queues/{queue}/stats").json()
        assert isinstance(figures, dict)
        return figures

    def all_done(self, queue: str, count: int) -> None:
        """Assert that so many were published, and each of them acknowledged."""
        seen = self.stats(queue)
        told = {name: seen[name] for name in ("published", "acked", "ready", "leased", "dead")}
        assert told == {"published": count, "acked": count, "ready": 0, "leased": 0, "dead": 0}


@contextmanager
def served(folder: Path, *flags: str) -> Iterator[Served]:
    """Run the server until the block ends. It must have nothing to complain of, and end well."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SUPERSONIQ_")}
    environment["XDG_CACHE_HOME"] = str(folder)
    command = [sys.executable, "-W", "error", "-m", "supersoniq", "serve", "--port", "0", *flags]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        url = json.loads(line)["url"]
        certfile = folder / "supersoniq" / "dev-cert.pem" if "--dev" in flags else None
        server = Served(url, certfile)
        yield server
        server.http.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    complaints = (folder / "log").read_text()
    assert "Traceback" not in complaints, complaints
    assert "ERROR" not in complaints, complaints
