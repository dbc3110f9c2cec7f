"""curl: what docs/http.md shows, over every version of HTTP that it speaks."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.served import PATIENCE, Served, needs

pytestmark = needs("curl")
WAYS = {
    "1.1-clear": ("clear", "1.1", ["--http1.1"]),
    "2-clear": ("clear", "2", ["--http2-prior-knowledge"]),
    "1.1-tls": ("tls", "1.1", ["--http1.1"]),
    "2-tls": ("tls", "2", ["--http2"]),
    "3-tls": ("tls", "3", ["--http3-only"]),
}


@functools.cache
def features() -> str:
    if shutil.which("curl") is None:
        return ""
    return subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout


class Curl:
    """curl, with a server and a way to speak with it."""

    def __init__(self, server: Served, version: str, flags: list[str]) -> None:
        self.server = server
        self.version = version
        self.flags = ["--silent", "--show-error", "--max-time", str(PATIENCE), *flags]
        if server.cafile is not None:
            self.flags += ["--cacert", str(server.cafile)]

    def run(self, path: str, *words: str, body: bytes | None = None) -> tuple[int, str]:
        """The status and the answer."""
        told = ["--write-out", "\n%{http_code} %{http_version}"]
        done = subprocess.run(
            ["curl", *self.flags, *told, self.server.url + path, *words],
            input=body,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        answer, _, last = done.stdout.decode().rpartition("\n")
        status, version = last.split()
        assert version == self.version
        return int(status), answer

    def json(self, path: str, value: Any = None) -> Any:
        sent = [] if value is None else ["--json", "@-"]
        body = None if value is None else json.dumps(value).encode()
        status, answer = self.run(path, *sent, body=body)
        assert status in (200, 201), answer
        return json.loads(answer)


@pytest.fixture(params=WAYS)
def curl(request: pytest.FixtureRequest) -> Curl:
    where, version, flags = WAYS[request.param]
    if version != "1.1" and f"HTTP{version}" not in features():
        pytest.skip(f"this curl is built without HTTP/{version}, as Debian's is without HTTP/3")
    return Curl(request.getfixturevalue(where), version, flags)


def test_publish_lease_and_settle(curl: Curl, tmp_path: Path) -> None:
    queue = curl.server.new_queue()
    at = f"/queues/{queue}"
    made = curl.json(f"{at}/messages", {"content": {"to": "ada"}, "priority": 5})
    assert curl.json(f"{at}/messages/{made['id']}")["content"] == {"to": "ada"}
    curl.json(f"{at}/messages", [{"content": "x" * 400_000}, {"content": "two"}])
    lines = b"".join(b'{"content": %d}\n' % n for n in range(200))
    ndjson = ["-H", "content-type: application/x-ndjson", "-T", "-", "-X", "POST"]
    status, told = curl.run(f"{at}/messages", *ndjson, body=lines)
    assert (status, json.loads(told)["lines"]) == (201, 200)
    (tmp_path / "dot.png").write_bytes(bytes(range(256)))
    raw = ["-H", "content-type: image/png", "--data-binary", f"@{tmp_path}/dot.png"]
    status, _ = curl.run(f"{at}/messages?priority=3&headers.name=dot", *raw)
    assert status == 201
    seen: list[Any] = []
    while len(seen) < 204:
        leased = curl.json(f"{at}/leases", {"limit": 100, "wait": 5})
        seen += leased
        acks = [{"receipt": each["receipt"], "outcome": "ack"} for each in leased]
        verdicts = curl.json(f"{at}/settlements", acks)
        assert verdicts == [{"ok": True}] * len(leased)
    assert [each.get("content") for each in seen[:2]] == [{"to": "ada"}, None]
    assert seen[1]["headers"] == {"name": "dot"}
    assert [each["content"] for each in seen[2:]] == ["x" * 400_000, "two", *range(200)]
    curl.server.all_done(queue, 204)


def test_errors(curl: Curl, tmp_path: Path) -> None:
    queue = curl.server.new_queue()
    (tmp_path / "large").write_bytes(b"x" * 8_000_000)
    at, large = f"/queues/{queue}", f"@{tmp_path}/large"
    for path, words, status in (
        ("/queues/there-is-none", [], 404),
        (f"{at}/messages", ["--json", "{"], 400),
        (f"{at}/messages", ["-H", "content-type: a/b", "--data-binary", large], 413),
        (f"{at}/messages", ["-H", "content-type: a/b", "-X", "POST", "-T", large[1:]], 413),
        (at, ["-X", "PATCH"], 405),
    ):
        got, answer = curl.run(path, *words)
        problem = json.loads(answer)
        assert (got, problem["status"]) == (status, status), answer
        assert problem["type"].startswith("urn:supersoniq:problem:")
    assert curl.server.stats(queue)["published"] == 0


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_events_until_the_queue_is_deleted(curl: Curl, accept: str) -> None:
    server = curl.server
    queue = server.new_queue()
    address = f"{server.url}/queues/{queue}/events"
    with subprocess.Popen(
        ["curl", *curl.flags, "--no-buffer", address, "-H", f"accept: {accept}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        events = (
            json.loads(line.removeprefix("data: "))
            for line in process.stdout
            if line.startswith(("{", "data: "))
        )
        assert next(events)["kind"] == "start"
        for n in range(5):  # each is there before the next is published
            server.publish(queue, n)
            assert next(events)["message"]["content"] == n
        server.http.delete(f"/queues/{queue}")
        assert next(events)["problem"]["code"] == "queue-not-found"
        assert process.wait(PATIENCE) == 0
