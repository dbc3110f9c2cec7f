"""The shell lines of the documents run, one after the other, in one shell.

Each page is a script: its ``sh`` blocks, in their order, in a folder of their own. Ports are free
ones. A server that the page starts in the foreground runs until the next one, or the page's end.
What cannot run is left out, by its first words, for the reason that ``LEFT_OUT`` gives.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import trustme

from tests.backends.redis_server import WHY, program, shared, store_prefix
from tests.docs.pages import PAGES, ROOT, blocks, name, pages_with
from tests.ports import free_port

LEFT_OUT = {
    "sudo": "it would install packages on this machine",
    "python3 -m venv": "the tests run in an environment that is made like this",
    "pip": "it would install over what is tested; that the extras exist is tested below",
    "docker": "it takes an engine; .github/workflows/image.yml has one",
}
"""First words of lines that are not run, and why."""
RUN_ELSEWHERE = {"http": "tests/adapters/test_http_docs.py"}
PORTS = ("8443", "8000", "6390")
NEEDS = {
    "README.md": ("curl",),
    "http2": ("curl", "nghttp"),
    "moving": ("redis-server",),
    "secured-server": ("curl", "openssl", "redis-server"),
}
"""The programs that a page needs."""
BEFORE = {
    "http2": """
supersoniq serve --backend memory://
while sleep 0.1; do curl localhost:8000/queues/emails/messages --json '{"content": 1}'; done \
  > /dev/null 2>&1 &
until curl localhost:8000/queues/emails > /dev/null 2>&1; do sleep 0.1; done
nghttp() {
  command nghttp "$@" > pushed &
  until grep --max-count 1 PUSH_PROMISE pushed; do sleep 0.1; done
  kill $!
}
""",
    "moving": """
supersoniq publish hello --queue emails --backend sqlite:///jobs.db
supersoniq serve --backend memory://
""",
    "servers": "supersoniq token keys queue\n",
}
"""What a page takes for granted."""
AFTER = {
    "moving": """
supersoniq browse --queue emails --backend http://localhost:8000 | grep hello
""",
}
"""What is so after it."""
PRELUDE = f"""
set -euo pipefail
curl() {{ command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }}
make() {{ command make --dry-run --directory {ROOT} "$@" > /dev/null; }}
server=
finish() {{ if test -n "$server"; then kill "$server"; wait "$server"; server=; fi; }}
serve() {{
  finish
  rm -f served
  supersoniq serve "$@" > served &
  server=$!
  until test -s served; do kill -0 "$server"; sleep 0.05; done
}}
"""


def left_out(line: str) -> str | None:
    """The words of ``LEFT_OUT`` that a line begins with, after the variables set for it."""
    line = re.sub(r"^([A-Z_]+=\S+ )*", "", line)
    return next((words for words in LEFT_OUT if line.startswith(f"{words} ")), None)


def lines(page: Path) -> list[str]:
    """The page's commands, each whole; but what is in a here-document is lines as well."""
    text = "".join(block.text for block in blocks(page, "sh"))
    return re.sub(r"\\\n\s*", "", text).splitlines()


def script(page: Path) -> str:
    """The page's lines, as a shell runs them."""
    told = [line for line in lines(page) if left_out(line) is None]
    text = BEFORE.get(name(page), "") + "\n".join(told) + "\n" + AFTER.get(name(page), "")
    text = text.replace("https://queues.example.com", "http://localhost:8000")
    if "redis://localhost" in text:
        text = text.replace("redis://localhost", f"{shared().url}?prefix={store_prefix()}")
    text = re.sub(r"^supersoniq serve(?!.* (?:--port|&))", r"\g<0> --port 8000", text, flags=re.M)
    text = re.sub(r"^supersoniq (serve [^&\n]*)$", r"\1", text, flags=re.M)
    for port in PORTS:
        text = text.replace(port, str(free_port()))
    # In bash, a command after "!" does not end a script: it has to say so.
    text = re.sub(r"^! (.*)$", r"if \1; then echo allowed: '\1'; exit 9; fi", text, flags=re.M)
    return f"{PRELUDE}{text}finish\n"


def give_programs(page: Path, folder: Path) -> None:
    """Links to what a page needs; skips where that is not there."""
    (folder / "supersoniq").symlink_to(Path(sys.executable).parent / "supersoniq")
    for needed in NEEDS.get(name(page), ()):
        if needed == "redis-server":
            if (found := program()) is None:
                pytest.skip(WHY)
            (folder / needed).symlink_to(found)
        elif shutil.which(needed) is None:
            pytest.skip(f"no {needed} here; make test-tools installs it")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize("page", pages_with("sh", *RUN_ELSEWHERE), ids=name)
def test_the_shell_lines_of_a_page_run(page: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    give_programs(page, tools)
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    env = {each: value for each, value in os.environ.items() if not each.startswith("SUPERSONIQ_")}
    env |= {"PATH": f"{tools}:{env['PATH']}", "HOME": str(tmp_path)}
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
        said, _ = shell.communicate(timeout=110)
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing is left of it
            os.killpg(shell.pid, signal.SIGTERM)
        for pid in tmp_path.rglob("redis.pid"):
            os.kill(int(pid.read_text()), signal.SIGKILL)
    assert shell.returncode == 0, said


def test_what_is_left_out_is_somewhere() -> None:
    assert {left_out(line) for page in PAGES for line in lines(page)} == {None, *LEFT_OUT}


def test_every_extra_that_a_page_installs_is_one() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = {
        extra
        for page in PAGES
        for found in re.findall(r"(?:supersoniq|'\.)\[([\w,]+)\]", page.read_text())
        for extra in found.split(",")
    }
    assert {"all"} < named <= set(extras)
