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
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from supersoniq.backends.redis.backend import PATIENCE, RedisBackend
from supersoniq.backends.redis.nodes import Address, Cluster, Nodes, Sentinels, Single
from supersoniq.core.errors import InvalidSetting

__all__ = ["connect"]

SCHEMES = (
    "redis", "rediss", "redis+unix", "redis+sentinel", "rediss+sentinel", "redis+cluster",
    "rediss+cluster",
)  # fmt: skip
CONNECTIONS = 8
"""Most connections of a backend for calls; a batch needs one. One more is for listening."""
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def connect(url: str, **options: Any) -> RedisBackend:
    """The factory behind ``redis://`` and its kin.

    - ``redis://user:password@host:6379/0``, and ``rediss://`` for TLS;
    - ``redis+unix:///path/to/socket?db=0``;
    - ``redis+sentinel://host:26379,host:26379/name/0``: the main server that Sentinels call so;
    - ``redis+cluster://host:6379,host:6379``: some nodes of a Cluster, which know the others;
    - ``rediss+sentinel://`` and ``rediss+cluster://``: the same with TLS.

    Options can stand in the URL's query or be given by keyword.

    Args:
        url: the address. Host, port and database default to ``localhost``, 6379 (Sentinels: 26379)
            and 0.
        options: ``username``, ``password``, ``db``, ``client_name``; ``sentinel_username`` and
            ``sentinel_password``; ``ca``, ``certfile``, ``keyfile`` (files, for TLS); and those of
            ``RedisBackend``.

    Raises:
        InvalidSetting: the URL cannot be, or an option is unknown, given twice, or cannot be.
    """
    parts = _split(url)
    kind = parts.scheme.partition("+")[2]
    secure = parts.scheme.startswith("rediss")
    known = dict(_PLACE)
    if secure:
        known |= _TLS
    if kind == "sentinel":
        known |= _SENTINEL
    given = _merged(parts, options, {**known, **_BACKEND})
    backend = {name: given.pop(name) for name in _BACKEND if name in given}
    patience = backend.get("patience", PATIENCE)
    _own_user(parts, given)
    tls = _tls({name: given.pop(name) for name in _TLS if name in given}) if secure else {}
    sentinel_user = {
        name.removeprefix("sentinel_"): given.pop(name) for name in _SENTINEL if name in given
    }
    path = unquote(parts.path)
    if kind == "unix":
        if _hosts(parts) or len(path) < 2:
            raise InvalidSetting("url", _hidden(url), "takes redis+unix:///path/to/socket")
        pool = _pool(UnixDomainSocketConnection, {"path": path}, given)
        return RedisBackend(Single(pool, patience), f"unix socket {path}", **backend)

    def make_pool(address: Address) -> BlockingConnectionPool:
        return _pool(SSLConnection if secure else Connection, _at(address) | tls, given)

    def make_sentinel_pool(address: Address) -> BlockingConnectionPool:
        kind_of = SSLConnection if secure else Connection
        return _pool(kind_of, _at(address) | tls, sentinel_user)

    seeds = _addresses(parts, url, 26379 if kind == "sentinel" else 6379)
    name = f"{kind} {', '.join(f'{host}:{port}' for host, port in seeds)}".strip()
    first, _, rest = path.removeprefix("/").partition("/")
    if kind == "sentinel":
        if not first:
            rule = "names no main server: redis+sentinel://host:26379/name"
            raise InvalidSetting("url", _hidden(url), rule)
        _database_of_path(rest, given)
        nodes: Nodes = Sentinels(seeds, first, make_pool, make_sentinel_pool, patience)
        return RedisBackend(nodes, f"{first} of {name}", **backend)
    if kind == "cluster":
        if first or given.get("db"):
            raise InvalidSetting("db", first or given["db"], "a Cluster has database 0 only")
        return RedisBackend(Cluster(seeds, make_pool, patience), name, **backend)
    if len(seeds) > 1:
        rule = "names several servers; redis+cluster:// and redis+sentinel:// take them"
        raise InvalidSetting("url", _hidden(url), rule)
    _database_of_path(path.removeprefix("/"), given)
    nodes = Single(make_pool(seeds[0]), patience)
    return RedisBackend(nodes, f"{name}/{given.get('db', 0)}", **backend)


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        rule = f"begins with none of {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
        raise InvalidSetting("url", _hidden(url), rule)
    if parts.fragment:
        raise InvalidSetting("url", _hidden(url), "has a fragment")
    return parts


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _addresses(parts: SplitResult, url: str, port: int) -> list[Address]:
    found: list[Address] = []
    for text in _hosts(parts).split(","):
        try:
            one = urlsplit(f"//{text}")
            address = (one.hostname or "localhost", port if one.port is None else one.port)
        except ValueError as error:
            raise InvalidSetting("url", _hidden(url), f"is no URL: {error}") from None
        if address[1] == 0:
            raise InvalidSetting("url", _hidden(url), "has port 0")
        found.append(address)
    return found


def _at(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1], "socket_keepalive": True}


def _own_user(parts: SplitResult, given: dict[str, Any]) -> None:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    for name, value in (("username", user), ("password", password)):
        if value:
            if name in given:
                raise InvalidSetting(name, "***", "is given twice")
            given[name] = unquote(value)


def _database_of_path(text: str, given: dict[str, Any]) -> None:
    if text:
        if "db" in given:
            raise InvalidSetting("db", given["db"], "is given twice")
        given["db"] = _database("db", text)


def _hidden(url: str) -> str:
    """A URL without its password, to be shown."""
    return re.sub(r"(//[^/@]*:)[^/@]*@", r"\1***@", url)


def _merged(
    parts: SplitResult, options: Mapping[str, Any], known: Mapping[str, Callable[[str, Any], Any]]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, value in [*parse_qsl(parts.query, keep_blank_values=True), *options.items()]:
        if name in merged:
            raise InvalidSetting(name, "***" if "password" in name else value, "is given twice")
        if name not in known:
            rule = f"no such option; {parts.scheme}:// has: {', '.join(known)}"
            raise InvalidSetting(name, value, rule)
        merged[name] = known[name](name, value)
    return merged


def _pool(
    kind: type[AbstractConnection], place: Mapping[str, Any], given: Mapping[str, Any]
) -> BlockingConnectionPool:
    return BlockingConnectionPool(
        connection_class=kind,
        max_connections=CONNECTIONS,
        timeout=None,
        # Waiting has its bounds in ``link``. Nothing may be sent again behind our backs.
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=False,
        **place,
        **given,
    )


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
        shown = "***" if "password" in name else value
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
_SENTINEL: dict[str, Callable[[str, Any], Any]] = {
    "sentinel_username": _text,
    "sentinel_password": _text,
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
