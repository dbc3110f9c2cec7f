"""What a token allows: ``publish:orders consume:mail.* browse:*``.

The ``scope`` of a token (RFC 8693, section 4.2) is words between spaces, each a verb, a colon and a
pattern of queue names: a name, or the beginning of names and a ``*``. What no word grants is
denied. A word that is not of this form is for somebody else (``openid``), and grants nothing here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Grant", "Scopes", "Verb"]


class Verb(StrEnum):
    """What can be allowed."""

    PUBLISH = "publish"
    """Store messages, which makes a queue that is not there."""
    CONSUME = "consume"
    """Take leases and settle them."""
    BROWSE = "browse"
    """See messages, the policy and the figures, and change nothing."""
    WATCH = "watch"
    """See what happens, as it does."""
    MANAGE = "manage"
    """Cancel, redrive, purge, pause, resume, configure, delete and import."""
    METRICS = "metrics"
    """See the figures of queues, and none of their messages."""


_WORD = re.compile(r"([a-z]+):([A-Za-z0-9][A-Za-z0-9._-]{0,127})?(\*)?", re.ASCII)
MOST = 1000
"""Words that are looked at; a token of 8 KiB has no more."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One word of a scope."""

    verb: Verb
    name: str
    """The queue's name, or the beginning of names."""
    prefix: bool
    """Whether it is a beginning."""

    def __str__(self) -> str:
        return f"{self.verb}:{self.name}{'*' if self.prefix else ''}"


class Scopes:
    """All that a token allows.

    Args:
        grants: its words.
    """

    __slots__ = ("_by_verb", "_words", "granted")

    def __init__(self, grants: list[Grant]) -> None:
        self._by_verb: dict[Verb, tuple[Grant, ...]] = {}
        for grant in grants:
            self._by_verb[grant.verb] = (*self._by_verb.get(grant.verb, ()), grant)
        self._words = {
            verb: (
                frozenset(grant.name for grant in grants if not grant.prefix),
                tuple(grant.name for grant in grants if grant.prefix),
            )
            for verb, grants in self._by_verb.items()
        }
        """The names and the beginnings of names, by verb."""
        self.granted: defaultdict[object, set[str]] = defaultdict(set)
        """For ``rights.allows``, which is asked at every operation: what it has found allowed."""

    @classmethod
    def parse(cls, scope: str) -> Scopes:
        """Read a token's ``scope``. Words of no meaning here grant nothing."""
        grants: list[Grant] = []
        for word in scope.split(" ")[:MOST]:
            grant = parsed(word)
            if grant is not None:
                grants.append(grant)
        return cls(grants)

    def allow(self, verb: Verb, queue: str) -> bool:
        """Whether the verb is allowed on the queue. Linear in its words with a star."""
        words = self._words.get(verb)
        return words is not None and (queue in words[0] or queue.startswith(words[1]))

    def anywhere(self, verb: Verb) -> bool:
        """Whether the verb is allowed on any queue."""
        return verb in self._by_verb

    def everywhere(self, verb: Verb) -> bool:
        """Whether the verb is allowed on every queue."""
        return any(grant.prefix and not grant.name for grant in self._by_verb.get(verb, ()))

    def see(self, queue: str) -> bool:
        """Whether anything is allowed on the queue: whoever may do something there may know it."""
        return any(self.allow(verb, queue) for verb in self._by_verb)

    def __str__(self) -> str:
        return " ".join(str(grant) for grants in self._by_verb.values() for grant in grants)


def parsed(word: str) -> Grant | None:
    """One word, or ``None`` if it is not of the form."""
    found = _WORD.fullmatch(word)
    if found is None or not (found[2] or found[3]) or found[1] not in _VERBS:
        return None
    return Grant(Verb(found[1]), found[2] or "", found[3] is not None)


_VERBS = frozenset(verb.value for verb in Verb)
