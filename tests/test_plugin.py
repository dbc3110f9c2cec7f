"""A backend and a server brought by a separate package: built, installed, and found by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the plugin's wheel is installed."""
    folder = tmp_path_factory.mktemp("plugin")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(PLUGIN)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True,
        capture_output=True,
    )
    return target


def run(site: Path, program: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_found_by_its_scheme_and_works(site: Path) -> None:
    program = """
import asyncio, json, supersoniq
async def main():
    async with supersoniq.connect("teapot://", leaves=3) as broker:
        queue = broker.queue("tea")
        await asyncio.gather(*(queue.publish(f"cup {n}") for n in range(50)))
        texts = []
        async for delivery in queue.receive(prefetch=10):
            async with delivery:
                texts.append(delivery.text())
            if len(texts) == 50:
                break
        stats = await queue.stats()
        print(json.dumps([broker.backend.leaves, texts, stats.acked, max(broker.backend.batches)]))
asyncio.run(main())
"""
    leaves, texts, acked, largest = run(site, program)
    assert leaves == 3
    assert texts == [f"cup {n}" for n in range(50)]
    assert acked == 50
    assert largest == 50, "concurrent publishes did not meet in one batch"


ERRORS = """
import json, supersoniq
try:
    supersoniq.connect({url!r})
except supersoniq.SupersoniqError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_an_unknown_scheme_names_the_known_ones(site: Path) -> None:
    name, text = run(site, ERRORS.format(url="kettle-pot://"))
    assert name == "UnknownBackend"
    assert "memory" in text
    assert "teapot" in text


def test_a_missing_extra_prints_the_command(site: Path) -> None:
    name, text = run(site, ERRORS.format(url="kettle://"))
    assert name == "MissingExtra"
    assert "pip install 'supersoniq-teapot[tea]'" in text


def test_a_factory_that_gives_no_backend_is_told_so(site: Path) -> None:
    name, text = run(site, ERRORS.format(url="cup://"))
    assert name == "InvalidSetting"
    assert "no Backend" in text


def test_text_that_is_no_url(site: Path) -> None:
    name, _ = run(site, ERRORS.format(url="jobs.db"))
    assert name == "InvalidSetting"


def serve(site: Path, *words: str) -> subprocess.Popen[str]:
    """``supersoniq serve``, in a process that has the plugin."""
    command = [sys.executable, "-W", "error", "-m", "supersoniq", "serve", "--port", "0"]
    return subprocess.Popen(
        [*command, "--backend", "memory://", *words],
        env={
            **os.environ,
            "PYTHONPATH": str(site),
            "PYTHONUNBUFFERED": "1",
            "XDG_CACHE_HOME": str(site.parent),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to be sent")
def test_a_server_is_found_by_its_name_and_serves(site: Path) -> None:
    with serve(site, "--server", "teapot", "--grace", "5") as server:
        try:
            assert server.stdout is not None
            said = json.loads(server.stdout.readline())
            assert said["server"] == "teapot"
            assert said["tcp"] == ["HTTP/1.1"]
            ask = urllib.request.Request(
                f"{said['url']}/messages", b"hot", {"content-type": "text/x"}
            )
            with urllib.request.urlopen(ask, timeout=60) as answer:
                assert answer.status == 201
            with urllib.request.urlopen(f"{said['url']}/messages", timeout=60) as answer:
                assert [each["content"] for each in json.load(answer)] == ["hot"]
            server.send_signal(signal.SIGTERM)
            _, told = server.communicate(timeout=60)
            assert server.returncode == 0, told
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--server", "cosy"], "listen.server = 'cosy': is not among "),
        (["--server", "cosy"], "teapot"),
        (["--server", "kettle"], "pip install 'supersoniq-teapot[tea]'"),
        (["--server", "cup"], "no ServerPlugin"),
        (["--server", "teapot", "--idle-timeout", "5"], "'teapot' has no such setting"),
        (["--server", "teapot", "--http3", "--dev"], "'teapot' does not speak HTTP/3"),
    ],
)
def test_a_server_that_cannot_serve_says_why(site: Path, words: list[str], told: str) -> None:
    with serve(site, *words) as server:
        _, text = server.communicate(timeout=60)
    assert server.returncode == 2
    assert told in " ".join(text.split())
