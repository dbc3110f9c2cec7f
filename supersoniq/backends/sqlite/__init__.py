"""The SQLite backend: queues in one file, for one process or many on one machine.

Read it from the outside in: ``backend`` is what the event loop sees, ``store`` a transaction,
``operations`` what a batch does in it. ``queue`` is one queue, with ``publishing``, ``taking``,
``settling`` and ``managing`` for what can be done to it and ``journal`` for its watchers.
``schema``, ``shelves`` and ``rows`` are how things stand in the file, ``connection`` how it is
opened, ``lock`` and ``wake`` how processes share it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from supersoniq.backends.sqlite.backend import SqliteBackend, options_of
from supersoniq.core.errors import InvalidSetting

__all__ = ["SqliteBackend", "connect"]


def connect(url: str, **options: Any) -> SqliteBackend:
    """The factory behind ``sqlite:///relative.db`` and ``sqlite:////absolute.db``.

    Options can stand in the URL's query (``?synchronous=normal``) or be given by keyword.

    Raises:
        InvalidSetting: the URL has a host or no path, or an option is unknown or given twice.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise InvalidSetting("url", url, "does not begin with sqlite:")
    if parts.netloc or parts.fragment:
        rule = "takes sqlite:///relative.db or sqlite:////absolute.db: three or four slashes"
        raise InvalidSetting("url", url, rule)
    path = unquote(parts.path).removeprefix("/")
    if not path:
        raise InvalidSetting("url", url, "names no file: sqlite:///relative.db")
    given = parse_qsl(parts.query, keep_blank_values=True)
    merged: dict[str, Any] = {}
    for name, value in [*given, *options.items()]:
        if name in merged:
            raise InvalidSetting(name, value, "is given twice")
        merged[name] = value
    return SqliteBackend(path, **options_of(merged))
