"""Where contents and secrets come in, and where anything is told: noted, in whatever process.

Only the standard library is imported, and SupersoniQ's modules are changed as they are loaded, none
of them sooner: a program that never loads the servers does not do so here.
"""

from __future__ import annotations

import functools
import io
import logging
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Protocol, TextIO
from urllib.parse import urlsplit

__all__ = ["Notes", "Tee", "install"]


class Notes(Protocol):
    """Who is told."""

    def content(self, content: object) -> None:
        """Somebody publishes this, or tries to."""

    def secret(self, secret: str) -> None:
        """Somebody relies on this being known to nobody else."""

    def told(self, text: str) -> None:
        """This is told: in a log, an error, a metric, a trace, or on standard error."""


def install(notes: Notes) -> None:
    """Note from now on. Nothing is taken back."""
    _logs(notes)
    after: dict[str, Callable[[Notes, ModuleType], None]] = {
        "supersoniq.core.messages": _messages,
        "supersoniq.core.errors": _errors,
        "supersoniq.registry": _registry,
        "supersoniq.auth.keys": _keys,
        "supersoniq.observe.families": _metrics,
        "supersoniq.adapters.http.exchange": _answers,
        "supersoniq.adapters.http.problems": _refusals,
        "supersoniq.adapters.ws.farewell": _farewells,
        "opentelemetry.sdk.trace": _spans,
    }
    late = sorted(after.keys() & sys.modules.keys())
    assert not late, f"{late} were loaded before anybody listened"
    sys.meta_path.insert(
        0, _Finder({name: functools.partial(each, notes) for name, each in after.items()})
    )


class Tee(io.TextIOWrapper):
    """A standard stream whose lines are noted as they leave."""

    def __init__(self, stream: TextIO, notes: Notes) -> None:
        super().__init__(
            stream.buffer, stream.encoding, stream.errors, line_buffering=stream.isatty()
        )
        self._notes, self._begun = notes, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line:
                self._notes.told(line)
        written = super().write(text)
        self.flush()
        return written


