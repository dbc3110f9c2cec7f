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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

PATIENCE = 30
"""Seconds after which something hangs."""
PATIENT = f"""
import functools
from supersoniq.cli import main
from supersoniq.servers import native
native.Limits = functools.partial(native.Limits, push_patience={PATIENCE})
main()
"""
"""The program, but for a second in which clients take no push, after which the rest is told in the
stream: on a busy machine they need more."""


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
        cafile: who vouches for that; by default it does so itself.
    """

    def __init__(self, url: str, certfile: Path | None, cafile: Path | None = None) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.certfile = certfile
        self.cafile = cafile or certfile
        self.http = httpx.Client(base_url=url, verify=self.trust(), timeout=PATIENCE)
        self._names = (f"q{number}" for number in itertools.count())

    @property
    def secure(self) -> bool:
        return self.certfile is not None

    def trust(self, *protocols: str) -> ssl.SSLContext:
        """What a client has to know to trust it; with the protocols that it offers by ALPN."""
        context = ssl.create_default_context(cafile=self.cafile)
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
        """Assert that so many were published, and each of them acknowledged.

        The last word of somebody else's connection may still be on its way.
        """
        done = {"published": count, "acked": count, "ready": 0, "leased": 0, "dead": 0}
        end = time.monotonic() + PATIENCE
        while (seen := self.stats(queue))["leased"] and time.monotonic() < end:
            time.sleep(0.01)
        assert {name: seen[name] for name in done} == done


def make_certificate(folder: Path) -> tuple[str, ...]:
    """The flags for a certificate that an authority vouches for, and that is made in the folder.

    It is valid for ten days: a page may name the hash of one that is for less than two weeks.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    now = datetime.now(UTC)
    made = authority.issue_cert(
        "localhost",
        "127.0.0.1",
        not_before=now - timedelta(days=1),
        not_after=now + timedelta(days=9),
    )
    made.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    made.private_key_pem.write_to_path(str(folder / "key.pem"))
    return ("--certfile", str(folder / "cert.pem"), "--keyfile", str(folder / "key.pem"))


@contextmanager
def served(folder: Path, *flags: str, patient: bool = False) -> Iterator[Served]:
    """Run the server until the block ends. It must have nothing to complain of, and end well.

    Args:
        folder: where it lives.
        flags: of ``serve``.
        patient: whether pushes wait for slow clients (see ``PATIENT``).
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SUPERSONIQ_")}
    environment["XDG_CACHE_HOME"] = str(folder)
    program = ("-c", PATIENT) if patient else ("-m", "supersoniq")
    command = [sys.executable, "-W", "error", *program, "serve", "--port", "0", *flags]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder / "log").read_text()
        url = json.loads(line)["url"]
        if "--dev" in flags:
            server = Served(url, folder / "supersoniq" / "dev-cert.pem")
        elif "--certfile" in flags:
            server = Served(url, folder / "cert.pem", folder / "ca.pem")
        else:
            server = Served(url, None)
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
