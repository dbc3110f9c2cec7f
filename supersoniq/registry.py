"""Finding backends (and later servers) by name, through entry points. There is no private door."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from supersoniq.api.broker import Broker
from supersoniq.core.errors import InvalidSetting, MissingExtra, UnknownBackend
from supersoniq.port import Backend

__all__ = ["bound_queues", "connect", "find_backend", "schemes"]

GROUP = "supersoniq.backends"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


def schemes() -> dict[str, EntryPoint]:
    """The URL schemes that installed packages bring."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def find_backend(url: str, *, max_queues: int | None = None, **options: Any) -> Backend:
    """The backend behind a URL, not opened yet.

    Args:
        url: with one of ``schemes``.
        max_queues: how many queues there may be, 1 or more; ``None``: any number.
        options: those of the backend.

    Raises:
        InvalidSetting: it is no URL, or the backend refuses it or an option.
        UnknownBackend: nobody brings its scheme.
        MissingExtra: somebody does, but its dependencies are not installed.
    """
    match = _SCHEME.match(url) if isinstance(url, str) else None
    if match is None:
        raise InvalidSetting("url", url, "is not a URL such as memory:// or sqlite:///jobs.db")
    scheme = match[1].lower()
    known = schemes()
    if scheme not in known:
        raise UnknownBackend(scheme, ", ".join(sorted(known)))
    entry = known[scheme]
    try:
        factory = entry.load()
    except ModuleNotFoundError as error:
        package = entry.dist.name if entry.dist is not None else "supersoniq"
        extra = f"{package}[{entry.extras[0] if entry.extras else scheme}]"
        raise MissingExtra(f"{scheme}://", extra, error.name or str(error)) from error
    backend = factory(url, **options)
    if not isinstance(backend, Backend):
        problem = f"its plugin {entry.value!r} gave {backend!r}, which is no Backend"
        raise InvalidSetting("url", url, problem)
    if max_queues is not None:
        bound_queues(backend, max_queues)
    return backend


def bound_queues(backend: Backend, most: int) -> None:
    """Have a store refuse to make more queues than so many.

    Raises:
        InvalidSetting: that cannot be, or the store cannot do it.
    """
    if not backend.capabilities.bounds_queues:
        raise InvalidSetting("max_queues", most, "this store does not bound its queues")
    if isinstance(most, bool) or not isinstance(most, int) or not 0 < most <= 2**40:
        raise InvalidSetting("max_queues", most, "takes an integer, 1 to 2**40")
    backend.max_queues = most


def connect(url: str = "memory://", **options: Any) -> Broker:
    """A broker for a store, to be opened with ``async with``.

    Args:
        url: ``memory://``, ``sqlite:///path``, or what an installed plugin brings.
        options: those of the backend, and ``max_queues``: how many queues there may be.

    Raises:
        InvalidSetting, UnknownBackend, MissingExtra: as ``find_backend``.
    """
    return Broker(find_backend(url, **options))
