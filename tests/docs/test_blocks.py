"""Every Python block of the documents runs, and prints what the page says.

The blocks of a page run in their order, in one namespace and one event loop, with ``await`` at top
level, in a folder of their own. Addresses of the pages' imaginary servers lead to a real one. What
a page takes for granted is given in ``GIVEN``.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
import trustme
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import supersoniq
from supersoniq.adapters import create_app
from supersoniq.adapters.http import serve as serving
from supersoniq.backends.memory import MemoryBackend
from supersoniq.clock import Clock
from tests.backends.redis_server import WHY, program, shared
from tests.docs.pages import Block, blocks, name, pages_with

RUN_ELSEWHERE = {"README.md": "tests/test_readme.py"}
ELSEWHERE = (
    "https://queues.example.com/jobs",
    "https://queues.example.com",
    "http://localhost:8000",
)
"""Servers of the pages; here it is a real one."""
REDIS = "redis://localhost:6379/0"


PAGES = pages_with("python", *RUN_ELSEWHERE)


def compiled(block: Block, page: Path, replaced: dict[str, str]) -> CodeType:
    text = block.text
    for old, new in replaced.items():
        text = text.replace(old, new)
    text = "\n" * block.line + text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(text, str(page), "exec", flags=flags, dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


async def run_page(page: Path, replaced: dict[str, str], given: dict[str, Any]) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__", **given}
    for block in blocks(page, "python"):
        with contextlib.redirect_stdout(io.StringIO()) as told:
            code = compiled(block, page, replaced)
            if code.co_flags & inspect.CO_COROUTINE:
                await asyncio.wait_for(eval(code, namespace), 30)
            else:  # it may block, or run a loop of its own
                await asyncio.to_thread(eval, code, namespace)
        if block.says is not None:
            assert told.getvalue() == block.says, f"{page.name}, line {block.line}"


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """A server in this process; gives its URL."""
    async with supersoniq.connect("sqlite:///tutorial.db") as broker:
        config = uvicorn.Config(create_app(broker), port=0, log_level="warning", lifespan="off")
        running = uvicorn.Server(config)
        ended = asyncio.ensure_future(running.serve())
        while not running.started:  # noqa: ASYNC110  # it has no event
            await asyncio.sleep(0.01)
        [bound] = running.servers[0].sockets
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            running.should_exit = True
            await ended


def in_memory(path: Path, clock: Clock) -> MemoryBackend:
    """What ``MyBackend`` of the pages is here."""
    return MemoryBackend(clock=clock)


def a_queue_app() -> dict[str, Any]:
    return {"app": create_app(supersoniq.connect("memory://"))}


GIVEN: dict[str, Callable[[], dict[str, Any]]] = {
    "http2": a_queue_app,
    "http3": a_queue_app,
    "client": lambda: {"token": "a.b.c", "fetch_token": lambda: "a.b.c"},
    "testing-a-backend": lambda: {"MyBackend": in_memory},
}
"""By page: names that its blocks take for granted."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the files that pages take for granted."""
    monkeypatch.chdir(tmp_path)
    one = trustme.CA().issue_cert("localhost")
    one.cert_chain_pems[0].write_to_path("cert.pem")
    one.private_key_pem.write_to_path("key.pem")
    private = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    Path("queue.pem").write_bytes(private.public_key().public_bytes(*form))
    return tmp_path


@pytest.fixture
def nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """``serve`` would go on for ever; here it only sees that it was called as it can be."""
    signature = inspect.signature(serving.serve)

    def stand_in(*values: Any, **named: Any) -> None:
        signature.bind(*values, **named)

    monkeypatch.setattr(serving, "serve", stand_in)


@pytest.fixture
def logging_as_it_was() -> Iterator[None]:
    """Frameworks set logging up, for all tests after them."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.usefixtures("folder", "nothing_is_served", "logging_as_it_was")
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_python_blocks_run_and_print_what_they_say(page: Path) -> None:
    replaced = {"8443": "0", "100_000": "300", "max_examples=100": "max_examples=1"}
    replaced["MyHarness(Harness):"] = (
        "MyHarness(Harness):\n    medium = False"  # as it is in memory
    )
    if REDIS in page.read_text():
        if program() is None:
            pytest.skip(WHY)
        replaced[REDIS] = shared().url

    async def main() -> None:
        async with server() as url:
            everywhere = dict.fromkeys(ELSEWHERE, url) | replaced
            await run_page(page, everywhere, GIVEN.get(page.stem, dict)())

    asyncio.run(main())
