"""What a handler tells of itself: what it takes, what it gives, and what may be wrong.

A handler is decorated with the very types that it decodes and answers with; ``openapi`` makes the
document from them. What all of a kind have in common is not repeated at each: what a body or a
name in the path may be refused for, and how a store fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from supersoniq.adapters.http.decode import Nothing
from supersoniq.adapters.http.media import JSON
from supersoniq.auth.scopes import Verb
from supersoniq.core.errors import SupersoniqError

__all__ = ["Body", "Described", "Gives", "described", "description_of"]

H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True)
class Body:
    """A body that is taken."""

    kinds: Mapping[str, Any]
    """Media types, and what a body of each is decoded as; ``None``: bytes."""
    required: bool = True
    limit: str = "max_body"
    """The name of the limit of its length."""


@dataclass(frozen=True)
class Gives:
    """An answer that is no error."""

    description: str
    kinds: Mapping[str, Any] = field(default_factory=dict)
    """Media types, and what a body of each is; none: it has no body."""
    fields: Sequence[str] = ()
    """The header fields that it may have; those of ``always`` are there."""
    always: Sequence[str] = ()
    found: bool = False
    """Whether its ``id`` is a message's, to look it up with."""

    @classmethod
    def json(cls, description: str, kind: Any, **more: Any) -> Gives:
        """An answer in JSON."""
        return cls(description, {JSON: kind}, **more)


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a handler tells of itself."""

    gives: Mapping[int, Gives]
    query: type[msgspec.Struct] | None = Nothing
    """``None``: whatever is there is passed over."""
    free: tuple[str, Any] | None = None
    """A prefix of query fields of any name, and the map that they make."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Header fields of the request that mean something, and their types."""
    body: Body | None = None
    errors: Sequence[type[SupersoniqError]] = ()
    """What may be wrong with the call, beside what all of a kind have in common."""
    refusals: Sequence[int] = ()
    """The same, for what is wrong with the request whatever the queue."""
    store: bool = True
    """Whether it needs the store."""
    grows: bool = False
    """Whether it may need more room in the store."""
    picky: bool = True
    """Whether it heeds ``Accept``."""
    takes: Sequence[Verb] = ()
    """The verbs of which a caller needs one on the queue; none: it is open to everybody. What is
    asked for in the body (``POST /operations``) is held against the scope by itself."""
    any_scope: bool = False
    """Whether everybody with a token may call it, and gets what its scope lets it see."""


_DESCRIBED: dict[Any, Described] = {}


def described(**what: Any) -> Callable[[H], H]:
    """Say what a handler takes and gives: see ``Described``."""

    def keep(handler: H) -> H:
        _DESCRIBED[handler] = Described(**what)
        return handler

    return keep


def description_of(handler: Any) -> Described:
    """What a handler tells of itself.

    Raises:
        LookupError: nothing.
    """
    return _DESCRIBED[handler]
