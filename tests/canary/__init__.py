"""What must be told nowhere: tokens, secrets and contents, in what any test brings about.

Each test is its own canary. ``hooks`` note what is published and what is kept secret while it runs,
and whatever is told: logs with their fields and errors, down to DEBUG; every error that is made,
problem documents and farewells; metrics and other figures; spans with all that is in them. So they
do in the programs that a test starts, whose standard error is noted as well. Afterwards none of the
first may be found in any of the others, nor a token or a private key.

Of a content its longest word counts, if that can be told from other words and is none that the
program has itself, such as a field's name, which an error may well tell; and whatever it is, as
Python shows the bytes of which it is stored, since most tests publish no more than an ``x``. Those
of the test before are still looked for: a server may outlive its test.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
import tempfile
from functools import wraps
from pathlib import Path
from typing import Any

from tests.canary import hooks

__all__ = ["Canary", "canary", "watch", "watch_programs"]

MOST = 2000
"""Contents of a test that are looked for."""
HELD = 1 << 22
"""Characters of what was told that are kept before they are looked through."""
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY")
"""Two parts of a JSON Web Token (``eyJ`` is how a JSON object begins in base64url), or a key."""
SHOWN = 48
"""Bytes of a content that are looked for."""
LEAST, DIFFERENT = 10, 6
"""Characters, and different ones, of a word that is not found by chance."""
WORD = re.compile(f"[A-Za-z0-9@._-]{{{LEAST},64}}")
PACKAGE = Path(__file__).parents[2] / "supersoniq"
VOCABULARY = frozenset(
    word
    for path in PACKAGE.rglob("*.py")
    if "testing" not in path.parts  # which publishes
    for found in WORD.findall(path.read_text())
    for word in re.split("[@.-]", found)
    if "_" in word
)
"""Names of the program's own, as of fields, which it says whatever is published."""


class Canary:
    """Notes what a test publishes and what is told while it runs.

    Args:
        notes: a file into which the programs that tests start write the same.
    """

    def __init__(self, notes: Path | None = None) -> None:
        self.notes = notes
        self._secrets: set[str] = set()
        self._contents: set[str] = set()
        self._past: set[str] = set()
        self._told: dict[str, None] = {}
        self._held = 0
        self._leaks: list[str] = []
        self._read = 0

    def begin(self) -> None:
        """A test begins."""
        self._past, self._contents = self._contents, set()
        self._forget()

    def content(self, content: object) -> None:
        """Something is published."""
        if len(self._contents) >= MOST:
            return
        if not isinstance(content, str | bytes):
            try:
                content = json.dumps(content)
            except (TypeError, ValueError, RecursionError):
                return  # it is refused
        if isinstance(content, bytes) and content:
            shown = repr(content[:SHOWN])
            self._contents.add(shown if len(content) <= SHOWN else shown[:-1])
        text = content[:1000] if isinstance(content, str) else content[:1000].decode("latin-1")
        word = max(WORD.findall(text), key=len, default="")
        if _distinct(word) and word not in VOCABULARY:
            self._contents.add(word)

    def stored(self, content: str) -> None:
        """Another program stores this, byte by byte."""
        self.content(content.encode("latin-1"))

    def secret(self, secret: str) -> None:
        """Something is a secret, for good."""
        if _distinct(secret):
            self._secrets.add(secret)

    def told(self, text: str) -> None:
        """Something is told."""
        if text not in self._told:
            self._told[text] = None
            self._held += len(text)
            if self._held > HELD:
                self._look()

    def leaks(self) -> list[str]:
        """What was told and must not be, since the test began."""
        self._take()
        self._look()
        return self._leaks

    def forgive(self) -> None:
        """What was told until now was told on purpose."""
        self._take()
        self._forget()

    def _forget(self) -> None:
        self._told, self._held, self._leaks = {}, 0, []

    def _take(self) -> None:
        """What other programs have noted: contents first, since all of them count."""
        if self.notes is None:
            return
        with self.notes.open("rb") as file:
            file.seek(self._read)
            raw = file.read()
        whole = raw.rpartition(b"\n")[0] + b"\n" if b"\n" in raw else b""
        self._read += len(whole)
        for kind, text in map(json.loads, whole.splitlines()):
            getattr(self, kind)(text)

    def _look(self) -> None:
        secrets = {*self._secrets, *self._contents, *self._past}
        everything = "\n".join(self._told)
        found = [_as_told(secret) for secret in secrets if secret in everything]
        if found or TOKEN.search(everything):
            self._leaks += [
                text
                for text in self._told
                if TOKEN.search(text) or any(secret.search(text) for secret in found)
            ]
        self._told, self._held = {}, 0


def _as_told(secret: str) -> re.Pattern[str]:
    """Not where the ``b'`` of some bytes is only the end of somebody else's ``'b'``."""
    return re.compile(
        (r"(?<!['\"\w])" if secret.startswith(("b'", 'b"')) else "") + re.escape(secret)
    )


def _distinct(word: str) -> bool:
    return len(word) >= LEAST and len(set(word)) >= DIFFERENT and word.upper() != word.lower()


canary = Canary()
"""The one of this run."""


def watch() -> None:
    """Begin to note what this process does, of which nothing of SupersoniQ is loaded yet."""
    hooks.install(canary)


def watch_programs() -> None:
    """Begin to note in all programs that are started from here."""
    file, path = tempfile.mkstemp(prefix="canary-", suffix=".jsonl")
    os.close(file)
    atexit.register(os.unlink, path)
    canary.notes = Path(path)
    os.environ |= _child(os.environ, path)
    start: Any = subprocess.Popen.__init__

    @wraps(start)
    def starting(*values: Any, env: Any = None, **named: Any) -> None:
        start(*values, env=None if env is None else {**env, **_child(env, path)}, **named)

    subprocess.Popen.__init__ = starting  # type: ignore[method-assign]


def _child(env: Any, path: str) -> dict[str, str]:
    ours = str(Path(__file__).with_name("child"))
    others = [
        each for each in env.get("PYTHONPATH", "").split(os.pathsep) if each not in ("", ours)
    ]
    return {"CANARY_NOTES": path, "PYTHONPATH": os.pathsep.join([ours, *others])}
