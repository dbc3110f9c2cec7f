"""The shell lines of the documents run, one after the other, in one shell.

Each page is a script: its ``sh`` blocks, in their order. What would install something is left out,
and ports are free ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.backends.redis_server import WHY, program
from tests.docs.test_blocks import DOCS, blocks

INSTALLS = re.compile(r"^(sudo|python3 -m venv|pip|git) .*\n", re.MULTILINE)
PORTS = ("8443", "8000", "6390")
PAGES = {"tutorial": (), "secured-server": ("curl", "openssl", "redis-server")}
"""The pages, and the programs that they need."""


def free_port() -> int:
    """A port that was free for TCP and UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port: int = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        return port


def script(page: str) -> str:
    """The page's lines, as a shell runs them."""
    text = "".join(block.text for block in blocks(DOCS / f"{page}.md") if block.kind == "sh")
    text = INSTALLS.sub("", text)
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    # A server that is in the foreground on the page would never end.
    text = re.sub(r"^(supersoniq serve[^&\n]*)$", r"\1 --help", text, flags=re.MULTILINE)
    # In bash, a command after "!" does not end a script: it has to say so.
    text = re.sub(
        r"^! (.*)$", r"if \1; then echo allowed: '\1'; exit 9; fi", text, flags=re.MULTILINE
    )
    return f"set -euo pipefail\n{text}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("page", PAGES)
def test_the_shell_lines_of_a_page_run(page: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "supersoniq").symlink_to(Path(sys.executable).parent / "supersoniq")
    for name in PAGES[page]:
        if name == "redis-server":
            if (found := program()) is None:
                pytest.skip(WHY)
            (tools / name).symlink_to(found)
        elif shutil.which(name) is None:
            pytest.skip(f"no {name} here; make test-tools installs it")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SUPERSONIQ_")}
    env["PATH"] = f"{tools}:{env['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-c", script(page)],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=90)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(shell.pid, signal.SIGTERM)
        if (pid := tmp_path / "redis.pid").exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)
    assert shell.returncode == 0, said