class _Finder(MetaPathFinder):
    """Finds modules where they are, and changes some as soon as they have run."""

    def __init__(self, after: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._after = after

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        change = self._after.get(name)
        spec = None if change is None else PathFinder.find_spec(name, path, target)
        if change is None or spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def running(module: ModuleType) -> None:
            run(module)
            change(module)

        spec.loader.exec_module = running  # type: ignore[method-assign]
        return spec


def _before(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Have each call of a function told, with its arguments, before it is made."""
    call = getattr(owner, name)

    @functools.wraps(call)
    def noting(*values: Any, **named: Any) -> Any:
        note(*values, **named)
        return call(*values, **named)

    setattr(owner, name, noting)


def _after(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Have each call of a function told, with its result and its arguments, once it is over."""
    call = getattr(owner, name)

    @functools.wraps(call)
    def noting(*values: Any, **named: Any) -> Any:
        result = call(*values, **named)
        note(result, *values, **named)
        return result

    setattr(owner, name, noting)


# What must not be told.


def _messages(notes: Notes, messages: ModuleType) -> None:
    """Whatever is published, by whichever door, goes through here, at both ends of a connection.

    Noted as it came, as it may be refused, and as it is stored.
    """

    def came(content: object, *_options: object, **_others: object) -> None:
        notes.content(content)

    def stored(entry: Any, *_options: object, **_others: object) -> None:
        notes.content(entry.content)

    _before(messages, "prepare", came)
    _after(messages, "prepare", stored)


def _registry(notes: Notes, registry: ModuleType) -> None:
    def note(url: object, **options: object) -> None:
        try:
            password = urlsplit(url).password if isinstance(url, str) else None
        except ValueError:
            return  # it is refused
        for secret in (password, options.get("token"), options.get("password")):
            if isinstance(secret, str):
                notes.secret(secret)

    _before(registry, "find_backend", note)


def _keys(notes: Notes, keys: ModuleType) -> None:
    def note(_self: object, secret: object) -> None:
        if isinstance(secret, str | bytes):
            notes.secret(secret if isinstance(secret, str) else secret.decode("latin-1"))

    _before(keys.Secret, "__init__", note)


# What is told.


def _errors(notes: Notes, errors: ModuleType) -> None:
    """Each error as it is once its own class has made it."""
    for kind in list(vars(errors).values()):
        if isinstance(kind, type) and "__init__" in vars(kind):
            _made(notes, kind)


def _made(notes: Notes, kind: Any) -> None:
    def note(_result: None, self: Any, *_values: object, **_named: object) -> None:
        if type(self).__init__ is kind.__init__:
            notes.told(f"{type(self).__name__}: {self} {self.data} {self.args}")

    _after(kind, "__init__", note)


def _refusals(notes: Notes, problems: ModuleType) -> None:
    def note(_result: None, refusal: Any, *_values: object, **_named: object) -> None:
        notes.told(f"refused: {refusal.problem}")

    _after(problems.Refusal, "__init__", note)


def _farewells(notes: Notes, farewell: ModuleType) -> None:
    def note(result: object, *_values: object) -> None:
        notes.told(f"farewell: {result}")

    _after(farewell.Farewell, "because", note)


def _metrics(notes: Notes, families: ModuleType) -> None:
    def note(result: tuple[bytes, str], *_values: object) -> None:
        notes.told(result[0].decode())

    _after(families, "text", note)


def _answers(notes: Notes, exchange: ModuleType) -> None:
    """Problems, and what answers with figures."""

    def note(self: Any, reply: Any) -> None:
        path = self.scope["path"]
        if "problem" in reply.kind or "/stats" in path or path.endswith("/metrics"):
            notes.told(bytes(reply.body).decode())

    _before(exchange.Exchange, "answer", note)


def _spans(notes: Notes, sdk: ModuleType) -> None:
    def note(_result: None, span: Any, *_values: object, **_named: object) -> None:
        notes.told(span.to_json())

    _after(sdk.Span, "end", note)


GUESTS = frozenset({"httpx"})
"""Loggers of clients that are tests' own, and tell what these ask for."""
_PLAIN = frozenset(vars(logging.makeLogRecord({})))
"""What every record has."""


def _logs(notes: Notes) -> None:
    """SupersoniQ's own lines down to DEBUG, of which nobody else hears, since a test's own view of
    the logs is as it was; of others' what anybody hears of them."""
    enabled, call = logging.Logger.isEnabledFor, logging.Logger.callHandlers

    def whole(logger: logging.Logger) -> bool:
        name = logger.name
        return name == "supersoniq" or (name.startswith("supersoniq.") and not logger.level)

    def is_enabled(self: logging.Logger, level: int) -> bool:
        return enabled(self, level) or whole(self)

    def calling(self: logging.Logger, record: logging.LogRecord) -> None:
        heard = enabled(self, record.levelno)
        if (heard or whole(self)) and self.name not in GUESTS:
            notes.told(_line(record))
        if heard:
            call(self, record)

    logging.Logger.isEnabledFor = is_enabled  # type: ignore[method-assign]
    logging.Logger.callHandlers = calling  # type: ignore[method-assign]


def _line(record: logging.LogRecord) -> str:
    """All that a record says. Of a traceback no lines of source: a test's have its contents."""
    facts = {name: value for name, value in vars(record).items() if name not in _PLAIN}
    error = record.exc_info[1] if record.exc_info else None
    chain = "".join(_chain(error, set())) if error is not None else ""
    return f"{record.name}: {record.getMessage()} {facts} {chain}"


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    """The texts of an error, of those that it came from, and of those in it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield from traceback.format_exception_only(error)
    context = None if error.__suppress_context__ else error.__context__
    for other in (error.__cause__, context, *getattr(error, "exceptions", ())):
        if isinstance(other, BaseException):
            yield from _chain(other, seen)
