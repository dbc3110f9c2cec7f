"""What must be told nowhere: tokens, secrets and contents, in every log and error of a test.

``python -m pytest --canary``: each test is its own canary. ``conftest`` notes what is published
while it runs, all that is logged below ``supersoniq``, down to DEBUG, and the text of every error
that is made; afterwards none of the first may be found in the others, nor a token, nor the secret
that tests sign with. Contents that cannot be told from other words, since they are short or are
numbers, are not noted.
"""

from __future__ import annotations

import json
import logging
import re

from supersoniq.core.errors import SupersoniqError
from tests.auth.tokens import OTHER, SECRET

__all__ = ["Canary", "canary"]

MOST = 2000
"""Texts and contents of a test that are looked at."""
TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")
"""Two parts of a JSON Web Token: ``eyJ`` is how a JSON object begins in base64url."""
WORD = re.compile(r"[A-Za-z0-9@._-]{14,64}")


class Canary(logging.Handler):
    """Notes what a test publishes and what is told while it runs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.contents: set[str] = set()
        self.told: set[str] = set()
        self.errors: list[SupersoniqError] = []

    def begin(self) -> None:
        """A test begins."""
        self.contents.clear()
        self.told.clear()
        self.errors.clear()

    def published(self, content: object) -> None:
        """Something is published."""
        if len(self.contents) >= MOST:
            return
        if not isinstance(content, str | bytes):
            try:
                content = json.dumps(content)
            except (TypeError, ValueError, RecursionError):
                return  # it is refused
        text = content[:1000] if isinstance(content, str) else content[:1000].decode("latin-1")
        word = max(WORD.findall(text), key=len, default="")
        if len(set(word)) > 6:
            self.contents.add(word)

    def tell(self, text: str) -> None:
        """Something is told."""
        if len(self.told) < MOST:
            self.told.add(text)

    def made(self, error: SupersoniqError) -> None:
        """An error is being made; what it says will be looked at when it is."""
        if len(self.errors) < MOST:
            self.errors.append(error)

    def emit(self, record: logging.LogRecord) -> None:
        """A line is logged."""
        if len(self.told) < MOST:
            self.told.add(self.format(record))

    def leaks(self) -> list[str]:
        """What was told and must not be."""
        for error in self.errors:
            self.tell(f"{error} {error.data}")
        secrets = [SECRET.decode(), OTHER.decode(), *self.contents]
        return [
            text
            for text in self.told
            if TOKEN.search(text) or any(secret in text for secret in secrets)
        ]


canary = Canary()
"""The one of this run."""
