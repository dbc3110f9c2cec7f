"""Adapters: other ways to a broker than Python calls. They hold no queue logic.

``create_app(broker)`` gives an ASGI app that speaks HTTP; see ``supersoniq.adapters.http``.
Importing this package needs nothing; asking it for ``create_app`` needs the extra ``http``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supersoniq.core.errors import MissingExtra

if TYPE_CHECKING:
    from supersoniq.adapters.http.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name != "create_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from supersoniq.adapters.http.app import create_app
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        if missing.partition(".")[0] == "supersoniq":
            raise
        raise MissingExtra("the HTTP app", "supersoniq[http]", missing) from error
    return create_app
