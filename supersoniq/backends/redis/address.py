"""URLs and options: checked here, before anything is connected."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from supersoniq.backends.redis.backend import RedisBackend
from supersoniq.core.errors import InvalidSetting

__all__ = ["connect"]

SCHEMES = ("redis", "rediss", "redis+unix")
CONNECTIONS = 8
"""Most connections of a backend for calls; a batch needs one. One more is for listening."""
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def connect(url: str, **options: Any) -> RedisBackend:
    """The factory behind ``redis://``, ``rediss://`` and ``redis+unix://``.

    ``redis://user:password@host:6379/0``, ``rediss://`` for TLS,
    ``redis+unix:///path/to/socket?db=0``.
    Options can stand in the URL's query or be given by keyword.

    Args:
        url: the address. Host, port and database default to ``localhost``, 6379 and 0.
        options: ``username``, ``password``, ``db``; ``ca``, ``certfile``, ``keyfile`` (files, for
            TLS); ``client_name``; and those of ``RedisBackend``.

    Raises:
        InvalidSetting: the URL cannot be, or an option is unknown, given twice, or cannot be.
    """
    parts = _split(url)
    given = _merged(parts, options)
    backend = {name: given.pop(name) for name in _BACKEND if name in given}
    pool, name = _pool(parts, given)
    for left, value in given.items():
        known = ", ".join([*_PLACE, *_TLS, *_BACKEND])
        raise InvalidSetting(left, value, f"no such option; {parts.scheme} has: {known}")
    return RedisBackend(pool, name, **backend)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidSetting("url", _hidden(url), f"is no URL: {error}") from None
    if parts.scheme not in SCHEMES:
        rule = f"begins with none of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
        raise InvalidSetting("url", _hidden(url), rule)
    if parts.fragment or port == 0:
        raise InvalidSetting("url", _hidden(url), "has a fragment, or port 0")
    return parts


def _hidden(url: str) -> str:
    """A URL without its password, to be shown."""
    return re.sub(r"(//[^/@]*:)[^/@]*@", r"\1***@", url)


def _merged(parts: SplitResult, options: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, value in [*parse_qsl(parts.query, keep_blank_values=True), *options.items()]:
        if name in merged:
            raise InvalidSetting(name, value, "is given twice")
        check = {**_PLACE, **_TLS, **_BACKEND}.get(name)
        merged[name] = value if check is None else check(name, value)
    return merged


def _pool(parts: SplitResult, given: dict[str, Any]) -> tuple[BlockingConnectionPool, str]:
    own: dict[str, Any] = {name: given.pop(name) for name in _PLACE if name in given}
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            if name in own:
                raise InvalidSetting(name, "***", "is given twice")
            own[name] = unquote(value)
    kind: type[Connection] | type[UnixDomainSocketConnection] = Connection
    if parts.scheme == "redis+unix":
        path = unquote(parts.path)
        if parts.netloc.rpartition("@")[2] or len(path) < 2:
            raise InvalidSetting(
                "url", _hidden(parts.geturl()), "takes redis+unix:///path/to/socket"
            )
        kind, own["path"], name = UnixDomainSocketConnection, path, f"unix socket {path}"
    else:
        own["socket_keepalive"] = True
        own["host"], own["port"] = parts.hostname or "localhost", parts.port or 6379
        database = parts.path.removeprefix("/")
        if database:
            if "db" in own:
                raise InvalidSetting("db", own["db"], "is given twice")
            own["db"] = _database("db", database)
        name = f"{own['host']}:{own['port']}"
    if parts.scheme == "rediss":
        kind = SSLConnection
        own.update(_tls({option: given.pop(option) for option in _TLS if option in given}))
    own.setdefault("db", 0)
    pool = BlockingConnectionPool(
        connection_class=kind,
        max_connections=CONNECTIONS,
        timeout=None,
        # Waiting has its bounds in ``link``. Nothing may be sent again behind our backs.
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=False,
        **own,
    )
    return pool, f"{name}/{own['db']}"


def _tls(files: Mapping[str, str]) -> dict[str, Any]:
    """Certificates are always checked, names too."""
    try:
        context = ssl.create_default_context(cafile=files.get("ca"))
        if "certfile" in files:
            context.load_cert_chain(files["certfile"], files.get("keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidSetting("ca, certfile, keyfile", dict(files), str(error)) from None
    return {
        "ssl_ca_certs": files.get("ca"),
        "ssl_certfile": files.get("certfile"),
        "ssl_keyfile": files.get("keyfile") or files.get("certfile"),
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
    }


def _database(name: str, value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal():
        raise InvalidSetting(name, value, "takes the number of a database, 0 or more")
    return int(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        shown = "***" if name == "password" else value
        raise InvalidSetting(name, shown, "takes a text")
    return value


def _file(name: str, value: Any) -> str:
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or not os.path.isfile(path):
        raise InvalidSetting(name, value, "is no file")
    return path


def _prefix(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        rule = "takes 1 to 64 of A-Z a-z 0-9 . _ : -, beginning with a letter or a digit"
        raise InvalidSetting(name, value, rule)
    return value


def _seconds(low: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        try:
            seconds = -1.0 if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            seconds = -1.0
        if not low <= seconds <= 3600:
            raise InvalidSetting(name, value, f"takes seconds from {low:g} to 3600")
        return seconds

    return check


def _replicas(name: str, value: Any) -> int:
    if isinstance(value, bool) or not str(value).isdecimal() or int(value) > 100:
        raise InvalidSetting(name, value, "takes a number of replicas, 0 to 100")
    return int(value)


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "1", "yes"):
        return True
    if value in ("false", "0", "no"):
        return False
    raise InvalidSetting(name, value, "takes true or false")


_PLACE: dict[str, Callable[[str, Any], Any]] = {
    "username": _text,
    "password": _text,
    "db": _database,
    "client_name": _text,
}
_TLS: dict[str, Callable[[str, Any], Any]] = {"ca": _file, "certfile": _file, "keyfile": _file}
_BACKEND: dict[str, Callable[[str, Any], Any]] = {
    "prefix": _prefix,
    "patience": _seconds(0.01),
    "min_replicas": _replicas,
    "replica_patience": _seconds(0.001),
    "noeviction": _flag,
    "clock": lambda name, value: value,
}
