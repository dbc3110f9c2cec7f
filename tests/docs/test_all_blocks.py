"""No block of any page is left out: its kind is run, or it stands here with its reason."""

from __future__ import annotations

from tests.docs.pages import PAGES, ROOT, blocks, name

RUN = {
    "python": "tests/docs/test_blocks.py and tests/test_readme.py: runs, prints what the page says",
    "sh": "tests/docs/test_shell.py and tests/adapters/test_http_docs.py: runs; what is left out "
    "stands there",
    "toml": "tests/docs/test_data.py: loaded by what reads it",
    "json": "tests/docs/test_data.py",
    "yaml": "tests/docs/test_data.py",
    "js": "tests/clients/test_chromium.py: runs in a page",
    "ts": "tests/typescript/test_readme.py: checked by the compiler, runs in Node",
    "{eval-rst}": "tests/docs/test_sphinx.py",
    "{toctree}": "tests/docs/test_sphinx.py",
}
"""By kind: who runs all blocks of it, on every page."""
ONLY_HERE = {"js": {"http3"}, "ts": {"clients/typescript/README.md"}}
"""Kinds whose test knows the page: another page with one needs a test."""
SHOWN = {
    ("architecture", "        you "): "a picture; its table of rooms is tests/test_layering.py's",
    ("auth", "publish:orders "): "tests/test_docs.py reads it",
    ("http", "retry: 1000"): "tests/adapters/test_http_docs.py holds it against the answer",
    ("http", '{"kind":"listening"'): "tests/adapters/test_http_docs.py holds it against the answer",
    ("http2", "PUSH_PROMISE "): "the gist of what nghttp prints; test_shell.py waits for one",
    ("logs", "WARNING: "): "tests/observe/test_logs_docs.py makes these lines",
    ("settings", "Error: listen.prot"): "tests/test_docs.py provokes it",
    ("websocket", '< {"type": "welcome"'): "tests/adapters/test_ws_docs.py plays it",
    ("websocket", '> {"type": "publish"'): "tests/adapters/test_ws_docs.py plays it",
}
"""Text that no Python block prints: page and beginning, and what keeps it true."""


def test_every_block_is_run_or_stands_here() -> None:
    shown = set()
    for page in PAGES:
        printed = {block.says for block in blocks(page, "python")}
        for block in blocks(page):
            where = f"{name(page)}, line {block.line}"
            if block.kind == "text":
                if block.text in printed:
                    continue
                found = {
                    key for key in SHOWN if key[0] == name(page) and block.text.startswith(key[1])
                }
                assert found, f"{where}: what keeps this true?"
                shown |= found
            else:
                assert block.kind in RUN, f"{where}: who runs {block.kind or 'what is of no kind'}?"
                assert name(page) in ONLY_HERE.get(block.kind, {name(page)}), where
    assert shown == set(SHOWN)


def test_who_runs_them_is_there() -> None:
    for told in [*RUN.values(), *SHOWN.values()]:
        for word in told.replace(":", " ").replace(",", " ").replace("'s", "").split():
            if word.startswith("tests/"):
                assert (ROOT / word).exists(), word


def test_every_fence_is_seen() -> None:
    for page in PAGES:
        fences = sum(line.lstrip().startswith("```") for line in page.read_text().splitlines())
        assert fences == 2 * len(blocks(page)), name(page)
